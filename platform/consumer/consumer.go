// Package consumer is the asking side of the network: it opens sessions with
// escrow on the ledger, asks providers over link, checks every receipt before
// it signs a voucher, keeps the transcripts, and closes what it opened.
//
// Guarantees: a voucher is signed only for a history that equals the consumer's
// own count of it; the signed voucher is on disk before it is sent; whatever a
// provider does, the loss is at most one exposure step.
//
// Start at [Client.Ask], which keeps one session a model warm: a warm session
// touches no ledger.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/link"
	wire "daulat/link/session"
)

// Ledger is what a consumer needs of the chain, in the name of its account.
type Ledger interface {
	ChainID() string
	PlaceOrder(ctx context.Context, key canon.PublicKey, t job.Terms) (order uint64, err error)
	CancelOrder(ctx context.Context, order uint64) error
	Order(ctx context.Context, id uint64) (job.Order, error)
	Session(ctx context.Context, id uint64) (job.Session, error)
	CloseSession(ctx context.Context, id uint64) error
	Settle(ctx context.Context, s []receipt.Settlement) ([]error, error)
	// Addresses are where a provider is reached.
	Addresses(ctx context.Context, provider string) ([]string, error)
	// Now is the newest block's time in seconds.
	Now(ctx context.Context) (uint64, error)
}

// Dialer opens a stream to the peer that has the key.
type Dialer interface {
	DialKey(ctx context.Context, key canon.PublicKey, addrs []string, protocol string) (*link.Stream, error)
}

// Config is what a client works with.
type Config struct {
	Ledger  Ledger
	Link    Dialer
	Key     canon.PrivateKey // session key: signs requests and vouchers
	Journal *wire.Journal
	Log     *slog.Logger
}

// Client asks. It is safe for concurrent use; requests for one model go through
// one session, one after the other.
type Client struct {
	Config
	mu   sync.Mutex
	pool map[canon.CID]*pooled
}

// pooled is the warm session for a model.
type pooled struct {
	turn    chan struct{} // holds one token while somebody uses the session
	session *Session
}

// New returns a client. Sessions that an earlier run left open are taken up
// again when their model is asked, and closed by CloseAll.
func New(c Config) *Client { return &Client{Config: c, pool: map[canon.CID]*pooled{}} }

// Prompt is what is asked of a model.
type Prompt struct {
	Tokens []uint32
	Params receipt.Params
	Seed   canon.Hash
}

// Result is an answer that was paid for.
type Result struct {
	Session  uint64
	Seq      uint64
	Provider string
	Answer   receipt.Answer
	Input    uint64 // prompt tokens
	Price    uint64 // udlt that this answer added to the voucher
}

// Receipt names the result.
func (r Result) Receipt() string { return ReceiptID(r.Session, r.Seq) }

// ReceiptID is the text form of a receipt's name.
func ReceiptID(session, seq uint64) string { return fmt.Sprintf("%d-%d", session, seq) }

// ParseReceiptID reads what ReceiptID wrote.
func ParseReceiptID(text string) (session, seq uint64, err error) {
	if _, err := fmt.Sscanf(text, "%d-%d", &session, &seq); err != nil || ReceiptID(session, seq) != text {
		return 0, 0, fmt.Errorf("receipt %q is not of the form SESSION-NUMBER", text)
	}
	return session, seq, nil
}

// NoMatchError says that no provider took an order in time.
type NoMatchError struct{ Explanation string }

func (e *NoMatchError) Error() string { return "no provider matches: " + e.Explanation }

// Admission says who will answer, before anything is asked.
type Admission struct {
	Receipt  string // the receipt's name
	Provider string // account
	Ceiling  uint64 // udlt that the answer can cost at the most
}

// Ask puts a prompt to a provider of terms.Model and pays for the answer. begin
// is called once before the request leaves, then token for each token; an error
// of either ends the request.
func (c *Client) Ask(ctx context.Context, terms job.Terms, p Prompt, begin func(Admission) error, token func(uint32) error) (Result, error) {
	slot := c.slot(terms.Model)
	select {
	case slot.turn <- struct{}{}:
		defer func() { <-slot.turn }()
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	if err := c.ready(ctx, slot, terms, p); err != nil {
		return Result{}, err
	}
	r, err := slot.session.Ask(ctx, p, begin, token)
	if err != nil {
		c.abandon(ctx, slot)
	}
	return r, err
}

// abandon starts to close a session in which a request failed, so that the next
// request gets a provider that works; what is owed there is settled meanwhile.
func (c *Client) abandon(ctx context.Context, slot *pooled) {
	old := slot.session
	slot.session = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	if err := old.shut(ctx); err != nil {
		c.Log.Warn("closing a failed session did not work; it ends at its deadline", "session", old.ID(), "error", err)
	}
}

func (c *Client) slot(model canon.CID) *pooled {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.pool[model]
	if s == nil {
		s = &pooled{turn: make(chan struct{}, 1)}
		c.pool[model] = s
	}
	return s
}

// ready leaves a session in the slot that can carry p: the warm one, one from
// the journal, or a new one.
func (c *Client) ready(ctx context.Context, slot *pooled, terms job.Terms, p Prompt) error {
	if slot.session == nil {
		s, err := c.resume(ctx, terms.Model)
		if err != nil {
			return err
		}
		slot.session = s
	}
	if slot.session != nil {
		if slot.session.carries(p) {
			return nil
		}
		old := slot.session
		slot.session = nil
		if err := old.Close(ctx); err != nil {
			c.Log.Warn("closing a used-up session failed", "session", old.ID(), "error", err)
		}
	}
	s, err := c.Open(ctx, terms)
	if err != nil {
		return err
	}
	slot.session = s
	return nil
}

// resume takes up a session for the model that an earlier run left open.
func (c *Client) resume(ctx context.Context, model canon.CID) (*Session, error) {
	records, err := c.Journal.Records(func(r wire.Record) bool {
		return r.Session.State == job.SessionOpen && r.Session.Terms.Model == model
	})
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		s, err := c.restore(ctx, r)
		if err != nil {
			return nil, err
		}
		if s != nil {
			return s, nil
		}
	}
	return nil, nil
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
	if fresh.State != job.SessionOpen || now+closeMargin >= fresh.Clock || (r.Newest != nil && r.Newest.Voucher.Final) {
		return nil, nil
	}
	addrs, err := c.Ledger.Addresses(ctx, fresh.Provider)
	if err != nil {
		return nil, err
	}
	return c.session(r, addrs, now), nil
}

