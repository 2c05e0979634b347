// Package consumer is the asking side of the network: it opens sessions with
// escrow on the ledger, asks providers over link, checks every receipt before
// it signs a voucher, keeps the transcripts, and closes what it opened.
//
// Guarantees: a voucher is signed only for a history that equals the consumer's
// own count of it; the signed voucher is on disk before it is sent; whatever a
// provider does, the loss is at most one exposure step.
//
// Start at [Client.Ask], which keeps sessions warm: a warm session touches no
// ledger. What does, opening a session's successor (ahead.go) and closing what
// is used up or failed (leave.go), goes on in the background of the requests;
// [Client.CloseAll] waits for it.
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
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/link"
	wire "daulat/link/session"
)

// Ledger is what a consumer needs of the chain, in the name of its account.
type Ledger interface {
	ChainID() string
	Account() string
	PlaceOrder(ctx context.Context, key canon.PublicKey, t job.Terms) (order uint64, err error)
	CancelOrder(ctx context.Context, order uint64) error
	Order(ctx context.Context, id uint64) (job.Order, error)
	Session(ctx context.Context, id uint64) (job.Session, error)
	Sessions(ctx context.Context, party string, state job.SessionState) ([]job.Session, error)
	CloseSession(ctx context.Context, id uint64) error
	Settle(ctx context.Context, s []receipt.Settlement) ([]error, error)
	// Addresses are where a provider is reached.
	Addresses(ctx context.Context, provider string) ([]string, error)
	// Stake is what a provider can lose by a proven lie, in udlt: its bond and
	// its withheld pay.
	Stake(ctx context.Context, provider string) (uint64, error)
	// Complain puts on record that a provider signed a wrong answer: number seq
	// of the session, under this receipt. The evidence's hash goes with it.
	Complain(ctx context.Context, session, seq uint64, r receipt.Signed, evidence canon.Hash) error
	// Market lists who offers the model. It is hearsay, good to choose by: what is
	// paid for is proven by itself.
	Market(ctx context.Context, model canon.CID) ([]match.Candidate, error)
	// Purse is what the account can spend, in udlt. It is hearsay too: a lie costs a
	// refused order, or a session that ends early.
	Purse(ctx context.Context) (uint64, error)
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
	Auditor verify.Runner // runs drawn answers again before they are paid for; nil draws none
	Keeper  Keeper        // keeps what was learnt of providers; nil forgets it at the end
	Log     *slog.Logger
}

// Client asks. It is safe for concurrent use: a session carries one request at a
// time, and a model has as many warm sessions as there were requests at once.
type Client struct {
	Config
	mu      sync.Mutex
	pool    map[canon.CID][]*Session
	spares  map[canon.CID][]*spare
	leaving map[uint64]*Session // being closed
	resumed map[canon.CID]bool  // models whose sessions of an earlier run were taken up
	shunned map[string]shun     // by provider
	opening chan struct{}       // holds one token while a session is opened with bounded owners
	markets map[canon.CID]market
	memory  *memory
	pledges pledges
	limits  limits
}

// New returns a client. Sessions that an earlier run left open are taken up
// again when their model is asked, and closed by CloseAll.
func New(c Config) *Client {
	return &Client{Config: c, pool: map[canon.CID][]*Session{}, spares: map[canon.CID][]*spare{}, leaving: map[uint64]*Session{}, resumed: map[canon.CID]bool{}, shunned: map[string]shun{}, opening: make(chan struct{}, 1),
		markets: map[canon.CID]market{}, memory: newMemory(c.Keeper, c.Log), limits: usualLimits}
}

// Prompt is what is asked of a model.
type Prompt struct {
	Tokens []uint32
	Chat   string // in place of Tokens, to a declared model
	Params receipt.Params
	Seed   canon.Hash
	// Repeat asks for the same answer to the same prompt, parameters and seed
	// every time: the request then carries no number of its own.
	Repeat bool
	Owners
}

