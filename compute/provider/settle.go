package provider

import (
	"context"
	"errors"
	"fmt"

	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/link/session"
)

// over reports that nothing more can be claimed.
func over(s job.SessionState) bool { return s == job.SessionSettled || s == job.SessionReleased }

// needed reports that the ledger should see the newest pair now.
func needed(r session.Record, now uint64) bool {
	known := r.Session.Claim != nil && !r.Newest.Newer(*r.Session.Claim)
	switch r.Session.State {
	case job.SessionClosing:
		return !known
	case job.SessionOpen:
		return r.Newest.Voucher.Final || now+settleMargin >= r.Session.Clock
	}
	return false
}

// settle brings the newest pairs to the ledger in one message and notes what
// became of the sessions.
func (p *Provider) settle(ctx context.Context, records []session.Record) error {
	settlements := make([]receipt.Settlement, len(records))
	for i, r := range records {
		settlements[i] = receipt.Settlement{Entry: *r.Newest, Close: true}
	}
	results, err := p.Ledger.Settle(ctx, settlements)
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	var failed []error
	for i, r := range records {
		if results[i] != nil {
			failed = append(failed, p.unsettled(ctx, r, results[i]))
			continue
		}
		p.Log.Info("session brought to the ledger", "session", r.Session.ID, "udlt", r.Newest.Due())
	}
	return errors.Join(failed...)
}

// unsettled is why a session could not be settled, or nil if it is over already:
// the other side or an earlier try of this one was faster.
func (p *Provider) unsettled(ctx context.Context, r session.Record, why error) error {
	fresh, err := p.Ledger.Session(ctx, r.Session.ID)
	if err == nil && over(fresh.State) {
		return nil
	}
	return fmt.Errorf("settle session %d: %w", r.Session.ID, why)
}
