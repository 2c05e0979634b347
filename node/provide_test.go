package node

import (
	"testing"
	"time"

	"daulat/core/job"
	"daulat/ui/control"
)

// TestLastWordsSayUntilWhen: the latest end of the provider's own sessions, and
// nothing where nothing is withheld.
func TestLastWordsSayUntilWhen(t *testing.T) {
	end := time.Date(2026, 5, 4, 3, 2, 1, 0, time.Local)
	session := func(provider string, after time.Duration) job.Session {
		return job.Session{Provider: provider, Clock: uint64(end.Add(after).Unix())}
	}
	mine := []job.Session{session("me", -time.Hour), session("me", 0), session("me", -time.Minute), session("other", time.Hour)}
	for name, c := range map[string]struct {
		withheld uint64
		settled  []job.Session
		want     string
	}{
		"withheld":       {3, mine, "earned 10 udlt: 5 in open sessions, 2 released, 3 withheld, which the ledger releases by itself until 2026-05-04 03:02:01"},
		"released":       {0, mine, "earned 7 udlt: 5 in open sessions, 2 released, 0 withheld"},
		"already moved":  {3, nil, "earned 10 udlt: 5 in open sessions, 2 released, 3 withheld"},
		"only of others": {3, mine[3:], "earned 10 udlt: 5 in open sessions, 2 released, 3 withheld"},
	} {
		if got := lastWords(control.Earnings{Address: "me", Open: 5, Released: 2, Withheld: c.withheld}, c.settled); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