// Owners says how a client's requests are shared among owners of providers.
type Owners struct {
	// Spread wants requests to go to different owners, one after the other, those of
	// earlier runs too.
	Spread bool
	// PerOwner is how many sessions one owner may hold that take requests, those for
	// other models too; 0 is any number. Sessions that are being closed don't count.
	PerOwner uint64
}

// FullError says that whoever offers the model has as many sessions as it may.
type FullError struct{ PerOwner uint64 }

func (e *FullError) Error() string {
	return fmt.Sprintf("each owner that offers the model and answers has as many sessions of this home as it may: %d", e.PerOwner)
}

// Result is an answer that was paid for.
type Result struct {
	Session  uint64
	Seq      uint64
	Provider string
	Answer   receipt.Answer
	Usage    receipt.Usage // what the answer was billed for
	Price    uint64        // udlt that this answer added to the voucher
	Beside   uint64        // udlt paid meanwhile for what other providers had begun
}

// Receipt names the result.
func (r Result) Receipt() string { return ReceiptID(r.Session, r.Seq) }

// ReceiptID is the text form of a receipt's name.
func ReceiptID(session, seq uint64) string { return fmt.Sprintf("%d-%d", session, seq) }

// ErrNoReceiptID says that a text names no receipt.
var ErrNoReceiptID = errors.New("not of the form SESSION-NUMBER")

// ParseReceiptID reads what ReceiptID wrote.
func ParseReceiptID(text string) (session, seq uint64, err error) {
	if _, err := fmt.Sscanf(text, "%d-%d", &session, &seq); err != nil || ReceiptID(session, seq) != text {
		return 0, 0, fmt.Errorf("receipt %q: %w", text, ErrNoReceiptID)
	}
	return session, seq, nil
}

// NoMatchError says that no provider took an order in time.
type NoMatchError struct {
	Order       uint64
	Explanation string
	Failed      int  // providers of this request that failed before
	narrow      bool // the order was for those alone whom this client chose
}

func (e *NoMatchError) Error() string {
	return fmt.Sprintf("no provider matches job %d: %s", e.Order, e.Explanation)
}

// Admission says who will answer, before anything is asked.
type Admission struct {
	Receipt  string // the receipt's name
	Provider string // account
	Ceiling  uint64 // udlt that the answer can cost at the most, whoever gives it
}

// Ask puts a prompt to a provider of terms.Model and pays for the answer. begin
// is called once before the request first leaves, then token for each token; an
// error of either ends the request.
//
// A provider that fails is replaced, also in the middle of an answer: the same
// request draws the same tokens everywhere, so the next one goes on where the
// last one broke off. Only the result names the receipt that counts then. A
// declared model's answer is another every time, so its provider is replaced
// until the first text is here.
//
// When ctx ends, or token returns an error, the provider is told to stop, and what
// came is paid for: the result then says how much, beside the error.
func (c *Client) Ask(ctx context.Context, terms job.Terms, p Prompt, begin func(Admission) error, token func(receipt.Token) error) (Result, error) {
	counter, err := c.number(p)
	if err != nil {
		return Result{}, err
	}
	f := &follower{begin: begin, token: token}
	for try := 1; ; try++ {
		r, err := c.try(ctx, terms, p, counter, f)
		r.Beside = f.beside.Load()
		if err == nil || try == maxTries || !c.mayRetry(ctx, err, f) {
			return r, fate(ctx, err, f, try)
		}
		c.Log.Warn("provider failed; asking another", "error", err)
		f.again()
	}
}

// openAny orders from those that the client chose, then from anybody, and then from
// providers which merely failed too, if nobody else takes the order. The asker's
// patience is one: all orders share it.
func (c *Client) openAny(ctx context.Context, terms job.Terms, p Prompt) (*Session, error) {
	begun := time.Now()
	until, first := begun.Add(matchWait), begun.Add(matchWait)
	if c.mayForgive() {
		first = begun.Add(matchWait / 2)
	}
	o := order{most: p.worst(), Owners: p.Owners, until: first, chosen: begun.Add(matchWait / 3)}
	s, err := c.open(ctx, terms, o)
	o.chosen, o.anybody = time.Time{}, true
	var none *NoMatchError
	if errors.As(err, &none) && none.narrow {
		s, err = c.open(ctx, terms, o)
	}
	if errors.As(err, &none) && c.forgive() {
		o.until = until
		s, err = c.open(ctx, terms, o)
	}
	return s, err
}

