// Package sessiontest is a ledger in memory for tests of those who speak
// link/session. Every decision is core's: orders clear by match, sessions move
// by job, money lies in escrow. Only time stands still until the test moves it.
//
// Start at [New], then [Chain.Account], whose methods are what a provider and a
// consumer need of the chain.
package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
)

// ID is the chain's ID.
const ID = "sessiontest-1"

// Windows are those of every session, in seconds.
var Windows = job.Windows{Close: 4, Challenge: 60}

// Chain is the ledger. Its methods may be called concurrently.
type Chain struct {
	mu       sync.Mutex
	now      uint64
	writes   int
	total    uint64
	wallets  map[string]uint64
	orders   map[uint64]job.Order
	sessions map[uint64]job.Session
	offers   []match.Offer
	keys     map[string]canon.PublicKey
	addrs    map[string][]string
	blames   map[string]int
}

// New returns an empty ledger at second 1000.
func New() *Chain {
	return &Chain{now: 1000, wallets: map[string]uint64{}, orders: map[uint64]job.Order{}, sessions: map[uint64]job.Session{},
		keys: map[string]canon.PublicKey{}, addrs: map[string][]string{}, blames: map[string]int{}}
}

// Account returns the ledger as the named account sees it, with udlt added to
// its wallet.
func (c *Chain) Account(name string, udlt uint64) *Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wallets[name] += udlt
	c.total += udlt
	return &Account{chain: c, name: name}
}

// Balance is what lies in an account's wallet.
func (c *Chain) Balance(name string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wallets[name]
}

// Complaints counts those against a provider.
func (c *Chain) Complaints(provider string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blames[provider]
}

// Writes counts the messages that changed the ledger.
func (c *Chain) Writes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

// Advance lets time pass and moves every clock that runs out.
func (c *Chain) Advance(seconds uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += seconds
	for id, o := range c.orders {
		next, expired := o.Tick(c.now)
		if c.orders[id] = next; expired {
			c.wallets[o.Consumer] += o.Terms.Escrow
		}
	}
	for id, s := range c.sessions {
		next, payments, err := s.Tick(c.now)
		if err != nil {
			return err
		}
		c.sessions[id] = next
		c.pay(payments)
	}
	return nil
}

// TopUp locks more of the account's money in a session.
func (c *Chain) TopUp(by string, id, amount uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, err := c.sessions[id].TopUp(by, amount)
	if err != nil {
		return err
	}
	if err := c.take(by, amount); err != nil {
		return err
	}
	c.sessions[id] = next
	return nil
}

// Audit reports whether all money is accounted for.
func (c *Chain) Audit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sum uint64
	for _, udlt := range c.wallets {
		sum += udlt
	}
	for _, o := range c.orders {
		if o.State == job.OrderOpen {
			sum += o.Terms.Escrow
		}
	}
	for _, s := range c.sessions {
		if !s.Escrow.Balanced() {
			return fmt.Errorf("escrow of session %d is not balanced", s.ID)
		}
		sum += s.Escrow.Locked + s.Escrow.Withheld
	}
	if sum != c.total {
		return fmt.Errorf("ledger holds %d udlt, and %d came in", sum, c.total)
	}
	return nil
}

func (c *Chain) take(name string, amount uint64) error {
	if c.wallets[name] < amount {
		return fmt.Errorf("account %s holds less than %d udlt", name, amount)
	}
	c.wallets[name] -= amount
	return nil
}

func (c *Chain) pay(payments []escrow.Payment) {
	for _, p := range payments {
		c.wallets[p.To] += p.Amount
	}
}

// clear matches what is open, as the end of a block does.
func (c *Chain) clear() error {
	var open []job.Order
	for _, o := range c.orders {
		if o.State == job.OrderOpen {
			open = append(open, o)
		}
	}
	offers := slices.Clone(c.offers)
	for i := range offers {
		for _, s := range c.sessions {
			if s.Provider == offers[i].Provider && (s.State == job.SessionOpen || s.State == job.SessionClosing) {
				offers[i].Busy++
			}
		}
	}
	matches, misses := match.Clear(open, offers, canon.Hash{})
	for _, m := range matches {
		o, s, err := c.orders[m.Order].Match(job.Party{Account: m.Offer.Provider, Key: m.Offer.Key, Price: m.Offer.Price}, c.now)
		if err != nil {
			return err
		}
		c.orders[m.Order], c.sessions[m.Order] = o, s.Freeze(Windows)
	}
	for _, m := range misses {
		o := c.orders[m.Order]
		o.Explanation = m.Explanation
		c.orders[m.Order] = o
	}
	return nil
}

