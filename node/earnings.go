package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/verify"
	"daulat/ledger/client"
	"daulat/link/session"
	"daulat/ui/control"
)

// earnings are what the home's provider made, which says what it sells.
func (s *seller) earnings(ctx context.Context) (control.Earnings, error) {
	e, err := earnings(ctx, s.ledger, s.sales)
	return ofModel(e, s.served.ID), err
}

// pastEarnings are what a provider made that does not run: what it sold last says how
// much of its work is checked.
func pastEarnings(ctx context.Context, ledger soldLedger, sales *session.Journal) (control.Earnings, error) {
	e, err := earnings(ctx, ledger, sales)
	if err != nil {
		return e, err
	}
	var last canon.CID
	_, err = sales.Records(func(r session.Record) bool {
		last = r.Session.Terms.Model
		return false
	})
	return ofModel(e, last), err
}

// ofModel shows no rate of audits where nobody can run the model again.
func ofModel(e control.Earnings, model canon.CID) control.Earnings {
	if artifact.IsDeclared(model) {
		e.Audited, e.Unaudited = 0, true
	}
	return e
}

// soldLedger is what a ledger says of a provider's sessions.
type soldLedger interface {
	Account() string
	Standing(ctx context.Context, provider string) (client.Standing, error)
	Stake(ctx context.Context, provider string) (uint64, error)
	Sessions(ctx context.Context, party string, state job.SessionState) ([]job.Session, error)
}

// earningsLooks bounds the looks at what settles in each block: after the last one that
// is missed for once, and still not counted twice.
const earningsLooks = 5

// earnings adds what the journal holds of sessions that are not settled to what
// the ledger says of those that are. Which is which the ledger alone says: the
// journal hears of a settlement later.
func earnings(ctx context.Context, ledger soldLedger, sales *session.Journal) (control.Earnings, error) {
	e := control.Earnings{Address: ledger.Account()}
	standing, err := ledger.Standing(ctx, e.Address)
	if err != nil {
		return e, err
	}
	open, moved, err := unsettled(ctx, ledger, sales, standing)
	for look := 1; err == nil && moved != standing && look < earningsLooks; look++ { // what settled meanwhile is in neither
		standing = moved
		open, moved, err = unsettled(ctx, ledger, sales, standing)
	}
	if err != nil {
		return e, err
	}
	// One that has rested since it came is not on the ledger yet, and has no stake.
	if e.Stake, err = ledger.Stake(ctx, e.Address); err != nil && !errors.Is(err, client.ErrNotFound) {
		return e, err
	}
	e.Bond = e.Stake - min(e.Stake, standing.Withheld)
	e.Sessions, e.Requests = int(standing.Sessions)+len(open), standing.Requests
	e.Withheld, e.Released, e.Complaints = standing.Withheld, standing.Released, standing.Complaints
	for _, r := range open {
		e.Requests += r.Served.Tally.Range.Count
		e.Open += r.Served.Paid
	}
	each := (e.Open + e.Withheld + e.Released) / max(1, e.Requests)
	e.Audited = verify.AuditRate(max(1, each), verify.Million, max(1, each), e.Stake)
	return e, nil
}

// unsettled are the journal's records of sessions that the ledger has not settled, and
// the provider's standing after that was read: it is asked for again only if the journal
// has an open session that the ledger has settled, a moment ago or before.
func unsettled(ctx context.Context, ledger soldLedger, sales *session.Journal, standing client.Standing) ([]session.Record, client.Standing, error) {
	open := map[uint64]bool{}
	for _, state := range []job.SessionState{job.SessionOpen, job.SessionClosing} {
		all, err := ledger.Sessions(ctx, ledger.Account(), state)
		if err != nil {
			return nil, standing, err
		}
		for _, s := range all {
			open[s.ID] = true
		}
	}
	settled := false
	records, err := sales.Records(func(r session.Record) bool {
		settled = settled || r.Ended == 0 && !open[r.Session.ID]
		return open[r.Session.ID]
	})
	if err == nil && settled {
		standing, err = ledger.Standing(ctx, ledger.Account())
	}
	return records, standing, err
}

// errNothingSold says that a home has no provider.
var errNothingSold = errors.New("this home sells nothing")

// maxDays bounds what a command may ask for.
const maxDays = 366

// perDay adds up what sessions earned by the day (UTC) on which they were over, for
// the last days, the oldest first. The last one is today, with what is vouched for
// in sessions that are not over.
func perDay(sales *session.Journal, now time.Time, days int) ([]control.EarnedDay, error) {
	if days < 1 || days > maxDays {
		return nil, control.WrongInput{Err: fmt.Errorf("earnings are shown for 1 to %d days, not %d", maxDays, days)}
	}
	now = now.UTC()
	all, at := make([]control.EarnedDay, days), map[string]*control.EarnedDay{}
	for i := range all {
		all[i].Day = now.AddDate(0, 0, i+1-days).Format(time.DateOnly)
		at[all[i].Day] = &all[i]
	}
	records, err := sales.Records(func(session.Record) bool { return true })
	for _, r := range records {
		earned, requests, ended := r.Served.Paid, r.Served.Tally.Range.Count, now
		if r.Ended != 0 {
			earned, ended = r.Session.Escrow.Withheld+r.Session.Escrow.Paid, time.Unix(int64(r.Ended), 0).UTC()
		}
		if ended.After(now) { // this machine's clock is behind the ledger's
			ended = now
		}
		if day := at[ended.Format(time.DateOnly)]; day != nil {
			day.Earned, day.Requests, day.Sessions = day.Earned+earned, day.Requests+requests, day.Sessions+1
		}
	}
	return all, err
}
