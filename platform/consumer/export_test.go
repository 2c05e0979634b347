package consumer

import (
	"context"
	"maps"
	"slices"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
)

// SetLimits makes the client less patient.
func (c *Client) SetLimits(patience, stall, each time.Duration) {
	c.limits.patience, c.limits.stall, c.limits.each, c.limits.parting = patience, stall, each, time.Second
}

// SetAbsence says for how long a provider is waited for that was cut off, and this
// machine itself.
func (c *Client) SetAbsence(move, away time.Duration) { c.limits.move, c.limits.away = move, away }

// Forget drops the list of who offers a model, as if it had grown old.
func (c *Client) Forget(model canon.CID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.markets, model)
}

// Quiet waits for what goes on in the background.
func (c *Client) Quiet(ctx context.Context) error {
	if err := c.opened(ctx, func(canon.CID) bool { return true }); err != nil {
		return err
	}
	c.mu.Lock()
	leaving := slices.Collect(maps.Values(c.leaving))
	c.mu.Unlock()
	for _, s := range leaving {
		if err := s.lock(ctx); err != nil {
			return err
		}
		s.unlock()
	}
	return nil
}

// Open opens a session that carries a request of that size.
func (c *Client) Open(ctx context.Context, terms job.Terms, most receipt.Usage) (*Session, error) {
	return c.open(ctx, terms, order{most: most, until: time.Now().Add(matchWait)})
}
