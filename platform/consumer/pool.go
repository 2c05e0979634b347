package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	wire "daulat/link/session"
)

// take returns a session that carries p, locked. Where all owners have as many as they
// may, it waits a while for one that is free.
func (c *Client) take(ctx context.Context, terms job.Terms, p Prompt) (*Session, error) {
	until := time.Now().Add(matchWait)
	for {
		s, err := c.takeNow(ctx, terms, p)
		if !errors.As(err, new(*FullError)) || ctx.Err() != nil || time.Now().After(until) {
			return s, err
		}
		pause(ctx, matchPoll)
	}
}

// takeNow returns a warm session that is free, one that is being opened, or a new one.
func (c *Client) takeNow(ctx context.Context, terms job.Terms, p Prompt) (*Session, error) {
	if err := c.resume(ctx, terms.Model); err != nil {
		return nil, err
	}
	warm, err := c.spread(ctx, terms, p)
	if err != nil {
		return nil, err
	}
	for _, s := range warm {
		if !s.tryLock() {
			continue
		}
		if s.over || !s.suits(terms) {
			s.unlock()
			continue
		}
		if s.carries(p) && c.grudge(s.provider) == "" {
			c.openAhead(s, terms, p)
			return s, nil
		}
		c.leave(s)
	}
	if s := c.ready(ctx, terms, p); s != nil {
		return s, nil
	}
	return c.begin(ctx, terms, p)
}

// begin opens a session for p.
func (c *Client) begin(ctx context.Context, terms job.Terms, p Prompt) (*Session, error) {
	done, err := c.alone(ctx, p.Owners)
	if err != nil {
		return nil, err
	}
	defer done()
	s, err := c.openAny(ctx, terms, p) // with an owner that serves no other session, if it shall
	if err != nil {
		return nil, err
	}
	s.tryLock() // nobody else has it yet
	c.openAhead(s, terms, p)
	c.add(s)
	return s, nil
}