// Open places an order, waits until it is matched, and returns the session.
func (c *Client) Open(ctx context.Context, terms job.Terms) (*Session, error) {
	id, err := c.Ledger.PlaceOrder(ctx, c.Key.Public(), terms)
	if err != nil {
		return nil, err
	}
	if err := c.matched(ctx, id); err != nil {
		return nil, err
	}
	opened, err := c.Ledger.Session(ctx, id)
	if err != nil {
		return nil, err
	}
	addrs, err := c.Ledger.Addresses(ctx, opened.Provider)
	if err != nil {
		return nil, err
	}
	now, err := c.Ledger.Now(ctx)
	if err != nil {
		return nil, err
	}
	r := wire.Record{Session: opened}
	if err := c.Journal.Save(r); err != nil {
		return nil, err
	}
	c.Log.Info("session opened", "session", id, "provider", opened.Provider)
	return c.session(r, addrs, now), nil
}

func (c *Client) session(r wire.Record, addrs []string, now uint64) *Session {
	left := time.Duration(r.Session.Clock-min(now, r.Session.Clock)) * time.Second
	return &Session{client: c, record: r, addrs: addrs, expires: time.Now().Add(left - closeMargin*time.Second)}
}

const (
	abandonTimeout = 20 * time.Second

	matchPoll = 100 * time.Millisecond
	matchWait = 5 * time.Second // after which a reason for no match is given
	// closeMargin is how long before its deadline a session takes no more
	// requests, in seconds.
	closeMargin = 90
)

// matched waits for a match, and takes the order back when there is a reason
// why there is none.
func (c *Client) matched(ctx context.Context, id uint64) error {
	tick := time.NewTicker(matchPoll)
	defer tick.Stop()
	explain := time.After(matchWait)
	late := false
	for {
		o, err := c.Ledger.Order(ctx, id)
		if err != nil {
			return err
		}
		switch {
		case o.State == job.OrderMatched:
			return nil
		case o.State != job.OrderOpen:
			return fmt.Errorf("order %d is %s", id, o.State)
		case late && o.Explanation != "":
			return c.giveUp(ctx, id, o.Explanation)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), c.giveUp(context.WithoutCancel(ctx), id, "asker left"))
		case <-explain:
			late = true
		case <-tick.C:
		}
	}
}

func (c *Client) giveUp(ctx context.Context, id uint64, why string) error {
	if err := c.Ledger.CancelOrder(ctx, id); err != nil {
		return fmt.Errorf("take order %d back: %w", id, err)
	}
	return &NoMatchError{Explanation: why}
}

// CloseAll settles every session that is open, with final vouchers.
func (c *Client) CloseAll(ctx context.Context) error {
	c.mu.Lock()
	slots := make([]*pooled, 0, len(c.pool))
	for _, s := range c.pool {
		slots = append(slots, s)
	}
	c.mu.Unlock()
	for _, s := range slots {
		s.turn <- struct{}{}
		s.session = nil
		<-s.turn
	}
	records, err := c.Journal.Records(func(r wire.Record) bool { return r.Session.State == job.SessionOpen })
	if err != nil {
		return err
	}
	var failed []error
	for _, r := range records {
		failed = append(failed, c.Settle(ctx, r.Session.ID))
	}
	return errors.Join(failed...)
}

// Settle ends the session, if it is open, and waits until the ledger shows it
// settled.
func (c *Client) Settle(ctx context.Context, id uint64) error {
	r, err := c.Journal.Record(id)
	if err != nil {
		return err
	}
	c.retire(id, r.Session.Terms.Model)
	if r.Session, err = c.Ledger.Session(ctx, id); err != nil {
		return err
	}
	if r.Session.State != job.SessionOpen && r.Session.State != job.SessionClosing {
		return c.Journal.Save(r)
	}
	addrs, err := c.Ledger.Addresses(ctx, r.Session.Provider)
	if err != nil {
		return err
	}
	return c.session(r, addrs, 0).Close(ctx)
}

// retire takes the session out of the pool once nobody uses it.
func (c *Client) retire(id uint64, model canon.CID) {
	slot := c.slot(model)
	slot.turn <- struct{}{}
	defer func() { <-slot.turn }()
	if slot.session != nil && slot.session.ID() == id {
		slot.session = nil
	}
}
