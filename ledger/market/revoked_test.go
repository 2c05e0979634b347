package market

import (
	"reflect"
	"testing"

	"daulat/core/job"
	pb "daulat/gen/market"
)

// A pair counts no more once its provider key is revoked, whoever brings it; an
// entry that is refused for this stops no other of the batch. What was recorded
// before is paid, the rest goes back by the clock, and the complaint of a
// consumer is heard as ever: a liar cannot revoke its way out.
func TestRevokedKeySettlesNothing(t *testing.T) {
	w := newWorld(t)
	c, p, q := w.actor(1), w.actor(2), w.actor(3)
	w.offer(p, 100, 2)
	w.offer(q, 150, 2)
	early, late := w.opened(c), w.opened(c)
	other := w.opened(c)
	if s := w.session(other); w.session(early).Provider != p.account || w.session(late).Provider != p.account || s.Provider != q.account {
		t.Fatalf("session %d is with %s", other, s.Provider)
	}
	if r := w.settle(p, wireEntry(pair(p, c, early, 1, 100, 100, false), false)); r[0].Error != "" {
		t.Fatal(r[0].Error)
	}
	w.revoke(p)
	before := []job.Session{w.session(early), w.session(late)}
	for _, by := range []actor{p, c, w.actor(9)} {
		batch := []pb.Entry{wireEntry(pair(p, c, early, 2, 200, 200, true), false), wireEntry(pair(p, c, late, 1, 50, 50, false), false),
			wireEntry(pair(p, c, early, 3, 300, 300, false), false), wireEntry(pair(q, c, other, 1, 70, 70, false), false)}
		r := w.settle(by, batch...)
		if r[0].Error == "" || r[1].Error == "" || r[2].Error == "" || r[3].Error != "" {
			t.Fatalf("%+v", r)
		}
		for i, id := range []uint64{early, late} {
			if s := w.session(id); s.State != job.SessionOpen || !reflect.DeepEqual(s, before[i]) {
				t.Fatalf("session %d under a revoked key is %+v", id, s)
			}
		}
	}
	if s := w.session(other); s.Claim == nil || s.Claim.Due() != 70 {
		t.Errorf("the good entry of the batch: %+v", s.Claim)
	}
	w.check(w.complain(accusation(c, p, late, 1)))
	for w.session(late).State != job.SessionReleased || w.session(early).State != job.SessionReleased {
		w.block(3000)
	}
	if a, b := w.session(early).Escrow, w.session(late).Escrow; a.Paid != 100 || b.Paid != 0 || b.Refunded != b.Deposited {
		t.Errorf("paid %+v and %+v", a, b)
	}
	if got := w.stands(p); got != (pb.Standing{Released: 100, Sessions: 2, Requests: 1, Complaints: 1, Unserved: 1}) {
		t.Errorf("standing %+v", got)
	}
}