// Account is the ledger in the name of one account. Every call fails with the
// error of a context that is over.
type Account struct {
	chain *Chain
	name  string
}

// ErrUnknown says that the ledger holds no such record.
var ErrUnknown = errors.New("not on the ledger")

// ChainID is [ID].
func (a *Account) ChainID() string { return ID }

// Account is the account's name.
func (a *Account) Account() string { return a.name }

func (a *Account) write(ctx context.Context, do func(*Chain) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.chain.mu.Lock()
	defer a.chain.mu.Unlock()
	if err := do(a.chain); err != nil {
		return err
	}
	a.chain.writes++
	return nil
}

func read[T any](ctx context.Context, a *Account, do func(*Chain) (T, bool)) (v T, err error) {
	if err := ctx.Err(); err != nil {
		return v, err
	}
	a.chain.mu.Lock()
	defer a.chain.mu.Unlock()
	v, ok := do(a.chain)
	if !ok {
		return v, ErrUnknown
	}
	return v, nil
}

// Announce binds the account to an identity key that proves itself, checks the
// manifests, and publishes or replaces the account's offers.
func (a *Account) Announce(ctx context.Context, n match.Announcement) error {
	return a.write(ctx, func(c *Chain) error {
		if err := canon.Verify(n.Key, match.DomainProvider, match.Claim{Chain: ID, Account: a.name}, n.Proof); err != nil {
			return err
		}
		for _, m := range n.Manifests {
			_, declared := artifact.DecodeDeclaration(m)
			if _, err := artifact.Decode(m); err != nil && declared != nil {
				return err
			}
		}
		c.keys[a.name], c.addrs[a.name] = n.Key, n.Addresses
		for _, o := range n.Offers {
			if o.Provider != a.name || o.Key != n.Key {
				return errors.New("offer is not the account's")
			}
			if err := o.Validate(); err != nil {
				return err
			}
			c.offers = slices.DeleteFunc(c.offers, func(old match.Offer) bool { return old.Provider == a.name && old.Model == o.Model })
			c.offers = append(c.offers, o)
		}
		return c.clear()
	})
}

// OnOffer are the models of the offers that the ledger shows.
func (c *Chain) OnOffer() (models []canon.CID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.offers {
		models = append(models, o.Model)
	}
	return models
}

// WithdrawOffer takes the account's offer of a model back.
func (a *Account) WithdrawOffer(ctx context.Context, model canon.CID) error {
	return a.write(ctx, func(c *Chain) error {
		c.offers = slices.DeleteFunc(c.offers, func(old match.Offer) bool { return old.Provider == a.name && old.Model == model })
		return nil
	})
}

// Offered reports whether the account offers the model.
func (a *Account) Offered(ctx context.Context, model canon.CID) (bool, error) {
	return read(ctx, a, func(c *Chain) (bool, bool) {
		return slices.ContainsFunc(c.offers, func(o match.Offer) bool { return o.Provider == a.name && o.Model == model }), true
	})
}

// Complain counts a complaint against a session's provider, if it rests on a
// receipt that the provider signed.
func (a *Account) Complain(ctx context.Context, session, _ uint64, r receipt.Signed, _ canon.Hash) error {
	return a.write(ctx, func(c *Chain) error {
		s, ok := c.sessions[session]
		switch {
		case !ok:
			return ErrUnknown
		case s.Consumer != a.name || r.Receipt.Session != session:
			return errors.New("complaint is not about the account's session")
		}
		if err := canon.Verify(s.ProviderKey, receipt.DomainReceipt, r.Receipt, r.Signature); err != nil {
			return err
		}
		c.blames[s.Provider]++
		return nil
	})
}

// Purse is what lies in the account's wallet.
func (a *Account) Purse(ctx context.Context) (uint64, error) {
	return read(ctx, a, func(c *Chain) (uint64, bool) { return c.wallets[a.name], true })
}

