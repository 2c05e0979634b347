package provider

import (
	"context"
	"sync"

	"daulat/link/session"
)

// A machine's owner may want it back at any moment. Its offers are taken back
// then, and requests are refused as by a busy provider, those under way too: the
// consumer gets the same answer elsewhere. What is earned is still settled.

// errResting ends what is under way. It does not say why: that is the owner's
// business.
var errResting error = &session.Refusal{Code: session.Busy, Reason: "the machine rests"}

// shift is the time between two rests.
type shift struct {
	mu   sync.Mutex
	work context.Context // ends with errResting when a rest begins
	end  context.CancelCauseFunc
	wake chan struct{} // the ledger is to be told
}

func newShift(resting bool) *shift {
	s := &shift{wake: make(chan struct{}, 1)}
	s.work, s.end = context.WithCancelCause(context.Background())
	if resting {
		s.end(errResting)
	}
	return s
}

func (s *shift) resting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.work.Err() != nil
}

// join returns a context that also ends, with errResting, when a rest begins or if
// one is on.
func (s *shift) join(ctx context.Context) (context.Context, context.CancelFunc) {
	s.mu.Lock()
	work := s.work
	s.mu.Unlock()
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(work, func() { end(context.Cause(work)) })
	return ctx, func() { stop(); end(nil) }
}

// change begins a rest or a shift, unless it is on.
func (s *shift) change(rest bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rest == (s.work.Err() != nil) {
		return
	}
	if rest {
		s.end(errResting)
	} else {
		s.work, s.end = context.WithCancelCause(context.Background())
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Rest takes no work on until Work, and stops what is under way. It returns at
// once; the offers are taken back soon after.
func (p *Provider) Rest() { p.shift.change(true) }

// Work ends a rest. The offers come back soon after.
func (p *Provider) Work() { p.shift.change(false) }

// Resting reports whether a rest is on.
func (p *Provider) Resting() bool { return p.shift.resting() }
