package consumer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"daulat/core/job"
	"daulat/core/match"
	wire "daulat/link/session"
)

// abandon leaves a session in which a request failed, so that the next one, or
// this one again, gets a provider that works at once; what is owed there is
// settled meanwhile. The caller has the session locked.
func (c *Client) abandon(ctx context.Context, s *Session, why error) {
	s.blamed = c.shun(ctx, s.provider, why)
	c.leave(s)
}

// shun keeps a provider that failed from this client's next orders. A request
// that the asker itself gave up, or that failed on the asker's side, or that no
// provider could take, says nothing against the provider; shun reports whether it did.
func (c *Client) shun(ctx context.Context, provider string, why error) bool {
	if ctx.Err() != nil || refused(why, wire.Invalid) || refused(why, wire.Spent) || ownFault(why) {
		return false
	}
	var lie *LieError
	lied := errors.As(why, &lie)
	span := shunFailed
	if lied {
		span = shunLied
	}
	s := shun{until: time.Now().Add(span), lied: lied}
	c.mu.Lock()
	c.shunned[provider] = s
	c.mu.Unlock()
	c.memory.lost(provider)
	c.memory.note(provider, match.Facts.Broke)
	c.memory.shun(provider, s)
	c.leaveAll(provider)
	return true
}

// leaveAll leaves the provider's open sessions; those in use are left by whoever
// uses them, when done.
func (c *Client) leaveAll(provider string) {
	c.mu.Lock()
	all := slices.Concat(slices.Collect(maps.Values(c.pool))...)
	c.mu.Unlock()
	for _, s := range all {
		if s.provider == provider && s.tryLock() {
			c.release(s)
		}
	}
}

// release frees a session for the next request, unless nothing more is to be asked
// of its provider.
func (c *Client) release(s *Session) {
	switch {
	case s.over || c.grudge(s.provider) == "":
		s.unlock()
	default:
		c.leave(s)
	}
}

// shun keeps a provider that failed from this client's orders for a while.
type shun struct {
	until time.Time
	lied  bool
}

// excluded are the providers that an order placed now shall not get.
func (c *Client) excluded() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.shunned, func(_ string, s shun) bool { return time.Now().After(s.until) })
	all := slices.Sorted(maps.Keys(c.shunned))
	return all[:min(len(all), job.MaxExcluded)]
}

// grudge says why a provider gets no orders now, or nothing.
func (c *Client) grudge(provider string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, shunned := c.shunned[provider]
	switch {
	case !shunned || time.Now().After(s.until):
		return ""
	case s.lied:
		return "lied to this home"
	}
	return "failed here just now"
}

// mayForgive reports whether forgive would let any be asked.
func (c *Client) mayForgive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.shunned {
		if !s.lied {
			return true
		}
	}
	return false
}

// forgive lets providers that merely failed be asked again, as there may be no
// other; it reports whether there were any.
func (c *Client) forgive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.shunned)
	maps.DeleteFunc(c.shunned, func(_ string, s shun) bool { return !s.lied })
	return len(c.shunned) < before
}
