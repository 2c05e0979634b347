package node

import (
	"context"
	"path/filepath"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/ledger/client"
	"daulat/link/session"
)

// soldOn is a ledger that shows what one provider sold.
type soldOn struct {
	standing client.Standing
	states   map[uint64]job.SessionState
}

func (l soldOn) Account() string                                           { return "me" }
func (l soldOn) Standing(context.Context, string) (client.Standing, error) { return l.standing, nil }
func (l soldOn) Stake(context.Context, string) (uint64, error)             { return l.standing.Withheld, nil }
func (l soldOn) Sessions(_ context.Context, _ string, state job.SessionState) (all []job.Session, _ error) {
	for id, s := range l.states {
		if s == state {
			all = append(all, job.Session{ID: id})
		}
	}
	return all, nil
}

// TestSettledSessionsCountOnce: the journal takes all three sessions for open,
// and hears later what the ledger says.
func TestSettledSessionsCountOnce(t *testing.T) {
	sales, err := session.OpenJournal(filepath.Join(t.TempDir(), "provider.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer sales.Close()
	for id := range uint64(3) {
		r := session.Record{Session: job.Session{ID: id + 1, State: job.SessionOpen, Terms: job.Terms{Model: canon.NewCID(canon.DagCBOR, canon.Hash{1})}},
			Served: job.Served{Paid: 10}}
		r.Served.Tally.Range.Count = 2
		if err := sales.Save(r); err != nil {
			t.Fatal(err)
		}
	}
	// Nobody has called in session 4 yet.
	ledger := soldOn{states: map[uint64]job.SessionState{1: job.SessionOpen, 2: job.SessionOpen, 3: job.SessionOpen, 4: job.SessionOpen}}
	for i, move := range []func(){
		func() {},
		func() { ledger.states[1] = job.SessionClosing },
		func() {
			ledger.states[1] = job.SessionSettled
			ledger.standing = client.Standing{Sessions: 1, Requests: 2, Withheld: 10}
		},
		func() {
			ledger.states[1], ledger.states[2], ledger.states[3] = job.SessionReleased, job.SessionSettled, job.SessionSettled
			ledger.standing = client.Standing{Sessions: 3, Requests: 6, Withheld: 20, Released: 10}
		},
	} {
		move()
		e, err := earnings(t.Context(), ledger, sales)
		if err != nil || e.Sessions != 3 || e.Requests != 6 || e.Open+e.Withheld+e.Released != 30 || e.Withheld != ledger.standing.Withheld {
			t.Errorf("after move %d: %+v, %v", i, e, err)
		}
	}
}
