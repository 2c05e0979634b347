package consumer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"daulat/core/job"
	"daulat/core/receipt"
	wire "daulat/link/session"
)

// maxTries is how many providers one request is put to.
const maxTries = 3

// number is the request's own: fresh, so that no two requests draw alike, or
// none if the asker wants them to.
func (c *Client) number(p Prompt) (uint64, error) {
	if p.Repeat {
		return 0, nil
	}
	return c.Journal.NextCounter()
}

func (c *Client) try(ctx context.Context, terms job.Terms, p Prompt, counter uint64, f *follower) (Result, error) {
	s, err := c.take(ctx, terms, p)
	if err != nil {
		return Result{}, unopenedError{err}
	}
	return c.race(ctx, terms, p, counter, f).run(s)
}

// unopenedError says that no session was opened, which is no provider's fault.
type unopenedError struct{ error }

func (e unopenedError) Unwrap() error { return e.error }

// isInvalid reports that a provider refused the request as one that nobody can
// answer.
func isInvalid(err error) bool { return refused(err, wire.Invalid) }

// mayRetry reports that it was the provider that failed, and that nobody was
// told a lie yet.
func (c *Client) mayRetry(ctx context.Context, err error, f *follower) bool {
	return !f.told() && providerFailed(ctx, err, f)
}

// FailedError says that one provider after the other failed. Text says that the last
// one had begun an answer that no other can go on with.
type FailedError struct {
	Providers int
	Text      bool
	err       error
}

func (e *FailedError) Error() string { return e.err.Error() }
func (e *FailedError) Unwrap() error { return e.err }

// fate adds to the error of the last try what the asker can't see from it.
func fate(ctx context.Context, err error, f *follower, tries int) error {
	var none *NoMatchError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &none):
		none.Failed = tries - 1
	case providerFailed(ctx, err, f):
		return &FailedError{Providers: tries, Text: f.told(), err: err}
	}
	return err
}

func providerFailed(ctx context.Context, err error, f *follower) bool {
	var lie *LieError
	switch {
	case ctx.Err() != nil, f.broken(), isInvalid(err), errors.As(err, new(unopenedError)), errors.As(err, &lie), errors.Is(err, errContradiction), ownFault(err):
		return false
	}
	return true
}

// refused reports that the provider refused with the code.
func refused(err error, code wire.Code) bool {
	var r *wire.Refusal
	return errors.As(err, &r) && r.Code == code
}

// follower passes one answer on, whoever gives it. It is safe for concurrent use,
// though but one provider at a time leads.
type follower struct {
	mu     sync.Mutex
	begin  func(Admission) error
	token  func(receipt.Token) error
	begun  bool
	failed bool            // begin or token returned an error
	seen   []receipt.Token // all that was passed on
	shown  int             // how many of them this provider has repeated
	text   bool            // text of a declared model was passed on, which nobody repeats
	// beside is what was paid, in udlt, for what others than the leader had begun. It
	// does not wait for whoever takes the tokens.
	beside atomic.Uint64
}

// errContradiction says that a second provider gives another answer than the
// first began: one of the two lies.
var errContradiction = errors.New("two providers give different answers to one request")

func (f *follower) broken() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// told reports that text of a declared model was passed on.
func (f *follower) told() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text
}

// again lets the next provider repeat the answer from its start.
func (f *follower) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown = 0
}

func (f *follower) admit(a Admission) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun {
		return nil
	}
	f.begun = true
	return f.check(f.begin(a))
}

func (f *follower) next(token receipt.Token) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if token.Size() > 0 {
		f.text = true
		return f.check(f.token(token))
	}
	if f.shown < len(f.seen) {
		if !f.seen[f.shown].Equal(token) {
			return errContradiction
		}
		f.shown++
		return nil
	}
	f.seen = append(f.seen, token)
	f.shown++
	return f.check(f.token(token))
}

func (f *follower) check(err error) error {
	f.failed = f.failed || err != nil
	return err
}
