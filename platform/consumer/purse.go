package consumer

import (
	"context"
	"sync"

	"daulat/core/job"
	"daulat/core/receipt"
)

// pledges are what this client's orders have locked, in udlt, since it began.
type pledges struct {
	mu             sync.Mutex
	made, recorded uint64 // recorded: the order is in a block, or will never be in one
}

// fund fits terms to what the account can spend, for a first request of that size.
// What the purse was read too early to show as locked is reckoned as gone. The caller
// calls done once its order is in a block or will never be.
func (c *Client) fund(ctx context.Context, terms job.Terms, most receipt.Usage) (_ job.Terms, done func(), err error) {
	p := &c.pledges
	p.mu.Lock()
	recorded := p.recorded
	p.mu.Unlock()
	purse, err := c.Ledger.Purse(ctx)
	if err != nil {
		return terms, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if terms, err = terms.Fund(purse-min(purse, p.made-recorded), most); err != nil {
		return terms, nil, err
	}
	p.made += terms.Escrow
	return terms, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.recorded += terms.Escrow
	}, nil
}
