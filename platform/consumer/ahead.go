package consumer

import (
	"context"
	"slices"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
)

const (
	// A session gets its successor when less is left of it than aheadRequests
	// more requests like the present one may cost, or than one part in
	// aheadShare of its escrow or its time. Four requests one after the other
	// outlast the few blocks that an opening takes, if they are long; the share
	// gives short ones, of which a session carries thousands, as much time.
	aheadRequests = 4
	aheadShare    = 8
	aheadTimeout  = time.Minute
)

// spare is a session that is opened before it is needed.
type spare struct {
	done    chan struct{} // closed when the opening has ended
	wanted  bool          // a request waits for it
	session *Session      // locked for that request; nil if the opening failed
	model   canon.CID
}

// low reports that s, which carries p, will soon carry no more like it.
func (s *Session) low(p Prompt) bool {
	ahead := time.Duration(s.record.Session.Terms.Duration/aheadShare) * time.Second
	if time.Until(s.expires) < ahead {
		return true
	}
	worst, err := s.worst(p)
	if err != nil {
		return true
	}
	escrow := s.record.Session.Escrow.Locked
	left := escrow - min(worst, escrow)
	return left < escrow/aheadShare || left/aheadRequests < worst-s.record.Served.Tally.Amount
}

// openAhead has the successor of a session that is low opened in the background,
// once. So a lane of requests holds at most two sessions, and where nothing is
// asked nothing is opened. The caller holds the session's lock.
func (c *Client) openAhead(s *Session, terms job.Terms, p Prompt) {
	if s.followed || !s.low(p) {
		return
	}
	s.followed = true
	next := &spare{done: make(chan struct{})}
	c.mu.Lock()
	c.spares[s.model] = append(c.spares[s.model], next)
	c.mu.Unlock()
	go c.openSpare(next, terms, order{most: p.worst(), Owners: Owners{PerOwner: p.PerOwner}})
}

// expect notes that a session is being opened which one request waits for already.
func (c *Client) expect(model canon.CID) *spare {
	next := &spare{done: make(chan struct{}), wanted: true, model: model}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spares[model] = append(c.spares[model], next)
	return next
}

// arrived ends what expect began; s, which is locked, is nil if nothing came of it.
func (c *Client) arrived(next *spare, s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(next.done)
	c.spares[next.model] = slices.DeleteFunc(c.spares[next.model], func(other *spare) bool { return other == next })
	if s != nil {
		c.pool[s.model] = append(c.pool[s.model], s)
	}
}

func (c *Client) openSpare(next *spare, terms job.Terms, o order) {
	ctx, cancel := context.WithTimeout(context.Background(), aheadTimeout)
	defer cancel()
	var s *Session
	done, err := c.alone(ctx, o.Owners)
	if err == nil {
		defer done()
		o.until = time.Now().Add(matchWait)
		s, err = c.open(ctx, terms, o)
	}
	if err != nil {
		c.Log.Warn("no session could be opened ahead; the request that needs one will try", "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(next.done)
	c.spares[terms.Model] = slices.DeleteFunc(c.spares[terms.Model], func(other *spare) bool { return other == next })
	if s == nil {
		return
	}
	if next.wanted {
		s.tryLock() // nobody else has it yet
		next.session = s
	}
	c.pool[terms.Model] = append(c.pool[terms.Model], s)
}

// coming waits for a session that is being opened and that no other request
// waits for. It returns the session locked, or nil if there is none.
func (c *Client) coming(ctx context.Context, model canon.CID) *Session {
	c.mu.Lock()
	i := slices.IndexFunc(c.spares[model], func(s *spare) bool { return !s.wanted })
	if i < 0 {
		c.mu.Unlock()
		return nil
	}
	next := c.spares[model][i]
	next.wanted = true
	c.mu.Unlock()
	select {
	case <-next.done:
		return next.session
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if next.wanted = false; next.session != nil {
		next.session.unlock()
	}
	return nil
}

// opened waits until no session for the models is being opened.
func (c *Client) opened(ctx context.Context, wanted func(canon.CID) bool) error {
	c.mu.Lock()
	var all []*spare
	for model, spares := range c.spares {
		if wanted(model) {
			all = append(all, spares...)
		}
	}
	c.mu.Unlock()
	for _, s := range all {
		select {
		case <-s.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
