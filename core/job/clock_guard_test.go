package job_test

import (
	"math"
	"reflect"
	"testing"

	"daulat/core/job"
)

// far is a block time beyond all that a chain reaches; times are int64 there.
const far = uint64(math.MaxInt64) - 2*job.MaxWindow

func matched(t *testing.T, at uint64) job.Session {
	t.Helper()
	o, err := job.Place(1, consumer, key(t, "s").Public(), testTerms(), at)
	if err != nil {
		t.Fatal(err)
	}
	_, s, err := o.Match(job.Party{Account: provider, Key: key(t, "p").Public(), Price: testTerms().Ceiling}, at)
	if err != nil {
		t.Fatal(err)
	}
	return s.Freeze(job.Windows{Close: 30, Challenge: 50})
}

// TestClockThatJumpsAheadSkipsNoWindow: whoever has something to bring has the
// whole window for it, counted from the first block that ends the state before.
func TestClockThatJumpsAheadSkipsNoWindow(t *testing.T) {
	s := matched(t, 100)
	now := far
	for _, step := range []struct {
		want   job.SessionState
		window uint64
	}{{job.SessionClosing, 30}, {job.SessionSettled, 50}, {job.SessionReleased, 0}} {
		next, _, err := s.Tick(now)
		if err != nil || next.State != step.want {
			t.Fatalf("%s became %s: %v", s.State, next.State, err)
		}
		if again, _, _ := next.Tick(now); again.State != next.State {
			t.Fatalf("%s became %s within one block", next.State, again.State)
		}
		if step.window > 0 && next.Clock != now+step.window {
			t.Fatalf("%s ends %d seconds after it began, not %d", next.State, int64(next.Clock-now), step.window)
		}
		s, now = next, now+step.window+7 // no block comes just in time
	}
	if s.Escrow.Locked+s.Escrow.Withheld != 0 || s.Escrow.Paid+s.Escrow.Refunded != s.Escrow.Deposited {
		t.Errorf("money is left behind: %+v", s.Escrow)
	}
}

// TestClockThatGoesBackEndsNothing: nor does it shorten what has begun.
func TestClockThatGoesBackEndsNothing(t *testing.T) {
	open := matched(t, 1000)
	closing, err := open.Close(consumer, 1100)
	if err != nil {
		t.Fatal(err)
	}
	settled, _, err := closing.Tick(closing.Clock)
	if err != nil || settled.State != job.SessionSettled {
		t.Fatal(settled.State, err)
	}
	for _, s := range []job.Session{open, closing, settled} {
		for _, now := range []uint64{0, 1, 999, s.Clock - 1} {
			next, paid, err := s.Tick(now)
			if err != nil || !reflect.DeepEqual(next, s) || len(paid) > 0 {
				t.Errorf("at %d, before its clock of %d, %s became %s and paid %v: %v", now, s.Clock, s.State, next.State, paid, err)
			}
		}
	}
	o, err := job.Place(1, consumer, key(t, "s").Public(), testTerms(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, expired := o.Tick(0); expired {
		t.Error("an order expired before it was placed")
	}
}