// order is how one order is placed, besides its terms.
type order struct {
	Owners
	most      receipt.Usage // of the first request that its session shall carry
	until     time.Time     // when it is taken back unless it is matched
	chosen    time.Time     // when it is taken back if it is for those alone who were chosen; zero: as until
	anybody   bool          // whom the market gives it, if those that were chosen are busy
	known     bool          // with one that is known, newcomers' turn or not
	place, of int           // of several orders for one request, each with another provider
}

func (c *Client) open(ctx context.Context, terms job.Terms, o order) (*Session, error) {
	chosen, err := c.choose(ctx, terms, o)
	if err != nil {
		return nil, err
	}
	return c.place(ctx, terms, chosen, o)
}

// place orders from those that were chosen.
func (c *Client) place(ctx context.Context, terms job.Terms, chosen choice, o order) (*Session, error) {
	terms.Excluded = append(terms.Excluded[:len(terms.Excluded):len(terms.Excluded)], c.excluded()...)
	terms.Excluded = terms.Excluded[:min(len(terms.Excluded), job.MaxExcluded)]
	pinned := terms.Only
	terms, placed, err := c.fund(ctx, chosen.prefer(terms, o), o.most)
	if err != nil {
		return nil, err
	}
	id, err := c.Ledger.PlaceOrder(ctx, c.Key.Public(), terms)
	placed()
	if err != nil {
		return nil, err
	}
	until := o.until
	if terms.Only && !pinned && !o.chosen.IsZero() {
		until = o.chosen
	}
	if err := c.matched(ctx, id, until); err != nil {
		var none *NoMatchError
		if errors.As(err, &none) {
			none.narrow = terms.Only && !pinned
		}
		return nil, err
	}
	opened, err := c.Ledger.Session(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := opened.Ordered(job.Order{ID: id, Consumer: c.Ledger.Account(), SessionKey: c.Key.Public(), Terms: terms}); err != nil {
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
	c.memory.opened(opened.Provider == chosen.newcomer)
	c.Log.Info("session opened", "session", id, "provider", opened.Provider)
	return c.session(ctx, r, now)
}

func (c *Client) session(ctx context.Context, r wire.Record, now uint64) (*Session, error) {
	addrs, err := c.Ledger.Addresses(ctx, r.Session.Provider)
	if err != nil {
		return nil, err
	}
	stake, err := c.Ledger.Stake(ctx, r.Session.Provider)
	if err != nil {
		return nil, err
	}
	left := time.Duration(r.Session.Clock-min(now, r.Session.Clock)) * time.Second
	return &Session{client: c, id: r.Session.ID, model: r.Session.Terms.Model, provider: r.Session.Provider, owner: ownerOf(r.Session.Provider, addrs), turn: make(chan struct{}, 1), record: r, seq: r.Served.Seq, stake: stake, addrs: link.AddrsOf(r.Session.ProviderKey, addrs), expires: time.Now().Add(left - closeMargin*time.Second)}, nil
}

const (
	abandonTimeout = 20 * time.Second
	shunFailed     = 5 * time.Minute
	shunLied       = 24 * time.Hour

	matchPoll = 100 * time.Millisecond
	matchWait = 3 * time.Second // after which a reason for no match is given: it reaches the user within five, orders and cancelling included
	// closeMargin is how long before its deadline a session takes no more
	// requests, in seconds.
	closeMargin = 90
)

// matched waits for a match, and takes the order back when there is a reason
// why there is none and the time is over.
func (c *Client) matched(ctx context.Context, id uint64, until time.Time) error {
	tick := time.NewTicker(matchPoll)
	defer tick.Stop()
	explain := time.After(time.Until(until))
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
	return &NoMatchError{Order: id, Explanation: why}
}
