package manners

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"daulat/compute/executor/inference"
	"daulat/core/canon"
	"daulat/core/receipt"
)

// scripted shows one sign after the other.
type scripted struct{ signs chan Signs }

func (s scripted) Signs(_ context.Context, now time.Time) (Signs, error) {
	next, ok := <-s.signs
	if !ok {
		return next, errors.New("nothing can be read")
	}
	next.Now = now
	return next, nil
}

// The decision is passed on when it changes and not otherwise; what the owner said
// holds until it is taken back, whatever the machine shows meanwhile; signs that
// can't be read for a while change nothing.
func TestWatch(t *testing.T) {
	sensor, tick := scripted{make(chan Signs)}, make(chan time.Time)
	w := NewWatcher(Rules{Mains: true}, sensor)
	decisions := make(chan string, 16)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- w.watch(ctx, tick, time.Now, func(why string) { decisions <- why })
	}()
	expect := func(want bool) {
		t.Helper()
		select {
		case why := <-decisions:
			if (why != "") != want {
				t.Fatalf("decided %q", why)
			}
		case <-time.After(15 * time.Second):
			t.Fatal("nothing was decided")
		}
	}
	look := func(s Signs) {
		tick <- time.Time{}
		sensor.signs <- s
	}
	sensor.signs <- Signs{}
	expect(false)
	look(Signs{})
	look(Signs{Battery: true})
	expect(true)
	look(Signs{Battery: true})
	if err := w.Tell(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := w.Why(); got != "its owner told it to rest" { // at once: who told asks next
		t.Errorf("told to rest, it rests because %q", got)
	}
	look(Signs{}) // on mains again, and told to rest: nothing changes
	if err := w.Tell(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := w.Why(); got != "its owner told it to rest" {
		t.Errorf("rests because %q", got)
	}
	if err := w.Tell(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	expect(false)
	close(sensor.signs)
	tick <- time.Time{}
	tick <- time.Time{} // which is taken only after the failed look
	if w.Why() != "" {
		t.Errorf("rests because %q", w.Why())
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := w.Tell(ctx, true); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody watches, and telling gives %v", err)
	}
	if err := w.Watch(t.Context(), func(string) { t.Error("decided by nothing") }); err == nil {
		t.Error("a machine that can't be read at first is watched")
	}
}

// Between any two moments at which the process may go on it used no more than its
// share of the time, and of a second more; and who uses less never waits.
func TestThrottleKeepsTheShare(t *testing.T) {
	type moment struct{ clock, used time.Duration }
	for _, share := range []uint64{100_000, 500_000, Million, 3 * Million} {
		var now moment
		th := NewThrottle(share, func() time.Duration { return now.used })
		th.now = func() time.Time { return time.Unix(0, 0).Add(now.clock) }
		th.begun = th.now()
		var passed []moment
		for i := range 400 {
			work := time.Duration(i*7919%400) * time.Millisecond
			now.used += work
			now.clock += work / 4
			if i%100 == 99 {
				now.clock += time.Hour // nobody asked for anything
			}
			for owed := th.debt(); owed > 0; owed = th.debt() {
				now.clock += owed
			}
			passed = append(passed, now)
		}
		for i, a := range passed {
			for _, b := range passed[i+1:] {
				if needs, had := th.worth(b.used-a.used), b.clock-a.clock+maxCredit; needs > had+time.Microsecond {
					t.Fatalf("share %d: %v of processor time in %v", share, b.used-a.used, b.clock-a.clock)
				}
			}
		}
		for range 100 {
			now.clock += time.Second
			now.used += time.Duration(share) * time.Second / Million * 9 / 10
			if owed := th.debt(); owed > 0 {
				t.Fatalf("share %d: waits %v below it", share, owed)
			}
		}
	}
}

// echo is a model that says its prompt's length.
type echo struct{ inference.Model }

func (echo) Generate(_ context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error) {
	var a receipt.Answer
	for i := range r.Tokens {
		token := receipt.Token{ID: uint32(i)}
		if err := emit(token); err != nil {
			return a, err
		}
		a.Add(token)
	}
	return a, nil
}

type shelf struct{}

func (shelf) Model(context.Context, canon.CID) (inference.Model, error) { return echo{}, nil }

// A throttled model gives the same answer, and none while the process is beyond its
// share.
func TestThrottledAnswers(t *testing.T) {
	var used time.Duration
	models := Throttled{shelf{}, NewThrottle(Million, func() time.Duration { return used })}
	m, err := models.Model(t.Context(), canon.CID{})
	if err != nil {
		t.Fatal(err)
	}
	r := receipt.Request{Tokens: make([]uint32, 5)}
	n := 0
	a, err := m.Generate(t.Context(), r, func(receipt.Token) error { n++; return nil })
	if err != nil || len(a.Tokens) != 5 || n != 5 {
		t.Fatalf("%v after %d tokens: %v", a, n, err)
	}
	used = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n = 0
	if _, err := m.Generate(ctx, r, func(receipt.Token) error { n++; return nil }); !errors.Is(err, context.Canceled) || n != 0 {
		t.Errorf("%d tokens came beyond the share: %v", n, err)
	}
}

// held is a model that answers until it is let go.
type held struct {
	inference.Model
	began, free chan bool
}

func (h held) Generate(context.Context, receipt.Request, func(receipt.Token) error) (receipt.Answer, error) {
	h.began <- true
	<-h.free
	return receipt.Answer{}, nil
}

type heldShelf struct{ held held }

func (h heldShelf) Model(context.Context, canon.CID) (inference.Model, error) { return h.held, nil }

// A server that works hard on an answer of ours does not make the machine rest; the
// owner who comes back meanwhile does, and so do other programs later on. An answer
// of this process, whose own time is known, hides nothing.
func TestAnswersBesideAreNotTheOwner(t *testing.T) {
	sensor, tick := scripted{make(chan Signs)}, make(chan time.Time)
	w := NewWatcher(Rules{WhenIdle: time.Minute}, sensor)
	clock := make(chan time.Time)
	decisions := make(chan string, 16)
	go func() {
		_ = w.watch(t.Context(), tick, func() time.Time { return <-clock }, func(why string) { decisions <- why })
	}()
	base := time.Now()
	look := func(after time.Duration, s Signs) {
		now := base.Add(after)
		if !s.Busy.IsZero() {
			s.Busy = now
		}
		if !s.Input.IsZero() {
			s.Input = now
		}
		if after > 0 {
			tick <- now
		}
		clock <- now
		sensor.signs <- s
		if after > 0 {
			clock <- now // of the decision
		}
	}
	busy, here := Signs{Busy: base}, Signs{Busy: base, Input: base}
	look(0, Signs{})
	if why := <-decisions; why != "" {
		t.Fatalf("rests because %q", why)
	}
	answer := func(id canon.CID) (end func()) {
		h := held{began: make(chan bool), free: make(chan bool)}
		m, err := Noted{heldShelf{h}, &w.Beside}.Model(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan bool)
		go func() {
			_, _ = m.Generate(t.Context(), receipt.Request{}, nil)
			close(ended)
		}()
		<-h.began
		return func() { h.free <- true; <-ended }
	}
	declared, own := canon.NewCID(canon.Raw, canon.Hash{1}), canon.NewCID(canon.DagCBOR, canon.Hash{1})
	end := answer(declared)
	look(time.Second, busy)
	look(2*time.Second, busy)
	end()
	look(3*time.Second, busy) // and once more, so that the look before is judged
	look(4*time.Second, Signs{})
	if w.Why() != "" {
		t.Fatalf("rests because %q", w.Why())
	}
	end = answer(declared)
	look(5*time.Second, here)
	if why := <-decisions; !strings.HasPrefix(why, "its owner was here") {
		t.Fatalf("rests because %q", why)
	}
	end()
	look(2*time.Hour, Signs{})
	if why := <-decisions; why != "" {
		t.Fatalf("rests because %q", why)
	}
	end = answer(own)
	look(2*time.Hour+time.Second, busy)
	if why := <-decisions; !strings.HasPrefix(why, "other programs worked hard") {
		t.Fatalf("rests because %q", why)
	}
	end()
}
