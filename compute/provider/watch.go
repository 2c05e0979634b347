package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"daulat/core/job"
	"daulat/link/session"
)

const (
	watchEvery   = time.Second
	watchQuiet   = 10 * time.Minute // the longest that a session is not asked about
	settleMargin = 60               // seconds before a session's deadline at which it is closed
	settleBatch  = 200              // sessions in one message
)

// watched is what the settling loop knows of a session that is not over, from
// when it last asked the ledger about it.
type watched struct {
	at     time.Time // local and monotonic; zero: ask at the next round
	state  job.SessionState
	clock  uint64 // block time at which the state ends
	window uint64 // for a newer pair after a close, seconds
}

// due reports that the ledger is to be asked about the session: all the time
// towards the end of a state, and else four times in a close window. So a close
// by the consumer is seen when a quarter of the window is over, and at the
// longest one round later; three quarters are left to bring a newer pair.
func (w watched) due(block uint64, now time.Time) bool {
	ends := w.clock
	if w.state == job.SessionOpen {
		ends -= min(settleMargin, ends)
	}
	if w.at.IsZero() || block >= ends {
		return true
	}
	quarter := time.Duration(w.window) * time.Second / 4 // job.MaxWindow bounds it
	return now.Sub(w.at) >= min(quarter, watchQuiet)
}

func newWatched(s job.Session) watched {
	return watched{at: time.Now(), state: s.State, clock: s.Clock, window: s.Windows.Close}
}

// watch has the session asked about in the next round.
func (p *Provider) watch(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watches[id] = watched{}
}

// watchAll takes up the sessions of an earlier run that were not over, and what
// those before left unpaid.
func (p *Provider) watchAll() error {
	records, err := p.Journal.Records(func(r session.Record) bool {
		p.debts.note(r)
		return !over(r.Session.State)
	})
	for _, r := range records {
		p.watch(r.Session.ID)
	}
	return err
}

// seen notes what the ledger shows of a session, unless another look was wanted
// meanwhile.
func (p *Provider) seen(s job.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.watches[s.ID].at.IsZero() {
		p.watches[s.ID] = newWatched(s)
	}
}

// forget drops the memory of a session that is over.
func (p *Provider) forget(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.leases, id)
	delete(p.watches, id)
}

// asked are the sessions that the ledger is to be asked about now.
func (p *Provider) asked(block uint64) (ids []uint64) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, w := range p.watches {
		if w.due(block, now) {
			w.at = now
			p.watches[id] = w
			ids = append(ids, id)
		}
	}
	return ids
}

// settling brings pairs to the ledger whenever a session there needs one, and
// so reconciles what the journal believes with what the ledger says.
func (p *Provider) settling(ctx context.Context) {
	defer p.done.Done()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for broken := p.Journal.Broken(); ; {
		if err := p.reconcile(ctx); err != nil && ctx.Err() == nil {
			p.Log.Warn("settling failed; will try again", "error", err)
		}
		if err := p.announce(ctx); err != nil && ctx.Err() == nil {
			p.Log.Warn("announcing failed; will try again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-broken:
			broken = nil
			p.giveUp(ctx)
		case <-p.shift.wake:
		case <-tick.C:
		}
	}
}

// reconcile is one round: it looks at the sessions whose time it is. A session
// that can't be looked at holds up no other.
func (p *Provider) reconcile(ctx context.Context) error {
	if p.idle() {
		return nil
	}
	now, err := p.Ledger.Now(ctx)
	if err != nil {
		return err
	}
	var failed []error
	var due []session.Record
	for _, id := range p.asked(now) {
		r, needs, err := p.look(ctx, id, now)
		if err != nil {
			failed = append(failed, fmt.Errorf("look at session %d: %w", id, err))
		}
		if needs {
			due = append(due, r)
		}
		if needs || err != nil {
			p.watch(id)
		}
	}
	for len(due) > 0 {
		n := min(len(due), settleBatch)
		failed = append(failed, p.settle(ctx, due[:n]))
		due = due[n:]
	}
	return errors.Join(failed...)
}

func (p *Provider) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watches) == 0
}

// look asks the ledger about one session, and reports whether its newest pair
// is to be brought there.
func (p *Provider) look(ctx context.Context, id, now uint64) (r session.Record, needs bool, err error) {
	fresh, err := p.Ledger.Session(ctx, id)
	if err != nil {
		return r, false, err
	}
	if over(fresh.State) {
		return r, false, p.refresh(ctx, fresh, now)
	}
	r, err = p.Journal.Record(id)
	if err != nil && !errors.Is(err, session.ErrNoRecord) { // nothing was served yet
		return r, false, err
	}
	r.Session = fresh
	p.seen(fresh)
	return r, r.Newest != nil && needed(r, now), nil
}

// refresh notes that a session is over at block time now. If an answer is under
// way in it, the next round does.
func (p *Provider) refresh(ctx context.Context, fresh job.Session, now uint64) error {
	l, err := p.lease(ctx, fresh.ID)
	if err != nil {
		return err
	}
	if !l.tryLock() {
		p.watch(fresh.ID)
		return nil
	}
	defer l.unlock()
	record := l.record
	record.Session = fresh
	if record.Ended == 0 {
		record.Ended = now
	}
	if err := p.keep(l, record); err != nil && p.Journal.Err() == nil {
		return err
	} // one that takes no more hears of it after a restart
	p.forget(fresh.ID)
	return nil
}
