package consumer_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/link"
	"daulat/link/linktest"
	wire "daulat/link/session"
	"daulat/link/session/sessiontest"
	"daulat/platform/consumer"
)

var model = canon.NewCID(canon.DagCBOR, canon.Hash{1})

// setup is a ledger and a client with its journal.
type setup struct {
	t       testing.TB
	ctx     context.Context // ends long before the package's time-out, so that what hangs fails by itself
	chain   *sessiontest.Chain
	account *sessiontest.Account
	ledger  *overseen // the client's view of it
	key     canon.PrivateKey
	node    *link.Node
	out     *wayOut // of the client to the node
	path    string
	journal *wire.Journal
	auditor verify.Runner
	keeper  *kept
	client  *consumer.Client
}

const wallet = 1000

func start(t testing.TB) *setup {
	t.Helper()
	s := &setup{t: t, chain: sessiontest.New(), key: linktest.Key(t), path: filepath.Join(t.TempDir(), "journal")}
	var end context.CancelFunc
	s.ctx, end = context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(end)
	s.account, s.node = s.chain.Account("consumer", wallet), linktest.Node(t, linktest.Key(t))
	s.run()
	t.Cleanup(func() {
		if err := errors.Join(s.journal.Close(), s.chain.Audit()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// wayOut is a node that can be off the network.
type wayOut struct {
	*link.Node
	gone atomic.Bool
}

func (o *wayOut) DialKey(ctx context.Context, key canon.PublicKey, addrs []string, protocol string) (*link.Stream, error) {
	if o.gone.Load() {
		return nil, errGone
	}
	return o.Node.DialKey(ctx, key, addrs, protocol)
}

// remembering is start with a client that keeps what it learns over a restart.
func remembering(t testing.TB) *setup {
	t.Helper()
	s := start(t)
	s.keeper = &kept{}
	s.crash(s.disk())
	return s
}

func (s *setup) run() {
	s.t.Helper()
	var err error
	if s.journal, err = wire.OpenJournal(s.path); err != nil {
		s.t.Fatal(err)
	}
	s.ledger, s.out = &overseen{account: s.account}, &wayOut{Node: s.node}
	config := consumer.Config{Ledger: s.ledger, Link: s.out, Key: s.key, Journal: s.journal,
		Auditor: s.auditor, Log: slog.New(slog.DiscardHandler)}
	if s.keeper != nil {
		config.Keeper = s.keeper
	}
	s.client = consumer.New(config)
}

// crash starts the client again with the journal as disk shows it, as after
// kill -9.
func (s *setup) crash(disk []byte) {
	s.t.Helper()
	if err := s.journal.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.restore(disk)
}

func (s *setup) restore(disk []byte) {
	s.t.Helper()
	s.path += "+"
	if err := os.WriteFile(s.path, disk, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.run()
}

func (s *setup) disk() []byte {
	disk, err := os.ReadFile(s.path)
	if err != nil {
		s.t.Error(err)
	}
	return disk
}

func terms() job.Terms {
	return job.Terms{Version: canon.Version, Kind: job.Inference, Executor: "toy/1", Model: model, Assurance: job.Sampled,
		Privacy: job.Open, Ceiling: job.Price{Input: 3000, Output: 3000}, Escrow: 100, Step: 50, Patience: 60, Duration: 3600}
}

func prompt(tokens, most int) consumer.Prompt {
	return consumer.Prompt{Tokens: make([]uint32, tokens), Params: receipt.Params{MaxTokens: uint64(most), TopP: receipt.MaxTopP}}
}

func willing(consumer.Admission) error { return nil }
func deaf(receipt.Token) error         { return nil }

func (s *setup) try(ctx context.Context, tokens, most int) (consumer.Result, error) {
	return s.client.Ask(ctx, terms(), prompt(tokens, most), willing, deaf)
}

func (s *setup) buy(tokens, most int) consumer.Result {
	s.t.Helper()
	r, err := s.try(s.ctx, tokens, most)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// closeAll settles what is open.
func (s *setup) closeAll() {
	s.t.Helper()
	if err := s.client.CloseAll(s.ctx); err != nil {
		s.t.Fatal(err)
	}
}

func (s *setup) offers() []match.Candidate {
	s.t.Helper()
	all, err := s.account.Market(s.ctx, model)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func (s *setup) onLedger(id uint64) job.Session {
	s.t.Helper()
	now, err := s.account.Session(s.ctx, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return now
}

func (s *setup) advance(seconds uint64) {
	s.t.Helper()
	if err := s.chain.Advance(seconds); err != nil {
		s.t.Fatal(err)
	}
}

// conduct is how a seller treats requests; the zero value is honest.
type conduct struct {
	refuse  *wire.Refusal
	silent  bool              // reads the ask and never answers
	deadEnd bool              // answers no final voucher either
	cut     int               // hangs up after so many tokens
	away    func()            // is called instead of hanging up
	stall   int               // sends no more after so many tokens, and does not hang up; -1: none
	deaf    int               // hears no stop before so many tokens
	short   int               // ends after so many tokens as if it had been told to stop
	trickle time.Duration     // waits so long after each token
	extra   int               // tokens more than were asked for
	shift   uint32            // is added to each token
	empty   bool              // sends a reply with nothing in it
	shown   func(*wire.Reply) // changes the log-probabilities that come with a token
	done    func(*wire.Done)  // changes the receipt before it is signed
	signer  *canon.PrivateKey // signs receipts in the seller's place
	early   func(wire.Ask)    // is called when an ask came
	vouched func()            // is called when a voucher came
	unheard bool              // hangs up instead of acknowledging
	thinks  []string          // comes before text
	text    []string          // is what a declared model answers
	calls   string            // and the tools that it calls
	usage   *receipt.Usage    // and what it is billed for
}

// seller is a provider that misbehaves exactly as a test wants.
type seller struct {
	*setup
	name    string
	offer   match.Offer
	account *sessiontest.Account
	ledger  *overseen // the client's view of it
	key     canon.PrivateKey
	node    *link.Node
	mu      sync.Mutex
	conduct conduct
	served  map[uint64]job.Served
	asks    []wire.Ask
	paid    []wire.Payment
	inside  map[uint64]int // requests under way, by session
	most    int            // in one session at the same time
}

// sells registers a seller at a price in udlt a token.
func (s *setup) sells(name string, udlt uint64) *seller {
	s.t.Helper()
	return s.sellsOf(name, match.Offer{Model: model, Executor: "toy/1", Assurance: job.Sampled, Price: job.Price{Input: 1000 * udlt, Output: 1000 * udlt}, Slots: 9})
}

func (s *setup) sellsOf(name string, offer match.Offer) *seller {
	s.t.Helper()
	x := &seller{setup: s, name: name, offer: offer, account: s.chain.Account(name, 0), key: linktest.Key(s.t), served: map[uint64]job.Served{}, inside: map[uint64]int{}}
	x.open()
	return x
}

// open has the seller serve at an address that it announces.
func (x *seller) open() {
	x.t.Helper()
	x.node = linktest.Node(x.t, x.key)
	x.node.Handle(wire.Protocol, x.serve)
	proof := x.key.Sign(match.DomainProvider, match.Claim{Chain: sessiontest.ID, Account: x.name})
	x.offer.Provider, x.offer.Key = x.name, x.key.Public()
	err := x.account.Announce(x.ctx, match.Announcement{Key: x.key.Public(), Proof: proof, Addresses: x.node.Addrs(), Offers: []match.Offer{x.offer}})
	if err != nil {
		x.t.Error(err)
	}
}

func (x *seller) behave(c conduct) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conduct = c
}

func (x *seller) serve(ctx context.Context, s *link.Stream) {
	var o wire.Opening
	if s.Receive(&o) != nil {
		return
	}
	x.mu.Lock()
	c := x.conduct
	x.mu.Unlock()
	if o.Finish != nil {
		x.finish(ctx, s, c, *o.Finish)
		return
	}
	x.enter(o.Ask)
	leave := sync.OnceFunc(func() { x.leave(o.Ask) })
	defer leave()
	if c.early != nil {
		c.early(*o.Ask)
	}
	switch {
	case c.silent:
		<-ctx.Done()
	case c.refuse != nil:
		_ = s.Send(wire.Reply{Refused: c.refuse})
	case c.empty:
		_ = s.Send(wire.Reply{})
	default:
		x.answer(ctx, s, c, *o.Ask, leave)
	}
}

func (x *seller) enter(ask *wire.Ask) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asks = append(x.asks, *ask)
	x.inside[ask.Ask.Session]++
	x.most = max(x.most, x.inside[ask.Ask.Session])
}

func (x *seller) leave(ask *wire.Ask) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.inside[ask.Ask.Session]--
}

// count counts up to max tokens, as long as nothing goes wrong on purpose.
func (x *seller) count(ctx context.Context, s *link.Stream, w *words, c conduct, ask wire.Ask) (receipt.Answer, bool) {
	a := receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishLength}
	for i := range int(ask.Request.Params.MaxTokens) + c.extra {
		select {
		case <-w.stop:
			if i >= c.deaf {
				return x.stopped(s, a)
			}
		default:
		}
		if c.short > 0 && i == c.short {
			return x.stopped(s, a)
		}
		if c.cut > 0 && i == c.cut && c.away != nil {
			c.away()
			return a, false
		}
		if c.cut > 0 && i == c.cut {
			s.Close() // unlike Reset, it lets what was sent arrive
			return a, false
		}
		if c.stall > 0 && i == c.stall || c.stall < 0 || c.trickle > 0 && i > 0 {
			select {
			case <-ctx.Done():
				return a, false
			case <-w.stop:
				return x.stopped(s, a)
			case <-after(c.trickle):
			}
		}
		r := wire.Reply{Tokens: []uint32{uint32(i) + c.shift}, Logprobs: shownOf(ask.Request.Params, uint32(i)+c.shift)}
		if c.shown != nil {
			c.shown(&r)
		}
		a.Tokens, a.Logprobs = append(a.Tokens, r.Tokens...), append(a.Logprobs, r.Logprobs...)
		if s.Send(r) != nil {
			return a, false
		}
	}
	return a, true
}

// words are what the client says after its ask.
type words struct {
	stop chan struct{}
	paid chan wire.Payment
}

func listen(s *link.Stream) *words {
	w := &words{stop: make(chan struct{}), paid: make(chan wire.Payment, 1)}
	go func() {
		defer close(w.paid)
		for {
			var word wire.Word
			if s.Await(&word) != nil {
				return
			}
			if word.Payment != nil {
				w.paid <- *word.Payment
				return
			}
			close(w.stop) // a second one panics: it is said once
		}
	}()
	return w
}

// stopped is the answer so far, or a refusal if there is none.
func (x *seller) stopped(s *link.Stream, a receipt.Answer) (receipt.Answer, bool) {
	if len(a.Tokens) == 0 {
		_ = s.Send(wire.Reply{Refused: &wire.Refusal{Code: wire.Stopped}})
		return a, false
	}
	a.Finish = receipt.FinishCancelled
	return a, true
}

// tell answers as a declared model.
func (x *seller) tell(s *link.Stream, c conduct) (receipt.Answer, bool) {
	for _, thought := range c.thinks {
		if s.Send(wire.Reply{Reasoning: thought}) != nil {
			return receipt.Answer{}, false
		}
	}
	for i, text := range c.text {
		if c.cut > 0 && i == c.cut {
			s.Close()
			return receipt.Answer{}, false
		}
		if s.Send(wire.Reply{Text: text}) != nil {
			return receipt.Answer{}, false
		}
	}
	var calls []any
	if c.calls != "" {
		v, _ := canon.ReadJSON([]byte(c.calls))
		calls, _ = v.([]any)
		if s.Send(wire.Reply{Calls: c.calls}) != nil {
			return receipt.Answer{}, false
		}
	}
	return receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishStop, Usage: c.usage, Message: receipt.Message{Content: strings.Join(c.text, ""), Reasoning: strings.Join(c.thinks, ""), Calls: calls}.Encode()}, true
}

// answer gives an answer and takes the voucher for it.
func (x *seller) answer(ctx context.Context, s *link.Stream, c conduct, ask wire.Ask, leave func()) {
	a, ok := receipt.Answer{}, false
	w := listen(s)
	if ask.Request.Chat != "" {
		a, ok = x.tell(s, c)
	} else {
		a, ok = x.count(ctx, s, w, c, ask)
	}
	if !ok {
		return
	}
	session, err := x.account.Session(context.Background(), ask.Ask.Session)
	if err != nil {
		return
	}
	x.mu.Lock()
	next, err := session.Serve(x.served[session.ID], receipt.NewLeaf(ask.Ask, ask.Request, a))
	x.mu.Unlock()
	if err != nil {
		return
	}
	done := wire.Done{Finish: a.Finish, Usage: a.Usage, Receipt: next.Tally.Receipt(sessiontest.ID, session.ID)}
	if c.done != nil {
		c.done(&done)
	}
	signer := x.key
	if c.signer != nil {
		signer = *c.signer
	}
	done.Signature = signer.Sign(receipt.DomainReceipt, done.Receipt)
	if s.Send(wire.Reply{Done: &done}) != nil {
		return
	}
	p, ok := <-w.paid
	if !ok {
		return
	}
	if c.vouched != nil {
		c.vouched()
	}
	next, err = session.Pay(sessiontest.ID, next, p.Voucher, p.Signature)
	if err != nil {
		x.t.Errorf("seller %s was given a bad voucher: %v", x.name, err)
		return
	}
	x.mu.Lock()
	x.served[session.ID], x.paid = next, append(x.paid, p)
	x.mu.Unlock()
	if c.unheard {
		s.Reset()
		return
	}
	leave() // the next request may come as soon as this is heard
	_ = s.Send(wire.Reply{Paid: true})
}

// after is time.After, and never for 0.
func after(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return time.After(d)
}

// finish settles with the final voucher, if it is for what was paid before.
func (x *seller) finish(ctx context.Context, s *link.Stream, c conduct, p wire.Payment) {
	if c.deadEnd {
		<-ctx.Done()
		return
	}
	x.mu.Lock()
	m := x.served[p.Voucher.Session]
	x.mu.Unlock()
	r := m.Tally.Receipt(sessiontest.ID, p.Voucher.Session)
	if p.Voucher.Seq < r.Seq {
		_ = s.Send(wire.Reply{Refused: &wire.Refusal{Code: wire.Invalid, Reason: "voucher is old"}})
		return
	}
	results, err := x.account.Settle(ctx, []receipt.Settlement{{Close: true, Entry: receipt.Entry{Receipt: r,
		ReceiptSignature: x.key.Sign(receipt.DomainReceipt, r), Voucher: p.Voucher, VoucherSignature: p.Signature}}})
	if err = errors.Join(append(results, err)...); err != nil {
		x.t.Errorf("seller %s can't settle: %v", x.name, err)
		return
	}
	_ = s.Send(wire.Reply{Paid: true})
}

// vouchers returns what the seller was paid with.
func (x *seller) vouchers() []wire.Payment {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]wire.Payment(nil), x.paid...)
}

// asked returns what the seller was asked.
func (x *seller) asked() []wire.Ask {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]wire.Ask(nil), x.asks...)
}

// eventually waits for what happens on other goroutines.
func (s *setup) eventually(what string, happened func() bool) {
	s.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(15 * time.Second)
	for !happened() {
		select {
		case <-tick.C:
		case <-limit:
			s.t.Fatal("never happened:", what)
		}
	}
}
