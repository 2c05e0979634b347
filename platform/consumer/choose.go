package consumer

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/link"
	wire "daulat/link/session"
)

const (
	marketFresh  = 10 * time.Second       // how long a list of offers is chosen from before it is read again
	probeFresh   = time.Minute            // how long a provider that was reached counts as there
	probeTimeout = 500 * time.Millisecond // for a provider to take a stream; then others are looked for
	probeAtOnce  = 16
	probeRounds  = 2 // of those that rank best; after them the order goes to whom the market gives it

	// The request that providers are compared for, in tokens, and what a second of
	// waiting for it is worth: this part of what it may cost.
	usualInput, usualOutput = 256, 256
	waitingShare            = 50
)

// market is the list of offers for one model as it was read last.
type market struct {
	offers []match.Candidate
	read   time.Time
}

// Unfit is an offer that gets no order, and why.
type Unfit struct {
	match.Candidate
	Why  string
	Full bool // its owner serves as many sessions as it may
}

// Ranking is the order in which the client would choose among offers, and which of
// them it would not. It asks nobody.
func (c *Client) Ranking(terms job.Terms, offers []match.Candidate, o Owners) (fit []match.Ranked, unfit []Unfit) {
	fair, unfit := c.fair(terms, offers, o)
	return match.Rank(terms, fair, c.policy(terms, o)), unfit
}

// fair parts the offers that may get an order from those that may not.
func (c *Client) fair(terms job.Terms, offers []match.Candidate, owners Owners) (fair []match.Candidate, unfit []Unfit) {
	bound := match.Policy{PerOwner: owners.PerOwner}
	for _, o := range c.candidates(offers) {
		why := match.Unfit(terms, o.Offer)
		if why == "" {
			why = c.grudge(o.Offer.Provider)
		}
		full := why == "" && bound.Full(o)
		if full {
			why = fmt.Sprintf("full: its owner has as many sessions of this home as it may, %d", o.Held)
		}
		if why == "" {
			fair = append(fair, o)
		} else {
			unfit = append(unfit, Unfit{o, why, full})
		}
	}
	return fair, unfit
}

// policy is how this client weighs price, time and risk.
func (c *Client) policy(terms job.Terms, o Owners) match.Policy {
	var spread uint64
	if o.Spread {
		spread = spreadOwners
	}
	usual := usualInput*terms.Ceiling.Input + usualOutput*terms.Ceiling.Output
	return match.Policy{Input: usualInput, Output: usualOutput, Second: usual / waitingShare, Audits: c.Auditor != nil, Spread: spread}
}

// ownerOf is who is behind a provider: who is reached in one network counts as one
// owner.
func ownerOf(provider string, addrs []string) string { return cmp.Or(link.NetworkOf(addrs), provider) }

// candidates adds what this client knows by itself to what the ledger says.
func (c *Client) candidates(offers []match.Candidate) []match.Candidate {
	all, now := slices.Clone(offers), time.Now()
	owners, asked := map[string]string{}, map[string]uint64{}
	for i, o := range all {
		all[i].Facts = c.memory.of(o.Offer.Provider, o.Offer.Model, now)
		all[i].Owner = ownerOf(o.Offer.Provider, o.Addrs)
		owners[o.Offer.Provider] = all[i].Owner
		asked[all[i].Owner] = max(asked[all[i].Owner], c.memory.last(o.Offer.Provider))
	}
	held := c.serving(owners)
	for i, o := range all {
		all[i].Held, all[i].Asked = held[o.Owner], asked[o.Owner]
	}
	return all
}

// serving counts the warm sessions of each owner, whom owners names by provider if it
// has moved since.
func (c *Client) serving(owners map[string]string) map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := map[string]uint64{}
	for _, sessions := range c.pool {
		for _, s := range sessions {
			held[cmp.Or(owners[s.provider], s.owner)]++
		}
	}
	return held
}