// PlaceOrder locks the escrow and matches the order if it can.
func (a *Account) PlaceOrder(ctx context.Context, key canon.PublicKey, t job.Terms) (id uint64, err error) {
	return id, a.write(ctx, func(c *Chain) error {
		id = uint64(len(c.orders)) + 1
		o, err := job.Place(id, a.name, key, t, c.now)
		if err != nil {
			return err
		}
		if err := c.take(a.name, t.Escrow); err != nil {
			return err
		}
		c.orders[id] = o
		return c.clear()
	})
}

// CancelOrder takes an open order back.
func (a *Account) CancelOrder(ctx context.Context, id uint64) error {
	return a.write(ctx, func(c *Chain) error {
		next, err := c.orders[id].Cancel(a.name)
		if err != nil {
			return err
		}
		c.orders[id] = next
		c.wallets[a.name] += next.Terms.Escrow
		return nil
	})
}

// CloseSession starts to close a session.
func (a *Account) CloseSession(ctx context.Context, id uint64) error {
	return a.write(ctx, func(c *Chain) error {
		next, err := c.sessions[id].Close(a.name, c.now)
		if err != nil {
			return err
		}
		c.sessions[id] = next
		return nil
	})
}

// Settle judges each settlement by itself.
func (a *Account) Settle(ctx context.Context, all []receipt.Settlement) ([]error, error) {
	results := make([]error, len(all))
	return results, a.write(ctx, func(c *Chain) error {
		for i, s := range all {
			id := s.Entry.Voucher.Session
			next, payments, err := c.sessions[id].Settle(a.name, ID, s.Entry, s.Close, c.now)
			if results[i] = err; err == nil {
				c.sessions[id] = next
				c.pay(payments)
			}
		}
		return nil
	})
}

// Order returns an order.
func (a *Account) Order(ctx context.Context, id uint64) (job.Order, error) {
	return read(ctx, a, func(c *Chain) (job.Order, bool) { o, ok := c.orders[id]; return o, ok })
}

// Session returns a session.
func (a *Account) Session(ctx context.Context, id uint64) (job.Session, error) {
	return read(ctx, a, func(c *Chain) (job.Session, bool) { s, ok := c.sessions[id]; return s, ok })
}

// Sessions returns the sessions of a party in a state, by ID.
func (a *Account) Sessions(ctx context.Context, party string, state job.SessionState) ([]job.Session, error) {
	return read(ctx, a, func(c *Chain) (all []job.Session, ok bool) {
		for id := uint64(1); id <= uint64(len(c.orders)); id++ {
			s := c.sessions[id]
			if s.State == state && (s.Provider == party || s.Consumer == party) {
				all = append(all, s)
			}
		}
		return all, true
	})
}

// Stake is the provider's withheld pay.
func (a *Account) Stake(ctx context.Context, provider string) (uint64, error) {
	return read(ctx, a, func(c *Chain) (sum uint64, ok bool) {
		for _, s := range c.sessions {
			if s.Provider == provider {
				sum += s.Escrow.Withheld
			}
		}
		return sum, true
	})
}

// Market lists who offers a model.
func (a *Account) Market(ctx context.Context, model canon.CID) ([]match.Candidate, error) {
	return read(ctx, a, func(c *Chain) (all []match.Candidate, ok bool) {
		for _, o := range c.offers {
			if o.Model == model {
				all = append(all, match.Candidate{Offer: o, Standing: c.standing(o.Provider), Addrs: c.addrs[o.Provider]})
			}
		}
		return all, true
	})
}

func (c *Chain) standing(provider string) (t job.Standing) {
	for _, s := range c.sessions {
		if s.Provider == provider {
			t = t.Moved(job.Session{}, s)
		}
	}
	for range c.blames[provider] {
		t = t.Accused()
	}
	return t
}

// Addresses are where a provider is reached.
func (a *Account) Addresses(ctx context.Context, provider string) ([]string, error) {
	return read(ctx, a, func(c *Chain) ([]string, bool) { addrs, ok := c.addrs[provider]; return addrs, ok })
}

// Now is block time in seconds.
func (a *Account) Now(ctx context.Context) (uint64, error) {
	return read(ctx, a, func(c *Chain) (uint64, bool) { return c.now, true })
}
