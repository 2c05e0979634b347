package consumer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"daulat/core/job"
	wire "daulat/link/session"
)

// still is a ledger whose clock is not this machine's.
type still struct{ Ledger }

func (still) Addresses(context.Context, string) ([]string, error) { return nil, nil }
func (still) Stake(context.Context, string) (uint64, error)       { return 0, nil }

// TestDeadlinesAreMonotonic: a wall clock that is set, by hand or by NTP, moves
// no deadline of this process. A time says so by its monotonic reading.
func TestDeadlinesAreMonotonic(t *testing.T) {
	c := New(Config{Ledger: still{}})
	const blockTime = 1000 // long ago on this machine
	s, err := c.session(t.Context(), wire.Record{Session: job.Session{Clock: blockTime + 3600}}, blockTime)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(s.expires); left < 58*time.Minute || left > time.Hour {
		t.Errorf("the session of an hour is used for %v", left)
	}
	c.shun(t.Context(), "p", errors.New("silent"))
	for what, deadline := range map[string]time.Time{"a session": s.expires, "a shunned provider": c.shunned["p"].until} {
		if !strings.Contains(deadline.String(), "m=") {
			t.Errorf("the deadline of %s follows the wall clock: %s", what, deadline)
		}
	}
}
