package manners

import (
	"context"
	"errors"
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
