package market

import (
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"daulat/core/job"
	pb "daulat/gen/market"
)

// mixed is a batch in which entries of every kind, good and bad, depend on each
// other: sessions come again, older and newer, before and after they settled.
func mixed(w *world) (by, stranger actor, batch []pb.Entry) {
	c, d, x, p := w.actor(1), w.actor(2), w.actor(4), w.actor(3)
	w.offer(p, 150, 8)
	a, b, e, f := w.opened(c), w.opened(d), w.opened(c), w.opened(x)
	add := func(entries ...pb.Entry) { batch = append(batch, entries...) }
	newest := wireEntry(pair(p, c, a, 3, 300, 300, false), false)
	add(wireEntry(pair(p, c, a, 2, 200, 200, false), false), newest, wireEntry(pair(p, c, a, 1, 100, 100, false), false), newest)
	bad := forgeries(p, d, b, e)
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		add(bad[name])
	}
	final := wireEntry(pair(p, d, b, 4, 400, 400, true), false)
	add(pb.Entry{Session: 1 << 50}, final, final, wireEntry(pair(p, d, b, 5, 500, 500, false), false))
	add(wireEntry(pair(p, c, e, 1, 10, 10, false), true), wireEntry(pair(p, c, e, 2, 20, 20, false), true), pb.Entry{Session: 1 << 50})
	w.bank.blocked[string(x.raw)] = true // what is left of f can't be paid back
	add(wireEntry(pair(p, x, f, 1, 10, 10, true), false), wireEntry(pair(p, x, f, 1, 10, 10, false), false))
	return p, w.actor(9), batch
}

// One message has the results, the state and the events that its entries have
// when each is brought alone, and the same gas however many processors check it.
func TestBatchEqualsOneByOne(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, stranger := range []bool{false, true} {
		alone := newWorld(t)
		by, other, batch := mixed(alone)
		if stranger {
			by = other
		}
		var want []pb.EntryResult
		var said []string
		for _, e := range batch {
			want = append(want, alone.settle(by, e)...)
			said = append(said, events(alone)...)
		}
		took := slices.ContainsFunc(want, func(r pb.EntryResult) bool { return r.Error == "" && r.State == string(job.SessionOpen) })
		if refused := slices.ContainsFunc(want, func(r pb.EntryResult) bool { return r.Error != "" }); !took || !refused || (len(said) == 0) != stranger {
			t.Fatalf("the batch is too plain: %+v", want)
		}
		gas := map[uint64]bool{}
		for _, processors := range []int{1, 2, 3, 16} {
			runtime.GOMAXPROCS(processors)
			w := newWorld(t)
			_, _, batch := mixed(w)
			before := w.ctx.GasMeter().GasConsumed()
			got := w.settle(by, batch...)
			gas[w.ctx.GasMeter().GasConsumed()-before] = true
			if !reflect.DeepEqual(got, want) || w.snapshot() != alone.snapshot() || !slices.Equal(events(w), said) {
				t.Errorf("%d processors: %+v\nalone: %+v", processors, got, want)
			}
		}
		if len(gas) != 1 {
			t.Errorf("gas depends on the machine: %v", gas)
		}
	}
}

func events(w *world) (all []string) {
	for _, e := range w.ctx.EventManager().Events() {
		all = append(all, fmt.Sprint(e))
	}
	return all
}

// A fault on a goroutine is the caller's, once every claim was looked at.
func TestPanicOfACheckIsTheCallers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 1)
	session := w.session(w.opened(c))
	good := wireEntry(pair(p, c, session.ID, 1, 10, 10, false), false)
	for _, processors := range []int{1, 4} {
		runtime.GOMAXPROCS(processors)
		claims := make([]claim, 64)
		for i := range claims {
			if claims[i].wire = &good; i%5 != 3 {
				claims[i].session = &session
			}
		}
		caught := func() (p any) {
			defer func() { p = recover() }()
			checkAll(chainID, claims)
			return nil
		}()
		if _, ok := caught.(runtime.Error); !ok {
			t.Fatalf("%d processors: caught %v", processors, caught)
		}
		for i, c := range claims {
			if (c.panicked != nil) != (i%5 == 3) || c.panicked == nil && c.pair == (job.Sound{}) {
				t.Errorf("%d processors: claim %d: %+v", processors, i, c)
			}
		}
	}
}
