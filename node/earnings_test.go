package node

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/verify"
	"daulat/ledger/client"
	"daulat/link/session"
	"daulat/ui/control"
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
	sales := sold(t, 3)
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

// settles is a ledger on which one session more is settled before each look at the
// sessions.
type settles struct {
	*soldOn
	left  int
	looks int
}

func (l *settles) Sessions(ctx context.Context, party string, state job.SessionState) ([]job.Session, error) {
	if state == job.SessionOpen {
		l.looks++
	}
	if state == job.SessionOpen && l.left > 0 {
		l.states[uint64(l.left)] = job.SessionSettled
		l.standing = client.Standing{Sessions: l.standing.Sessions + 1, Requests: l.standing.Requests + 2, Withheld: l.standing.Withheld + 10}
		l.left--
	}
	return l.soldOn.Sessions(ctx, party, state)
}

// TestWhatSettlesMeanwhileCounts: a session that settles between two questions is in one
// of the answers, whenever that happens.
func TestWhatSettlesMeanwhileCounts(t *testing.T) {
	sales := sold(t, 3)
	for settle := range 4 {
		ledger := &settles{soldOn: &soldOn{states: map[uint64]job.SessionState{1: job.SessionOpen, 2: job.SessionOpen, 3: job.SessionOpen}}, left: settle}
		e, err := earnings(t.Context(), ledger, sales)
		if err != nil || e.Sessions != 3 || e.Requests != 6 || e.Open+e.Withheld != 30 || ledger.left != 0 {
			t.Errorf("while %d settle: %+v, %v", settle, e, err)
		}
	}
	busy := &settles{soldOn: &soldOn{states: map[uint64]job.SessionState{}}, left: 100}
	if _, err := earnings(t.Context(), busy, sales); err != nil || busy.looks != earningsLooks {
		t.Errorf("while sessions settle all the time: %d looks, %v", busy.looks, err)
	}
}

// sold is the journal of as many open sessions, of two requests for 10 udlt each.
func sold(t *testing.T, sessions int) *session.Journal {
	t.Helper()
	sales, err := session.OpenJournal(filepath.Join(t.TempDir(), "provider.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sales.Close() })
	for id := range sessions {
		r := session.Record{Session: job.Session{ID: uint64(id + 1), State: job.SessionOpen, Terms: job.Terms{Model: canon.NewCID(canon.DagCBOR, canon.Hash{1})}},
			Served: job.Served{Paid: 10}}
		r.Served.Tally.Range.Count = 2
		if err := sales.Save(r); err != nil {
			t.Fatal(err)
		}
	}
	return sales
}

// TestPastEarningsAreAuditedAsSold: of a provider that does not run, what it sold last
// says whether anybody can run its answers again.
func TestPastEarningsAreAuditedAsSold(t *testing.T) {
	own, declared := canon.NewCID(canon.DagCBOR, canon.Hash{1}), canon.NewCID(canon.Raw, canon.Hash{1})
	sales := sold(t, 0)
	for i, model := range []canon.CID{own, declared, declared, own} {
		if err := sales.Save(session.Record{Session: job.Session{ID: uint64(i + 1), State: job.SessionOpen, Terms: job.Terms{Model: model}}, Ended: 1}); err != nil {
			t.Fatal(err)
		}
		e, err := pastEarnings(t.Context(), soldOn{}, sales)
		if err != nil || e.Unaudited != (model == declared) || (e.Audited == 0) != e.Unaudited {
			t.Errorf("session %d: %+v, %v", i+1, e, err)
		}
	}
}

// Each session counts on the day on which it was over, with what the ledger says it
// earned; open ones count today; others are out of the days that were asked for.
func TestEarningsByTheDay(t *testing.T) {
	sales, err := session.OpenJournal(filepath.Join(t.TempDir(), "provider.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer sales.Close()
	now := time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("east", 3600)) // the day before by UTC
	for i, s := range []struct {
		ended                time.Time
		withheld, paid, open uint64
	}{
		{now.Add(-time.Minute), 7, 0, 9}, // the ledger's word counts, not the journal's
		{now.Add(-24 * time.Hour), 0, 5, 5},
		{now.Add(-24 * time.Hour), 0, 6, 6},
		{now.Add(-72 * time.Hour), 0, 100, 100},
		{time.Time{}, 0, 0, 3},
		{now.Add(time.Hour), 0, 4, 4}, // on the next day of the ledger, which this machine's clock is behind
	} {
		r := session.Record{Session: job.Session{ID: uint64(i + 1), State: job.SessionOpen, Terms: job.Terms{Model: canon.NewCID(canon.DagCBOR, canon.Hash{1})}},
			Served: job.Served{Paid: s.open}}
		r.Served.Tally.Range.Count = 2
		r.Session.Escrow.Withheld, r.Session.Escrow.Paid = s.withheld, s.paid
		if !s.ended.IsZero() {
			r.Ended = uint64(s.ended.Unix())
		}
		if err := sales.Save(r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := perDay(sales, now, 3)
	want := []control.EarnedDay{{Day: "2026-02-26"}, {Day: "2026-02-27", Earned: 11, Requests: 4, Sessions: 2}, {Day: "2026-02-28", Earned: 14, Requests: 6, Sessions: 3}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, days := range []int{0, -1, maxDays + 1} {
		if _, err := perDay(sales, now, days); !errors.As(err, new(control.WrongInput)) {
			t.Errorf("%d days: %v", days, err)
		}
	}
}

// newcomer is a ledger that knows nothing of a provider that has rested ever since
// it came.
type newcomer struct{ soldOn }

func (newcomer) Stake(context.Context, string) (uint64, error) { return 0, client.ErrNotFound }

func TestNobodyKnowsARestingNewcomer(t *testing.T) {
	sales, err := session.OpenJournal(filepath.Join(t.TempDir(), "provider.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer sales.Close()
	if e, err := earnings(t.Context(), newcomer{}, sales); err != nil || e.Stake != 0 || e.Audited != verify.Million {
		t.Errorf("%+v, %v", e, err)
	}
}