// choose names the providers that an order shall go to, the best first: those that
// rank highest and can be reached now. It names none if there are none.
func (c *Client) choose(ctx context.Context, terms job.Terms, o order) (choice, error) {
	offers, err := c.offers(ctx, terms.Model)
	if err != nil {
		return choice{}, err
	}
	p := c.policy(terms, o.Owners)
	if _, err := rand.Read(p.Lot[:]); err != nil {
		return choice{}, fmt.Errorf("draw a lot: %w", err)
	}
	if o.Spread {
		p.PerOwner = 1 // rather one that serves none
	}
	p.Newcomer = !o.known && c.turn()
	fair, unfit := c.fair(terms, offers, o.Owners)
	ranked := match.Rank(terms, fair, p)
	by := make(map[string]match.Candidate, len(offers))
	for _, offer := range offers {
		by[offer.Offer.Provider] = offer
	}
	var there []match.Ranked
	for round := 0; round < probeRounds && len(ranked) > 0 && len(there) == 0; round++ {
		best := ranked[:min(probeAtOnce, len(ranked))]
		ranked = ranked[len(best):]
		for i, answers := range c.probe(ctx, best, by) {
			if answers {
				there = append(there, best[i])
			}
		}
	}
	if len(there) == 0 && slices.ContainsFunc(unfit, func(u Unfit) bool { return u.Full }) {
		return choice{}, &FullError{o.PerOwner}
	}
	var chosen choice
	for _, r := range match.Shortlist(there) {
		chosen.add(r)
	}
	return chosen, ctx.Err()
}

// choice is whom an order shall go to, the best first.
type choice struct {
	preferred []string
	newcomer  string // the one among them whose turn it is; empty for none
}

// prefer puts the choice into the terms, and lets nobody else win the order by its
// price as long as o does not say so; terms that name who alone may serve keep to these, and where owners are bounded nobody is asked unseen: where those that are known are busy, whoever
// asks the least would be those that never serve. Of several orders for one request each
// prefers others, and excludes whom the rest want most.
func (c choice) prefer(t job.Terms, o order) job.Terms {
	if t.Only && o.Owners == (Owners{}) || len(c.preferred) == 0 {
		return t
	}
	t.Preferred, t.Only = nil, t.Only || !o.anybody || o.PerOwner > 0
	for i, provider := range c.preferred {
		switch {
		case o.of < 2 || i%o.of == o.place:
			t.Preferred = append(t.Preferred, provider)
		case i < o.of && len(t.Excluded) < job.MaxExcluded:
			t.Excluded = append(slices.Clone(t.Excluded), provider)
		}
	}
	t.Only = t.Only && len(t.Preferred) > 0
	return t
}

func (c *choice) add(r match.Ranked) {
	c.preferred = append(c.preferred, r.Offer.Provider)
	if r.Turn {
		c.newcomer = r.Offer.Provider
	}
}

// offers is the market for a model, read anew now and then.
func (c *Client) offers(ctx context.Context, model canon.CID) ([]match.Candidate, error) {
	c.mu.Lock()
	m := c.markets[model]
	c.mu.Unlock()
	if !m.read.IsZero() && time.Since(m.read) < marketFresh {
		return m.offers, nil
	}
	read := time.Now()
	offers, err := c.Ledger.Market(ctx, model)
	if err != nil {
		return nil, fmt.Errorf("list who offers the model: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.markets[model] = market{offers, read}
	return offers, nil
}

// probe tells which of the best can be reached at once. That one can't is held
// against it in later rankings.
func (c *Client) probe(ctx context.Context, best []match.Ranked, by map[string]match.Candidate) []bool {
	there := make([]bool, len(best))
	var all sync.WaitGroup
	for i, r := range best {
		all.Go(func() { there[i] = c.reach(ctx, by[r.Offer.Provider]) })
	}
	all.Wait()
	return there
}

func (c *Client) reach(ctx context.Context, o match.Candidate) bool {
	provider := o.Offer.Provider
	if c.memory.reached(provider, probeFresh) {
		return true
	}
	within, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	begun := time.Now()
	stream, err := c.Link.DialKey(within, o.Offer.Key, link.AddrsOf(o.Offer.Key, o.Addrs), wire.Protocol)
	if err != nil {
		if ctx.Err() == nil {
			c.memory.note(provider, match.Facts.Broke)
		}
		return false
	}
	stream.Close()
	c.memory.note(provider, func(f match.Facts) match.Facts { return f.Reached(uint64(time.Since(begun).Milliseconds())) })
	c.memory.saw(provider)
	return true
}

// turn reports whether the next session is a newcomer's.
func (c *Client) turn() bool {
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	return c.memory.curious || match.Turn(c.memory.kept.Newcomers, c.memory.kept.Sessions)
}
