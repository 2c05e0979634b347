package provider

import (
	"context"
	"fmt"
	"sync"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/link/session"
)

// maxDebts bounds how many sessions are remembered for what they left unpaid.
const maxDebts = 1 << 14

// debts are what accounts left unpaid, by account and session. The journal holds
// the same.
type debts struct {
	mu    sync.Mutex
	of    map[string]map[uint64]debt
	count int
}

type debt struct {
	udlt  uint64
	ended uint64 // block time at which the session was seen over; 0 before
}

// note takes up what a session's record says by now.
func (d *debts) note(r session.Record) {
	udlt := r.Session.Debt(r.Served, r.Unpaid)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(r.Session.Consumer, r.Session.ID)
	if udlt == 0 || over(r.Session.State) && r.Ended == 0 { // of a journal from before ends were noted
		return
	}
	if d.count >= maxDebts {
		d.drop(d.oldest())
	}
	if d.of[r.Session.Consumer] == nil {
		d.of[r.Session.Consumer] = map[uint64]debt{}
	}
	d.of[r.Session.Consumer][r.Session.ID] = debt{udlt, r.Ended}
	d.count++
}

func (d *debts) drop(account string, id uint64) {
	if _, known := d.of[account][id]; !known {
		return
	}
	d.count--
	if delete(d.of[account], id); len(d.of[account]) == 0 {
		delete(d.of, account)
	}
}

// oldest is the session with the lowest number, which lapses first or is no
// worse to forget than another.
func (d *debts) oldest() (account string, id uint64) {
	id = ^uint64(0)
	for who, sessions := range d.of {
		for n := range sessions {
			if n <= id {
				account, id = who, n
			}
		}
	}
	return account, id
}

// owed is what an account owes at a block time, over all its sessions.
func (d *debts) owed(account string, now uint64) (sum uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.of[account] {
		if !job.DebtLapsed(one.ended, now) {
			sum += min(one.udlt, ^sum)
		}
	}
	return sum
}

// trusts refuses who owes too much. The ledger is asked for the time only if that
// matters.
func (p *Provider) trusts(ctx context.Context, s job.Session, m job.Served, request canon.Hash) error {
	if s.Trusts(m, p.debts.owed(s.Consumer, 0), request) == nil {
		return nil
	}
	now, err := p.Ledger.Now(ctx)
	if err != nil {
		return err
	}
	return s.Trusts(m, p.debts.owed(s.Consumer, now), request)
}

// timely refuses a voucher for an unpaid answer that comes when the ledger takes
// no more pairs of the session: it pays for nothing. A session that was open when
// last looked at is not over yet, as looks are closer than its close window.
func (p *Provider) timely(ctx context.Context, id uint64) error {
	p.mu.Lock()
	state := p.watches[id].state
	p.mu.Unlock()
	if state == job.SessionOpen {
		return nil
	}
	fresh, err := p.Ledger.Session(ctx, id)
	if err != nil {
		return err
	}
	if over(fresh.State) {
		return fmt.Errorf("session %d: %w but %s, and a voucher comes too late", id, job.ErrNotOpen, fresh.State)
	}
	return nil
}

// keep writes a lease's record to disk and then remembers it. What it says of a
// debt counts before it can be read there.
func (p *Provider) keep(l *lease, r session.Record) error {
	p.debts.note(r)
	if err := p.Journal.Save(r); err != nil {
		p.debts.note(l.record)
		return err
	}
	l.record = r
	return nil
}
