package node

import (
	"context"

	"daulat/core/job"
	"daulat/core/verify"
	"daulat/ledger/client"
	"daulat/link/session"
	"daulat/ui/control"
)

// earnings are what the home's provider made.
func (s *seller) earnings(ctx context.Context) (control.Earnings, error) {
	return earnings(ctx, s.ledger, s.sales)
}

// soldLedger is what a ledger says of a provider's sessions.
type soldLedger interface {
	Account() string
	Standing(ctx context.Context, provider string) (client.Standing, error)
	Stake(ctx context.Context, provider string) (uint64, error)
	Sessions(ctx context.Context, party string, state job.SessionState) ([]job.Session, error)
}

// earnings adds what the journal holds of sessions that are not settled to what
// the ledger says of those that are. Which is which the ledger alone says: the
// journal hears of a settlement later.
func earnings(ctx context.Context, ledger soldLedger, sales *session.Journal) (control.Earnings, error) {
	e := control.Earnings{Address: ledger.Account()}
	standing, err := ledger.Standing(ctx, e.Address) // first: what settles meanwhile is missed for once and not counted twice
	if err != nil {
		return e, err
	}
	if e.Stake, err = ledger.Stake(ctx, e.Address); err != nil {
		return e, err
	}
	open := map[uint64]bool{}
	for _, state := range []job.SessionState{job.SessionOpen, job.SessionClosing} {
		all, err := ledger.Sessions(ctx, e.Address, state)
		if err != nil {
			return e, err
		}
		for _, s := range all {
			open[s.ID] = true
		}
	}
	records, err := sales.Records(func(r session.Record) bool { return open[r.Session.ID] })
	if err != nil {
		return e, err
	}
	e.Sessions, e.Requests = int(standing.Sessions)+len(records), standing.Requests
	e.Withheld, e.Released, e.Complaints = standing.Withheld, standing.Released, standing.Complaints
	for _, r := range records {
		e.Requests += r.Served.Tally.Range.Count
		e.Open += r.Served.Paid
	}
	each := (e.Open + e.Withheld + e.Released) / max(1, e.Requests)
	e.Audited = verify.AuditRate(max(1, each), verify.Million, max(1, each), e.Stake)
	return e, nil
}
