package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/link/session"
)

const (
	settleEvery  = time.Second
	settleMargin = 60  // seconds before a session's deadline at which it is closed
	settleBatch  = 200 // sessions in one message
)

// settling brings pairs to the ledger whenever a session there needs one, and
// so reconciles what the journal believes with what the ledger says.
func (p *Provider) settling(ctx context.Context) {
	defer p.done.Done()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		if err := p.reconcile(ctx); err != nil && ctx.Err() == nil {
			p.Log.Warn("settling failed; will try again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// reconcile looks at every session of the journal that is not over.
func (p *Provider) reconcile(ctx context.Context) error {
	records, err := p.Journal.Records(func(r session.Record) bool { return !over(r.Session.State) })
	if err != nil || len(records) == 0 {
		return err
	}
	now, err := p.Ledger.Now(ctx)
	if err != nil {
		return err
	}
	var due []session.Record
	for _, r := range records {
		fresh, err := p.Ledger.Session(ctx, r.Session.ID)
		if err != nil {
			return err
		}
		r.Session = fresh
		if over(fresh.State) {
			if err := p.refresh(ctx, fresh); err != nil {
				return err
			}
			continue
		}
		if r.Newest != nil && needed(r, now) {
			due = append(due, r)
		}
	}
	for len(due) > 0 {
		n := min(len(due), settleBatch)
		if err := p.settle(ctx, due[:n]); err != nil {
			return err
		}
		due = due[n:]
	}
	return nil
}

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

// refresh notes that a session is over.
func (p *Provider) refresh(ctx context.Context, fresh job.Session) error {
	return p.withLease(ctx, fresh.ID, func(l *lease) error {
		l.record.Session = fresh
		if err := p.Journal.Save(l.record); err != nil {
			return err
		}
		p.forget(fresh.ID)
		return nil
	})
}
