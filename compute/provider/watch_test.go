package provider

import (
	"testing"
	"time"

	"daulat/core/job"
)

// TestCloseIsSeenInTime: wherever between two looks a close falls, a quarter of
// its window and one round later it is seen.
func TestCloseIsSeenInTime(t *testing.T) {
	for _, window := range []uint64{1, 3, 4, 10, 59, 60, 3600, 24 * 3600, job.MaxWindow} {
		begin := time.Unix(0, 0)
		w := watched{at: begin, state: job.SessionOpen, clock: 1 << 40, window: window}
		now := begin
		for now = now.Add(watchEvery); !w.due(1000, now) && now.Sub(begin) < 2*watchQuiet; now = now.Add(watchEvery) {
		}
		least := min(time.Duration(window)*time.Second/4, watchQuiet)
		if after := now.Sub(begin); after < least || after >= least+watchEvery && after > watchEvery {
			t.Errorf("window of %d s: the next look is after %v", window, after)
		}
	}
}

func TestWhenTheLedgerIsAsked(t *testing.T) {
	at := time.Unix(100, 0)
	open := watched{at: at, state: job.SessionOpen, clock: 5000, window: 3600}
	closing := watched{at: at, state: job.SessionClosing, clock: 5000, window: 3600}
	for name, c := range map[string]struct {
		w     watched
		block uint64
		want  bool
	}{
		"never asked":                    {watched{}, 0, true},
		"open":                           {open, 5000 - settleMargin - 1, false},
		"open, near its deadline":        {open, 5000 - settleMargin, true},
		"open since a moment ago":        {watched{at: at, state: job.SessionOpen, clock: 5, window: 3600}, 5, true},
		"closing, and the pair is there": {closing, 4999, false},
		"closing, at its end":            {closing, 5000, true},
	} {
		if got := c.w.due(c.block, at); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
