package consumer

import "context"

// maxLeaving is how many sessions are closed in the background at once; whoever
// leaves one more waits for it.
const maxLeaving = 64

// leave takes a session that the caller has locked out of use and closes it in
// the background; its lock is free when that is done.
func (c *Client) leave(s *Session) {
	s.over = true
	c.remove(s)
	c.mu.Lock()
	c.leaving[s.id] = s
	many := len(c.leaving) > maxLeaving
	c.mu.Unlock()
	if many {
		c.part(s)
		return
	}
	go c.part(s)
}

func (c *Client) part(s *Session) {
	defer s.unlock()
	ctx, cancel := context.WithTimeout(context.Background(), abandonTimeout)
	defer cancel()
	if err := s.shut(ctx); err != nil {
		c.Log.Warn("closing a session did not work; it ends at its deadline", "session", s.ID(), "error", err)
	}
	if err := c.memory.save(); err != nil {
		c.Log.Warn("what is known of providers could not be kept", "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.leaving, s.id)
}