// alone has one session opened at a time if owners are bounded, so that each counts
// when the next is opened; whoever opens it calls done when it is in the pool.
func (c *Client) alone(ctx context.Context, o Owners) (done func(), err error) {
	if o.PerOwner == 0 {
		return func() {}, nil
	}
	select {
	case c.opening <- struct{}{}:
		return func() { <-c.opening }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ready waits for a session that is being opened, if p may take it.
func (c *Client) ready(ctx context.Context, terms job.Terms, p Prompt) *Session {
	if p.Spread {
		return nil
	}
	s := c.coming(ctx, terms.Model)
	switch {
	case s == nil:
		return nil
	case c.grudge(s.provider) != "":
		c.leave(s)
		return nil
	case !s.suits(terms):
		s.unlock()
		return nil
	}
	return s
}

// spreadOwners is how many owners requests that shall be spread go round.
const spreadOwners = 4

// spread returns the warm sessions in the order in which p may take them: as they
// are, or, for one that shall be spread, the provider first that was asked longest ago; and none
// while there is another owner to open a session with.
func (c *Client) spread(ctx context.Context, terms job.Terms, p Prompt) ([]*Session, error) {
	warm := c.warm(terms.Model)
	if !p.Spread {
		return warm, nil
	}
	if len(c.serving(nil)) < spreadOwners {
		more, err := c.elsewhere(ctx, terms, p.Owners)
		if more || err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(warm, func(a, b *Session) int {
		return cmp.Compare(c.memory.last(a.provider), c.memory.last(b.provider))
	})
	return warm, nil
}

// elsewhere reports whether an owner that serves no session here offers what terms
// want.
func (c *Client) elsewhere(ctx context.Context, terms job.Terms, o Owners) (bool, error) {
	offers, err := c.offers(ctx, terms.Model)
	if err != nil {
		return false, err
	}
	policy := c.policy(terms, o)
	policy.PerOwner = 1
	fit, _ := c.fair(terms, offers, o)
	return slices.ContainsFunc(match.Rank(terms, fit, policy), func(r match.Ranked) bool { return !r.Full && r.Tier != match.Failing }), nil
}

// Renew closes the sessions for a model, those of an earlier run too, reads anew
// who offers it, and lets providers that merely failed and one of those that
// are not known, or failed until now, be asked, whoever is better known.
func (c *Client) Renew(ctx context.Context, model canon.CID) error {
	c.forgive()
	c.wonder(model)
	failed := []error{c.resume(ctx, model), c.opened(ctx, func(m canon.CID) bool { return m == model })}
	for _, s := range c.warm(model) {
		failed = append(failed, c.Settle(ctx, s.ID()))
	}
	return errors.Join(failed...)
}

// wonder forgets failures, and gives the next session to a newcomer if there is one.
func (c *Client) wonder(model canon.CID) {
	c.mu.Lock()
	delete(c.markets, model)
	c.mu.Unlock()
	c.memory.forgive()
}

func (c *Client) warm(model canon.CID) []*Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.pool[model])
}

func (c *Client) add(s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool[s.model] = append(c.pool[s.model], s)
}

func (c *Client) remove(s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool[s.model] = slices.DeleteFunc(c.pool[s.model], func(other *Session) bool { return other == s })
}

// resume takes up the sessions for a model that an earlier run left open.
func (c *Client) resume(ctx context.Context, model canon.CID) error {
	c.mu.Lock()
	defer c.mu.Unlock() // whoever asks at the same time waits for the sessions
	if c.resumed[model] {
		return nil
	}
	records, err := c.Journal.Records(func(r wire.Record) bool {
		return r.Session.State == job.SessionOpen && r.Session.Terms.Model == model
	})
	if err != nil {
		return err
	}
	for _, r := range records {
		s, err := c.restore(ctx, r)
		if err != nil {
			return err
		}
		if s != nil {
			c.pool[model] = append(c.pool[model], s)
		}
	}
	c.resumed[model] = true
	return nil
}

// restore brings a record up to date; it returns nil for a session that can
// carry no more requests.
func (c *Client) restore(ctx context.Context, r wire.Record) (*Session, error) {
	fresh, err := c.Ledger.Session(ctx, r.Session.ID)
	if err != nil {
		return nil, err
	}
	r.Session = fresh
	if err := c.Journal.Save(r); err != nil {
		return nil, err
	}
	now, err := c.Ledger.Now(ctx)
	if err != nil {
		return nil, err
	}
	if fresh.State != job.SessionOpen || now+closeMargin >= fresh.Clock {
		return nil, nil
	}
	s, err := c.session(ctx, r, now)
	if err != nil || !r.Closing {
		return s, err
	}
	return nil, s.shut(ctx) // an earlier run began to
}

// Recover takes up what is known of providers, and the sessions that the ledger holds for this client and the
// journal does not know, since the process died before it could write them
// down. Nobody else has their key, so they would stay open until their deadline.
func (c *Client) Recover(ctx context.Context) error {
	if err := c.recall(); err != nil {
		return err
	}
	open, err := c.Ledger.Sessions(ctx, c.Ledger.Account(), job.SessionOpen)
	if err != nil {
		return fmt.Errorf("recover sessions: %w", err)
	}
	for _, s := range open {
		if s.Consumer != c.Ledger.Account() || s.SessionKey != c.Key.Public() {
			continue
		}
		_, err := c.Journal.Record(s.ID)
		if errors.Is(err, wire.ErrNoRecord) {
			err = c.Journal.Save(wire.Record{Session: s})
		}
		if err != nil {
			return fmt.Errorf("recover session %d: %w", s.ID, err)
		}
	}
	return nil
}

// recall takes up what an earlier run learnt of providers.
func (c *Client) recall() error {
	shunned, err := c.memory.load(time.Now())
	if err != nil {
		return fmt.Errorf("recall what is known of providers: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.shunned, shunned)
	return nil
}

// CloseAll settles every session that is open, with final vouchers. It waits for
// what goes on in the background; nothing is asked meanwhile.
func (c *Client) CloseAll(ctx context.Context) error {
	if err := c.opened(ctx, func(canon.CID) bool { return true }); err != nil {
		return fmt.Errorf("wait for sessions that are being opened: %w", err)
	}
	records, err := c.Journal.Records(func(r wire.Record) bool { return r.Session.State == job.SessionOpen })
	if err != nil {
		return err
	}
	failed := make([]error, len(records))
	slots := make(chan struct{}, closeAtOnce)
	var all sync.WaitGroup
	for i, r := range records { // at the same time, as each provider that is gone takes a while
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			failed[i] = c.Settle(ctx, r.Session.ID)
		})
	}
	all.Wait()
	return errors.Join(append(failed, c.memory.save())...)
}

const closeAtOnce = 16

// Settle ends the session, if it is open, and waits until the ledger shows it
// settled. A request that is under way in it comes to its end first.
func (c *Client) Settle(ctx context.Context, id uint64) error {
	s, err := c.find(ctx, id)
	if err != nil {
		return err
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	c.remove(s)
	fresh, err := c.Ledger.Session(ctx, id)
	if err != nil {
		return err
	}
	s.over = true
	if fresh.State == job.SessionSettled || fresh.State == job.SessionReleased {
		s.record.Session = fresh
		return c.Journal.Save(s.record)
	}
	return s.Close(ctx)
}

// find returns the session with the number that is warm or being closed, or else
// one from the journal.
func (c *Client) find(ctx context.Context, id uint64) (*Session, error) {
	r, err := c.Journal.Record(id)
	if err != nil {
		return nil, err
	}
	if s := c.known(r.Session.Terms.Model, id); s != nil {
		return s, nil
	}
	return c.session(ctx, r, 0)
}

func (c *Client) known(model canon.CID, id uint64) *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.pool[model] {
		if s.id == id {
			return s
		}
	}
	return c.leaving[id]
}
