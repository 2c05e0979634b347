// Package provider is the daemon that sells a machine's work: it registers on
// the ledger, publishes offers, serves sessions over link, signs receipts,
// keeps vouchers in a journal and brings them to the ledger.
//
// Guarantees: a voucher that was acknowledged is on disk; a session that the
// ledger opened for this provider ends, whoever dies meanwhile; a close by the
// consumer is seen before a quarter of its window and one second are over; no
// consumer can take more unpaid work of a session than its exposure step, or
// than the longest answer is worth if that is less; an account that left more
// than that unpaid over all its sessions is served no further for an hour.
//
// Start at [Open]; serve.go follows one request, settle.go one payment, watch.go
// decides when the ledger is asked, offers.go what it is told, debts.go remembers who did not pay, and rest.go
// lets the machine's owner have it back.
package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/link"
	"daulat/link/session"
)

// Ledger is what a provider needs of the chain, in the name of its account.
type Ledger interface {
	ChainID() string
	Account() string
	// Announce makes the ledger show what the announcement says, all of it or
	// nothing, and sends only what is new. It is ErrNotInForce if the account is a
	// provider by another key, or by none.
	Announce(ctx context.Context, a match.Announcement) error
	// WithdrawOffer takes an offer back; one that is not there is no error.
	WithdrawOffer(ctx context.Context, model canon.CID) error
	// Offered reports whether the ledger shows an offer of the account's for a model.
	Offered(ctx context.Context, model canon.CID) (bool, error)
	Session(ctx context.Context, id uint64) (job.Session, error)
	Sessions(ctx context.Context, party string, state job.SessionState) ([]job.Session, error)
	// Settle returns one error per settlement, nil where it was taken.
	Settle(ctx context.Context, s []receipt.Settlement) ([]error, error)
	// Now is the newest block's time in seconds.
	Now(ctx context.Context) (uint64, error)
}

// Models gives the provider what it serves.
type Models interface {
	Model(ctx context.Context, id canon.CID) (inference.Model, error)
}

// Offer is one model that the provider sells.
type Offer struct {
	Model     canon.CID
	Manifest  []byte // or declaration
	Executor  string
	Assurance job.Assurance
	Price     job.Price
	Slots     uint64
}

// Config is what a provider works with.
type Config struct {
	Ledger   Ledger
	Link     *link.Node
	Key      canon.PrivateKey // the link's identity, which signs receipts
	More     []Identity       // keys of open sessions, and one that is to take over
	Journal  *session.Journal
	Models   Models
	Offers   []Offer
	Parallel int  // answers computed at the same time; 0 means 1
	Resting  bool // at first: nothing is on offer until Work
	Log      *slog.Logger
}

// Provider serves sessions until it is closed.
type Provider struct {
	Config
	working  chan struct{}        // one token per answer under way
	contexts map[canon.CID]uint64 // of the models on offer, tokens
	mu       sync.Mutex
	known    []Identity
	leases   map[uint64]*lease
	watches  map[uint64]watched // sessions that are not over
	debts    debts
	shift    *shift
	display  *display
	stop     context.CancelFunc
	done     sync.WaitGroup
}

// Open registers the provider, publishes its offers and starts to serve. If it fails
// or ctx ends meanwhile, nothing is left on offer.
func Open(ctx context.Context, c Config) (*Provider, error) {
	p := &Provider{Config: c, working: make(chan struct{}, max(1, c.Parallel)),
		known:    append([]Identity{{c.Key, c.Link}}, c.More...),
		contexts: map[canon.CID]uint64{}, leases: map[uint64]*lease{}, watches: map[uint64]watched{},
		debts: debts{of: map[string]map[uint64]debt{}}, shift: newShift(c.Resting), display: newDisplay(c.Offers)}
	err := errors.Join(p.measure(), p.watchAll())
	if err == nil {
		// Whoever is matched with an offer, such as one of an earlier run, may call
		// before the ledger has said yes to this one.
		for _, i := range p.known {
			i.Link.Handle(session.Protocol, p.serve)
		}
		err = p.enter(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("start provider: %w", err)
	}
	run, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.done.Add(1)
	go p.settling(run)
	return p, nil
}

// leaveTimeout is how long a start that ended may still deal with the ledger.
const leaveTimeout = 10 * time.Second

// enter announces the offers. What is sent may be in a block at any time later, so
// the announcement goes on to its end when ctx ends, and is taken back after it.
func (p *Provider) enter(ctx context.Context) error {
	late, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leaveTimeout, end) })()
	err := p.announce(late)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	return errors.Join(err, p.Retire(last))
}

// Close ends the settling loop. The link, which the caller owns, ends streams.
func (p *Provider) Close() {
	p.stop()
	p.done.Wait()
}

// measure notes how long the answers of what is on offer can be.
func (p *Provider) measure() error {
	for _, o := range p.Offers {
		if artifact.IsDeclared(o.Model) {
			if _, err := artifact.DecodeDeclarationAs(o.Model, o.Manifest); err != nil {
				return err
			}
			continue
		}
		m, err := artifact.DecodeAs(o.Model, o.Manifest)
		if err != nil {
			return err
		}
		p.contexts[o.Model] = m.Context()
	}
	return nil
}

// giveUp says once that the journal takes no more, and takes the offers back:
// without a journal no request can be served.
func (p *Provider) giveUp(ctx context.Context) {
	p.Log.Error("provider serves no more", "error", p.Journal.Err())
	if err := p.Retire(ctx); err != nil {
		p.Log.Warn("offers could not be taken back", "error", err)
	}
}

// lease is one session's memory and the turn to use it.
type lease struct {
	turn   chan struct{} // holds one token while somebody works on the session
	record session.Record

	opened job.Session // as it was first seen, for what never changes
	mu     sync.Mutex
	asked  uint64       // number of the newest ask that came
	stream *link.Stream // on which it came
}

func (l *lease) lock(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lease) tryLock() bool {
	select {
	case l.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l *lease) unlock() { <-l.turn }

// lease finds a session in memory, in the journal or on the ledger.
func (p *Provider) lease(ctx context.Context, id uint64) (*lease, error) {
	p.mu.Lock()
	l := p.leases[id]
	p.mu.Unlock()
	if l != nil {
		return l, nil
	}
	record, err := p.Journal.Record(id)
	if errors.Is(err, session.ErrNoRecord) {
		record, err = p.fromLedger(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.leases[id]; known != nil {
		return known, nil
	}
	l = &lease{turn: make(chan struct{}, 1), record: record, opened: record.Session}
	p.leases[id] = l
	if _, watched := p.watches[id]; !watched && !over(record.Session.State) {
		p.watches[id] = newWatched(record.Session)
	}
	return l, nil
}

func (p *Provider) fromLedger(ctx context.Context, id uint64) (session.Record, error) {
	s, err := p.Ledger.Session(ctx, id)
	if err != nil {
		return session.Record{}, &session.Refusal{Code: session.Unknown, Reason: err.Error()}
	}
	if s.Provider != p.Ledger.Account() || !p.has(s.ProviderKey) {
		return session.Record{}, &session.Refusal{Code: session.Unknown, Reason: "session is another provider's"}
	}
	return session.Record{Session: s}, nil
}

const (
	// answerTimeout bounds one frame of an answer, so that a consumer that stops
	// reading holds a lease only that long.
	answerTimeout = 30 * time.Second
	// paymentTimeout leaves the consumer time to run the answer again first.
	paymentTimeout = 2 * time.Minute
	// maxBatch is how many tokens one frame carries at the most: with all that may
	// be shown of each they are less than an eighth of session.FrameLimit.
	maxBatch = 1024
)
