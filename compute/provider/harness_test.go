package provider_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"daulat/compute/executor/inference"
	"daulat/compute/provider"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/link"
	"daulat/link/linktest"
	"daulat/link/session"
	"daulat/link/session/sessiontest"
)

// toy is a model whose answer counts up from the prompt's length.
type toy struct {
	mu    sync.Mutex
	calls int
	usage receipt.Usage // of a declared model
	fails error         // of a declared model, at the end
	// pause, if set, is called before each token.
	pause func(i int)
	// holds is a token, from 1, before which it waits to be broken off; 0 for none.
	holds atomic.Int64
	// within, if set, is called at the start of an answer, and what it returns at the end.
	within func() func()
	wide   bool // its log-probabilities are large numbers, for answers of many bytes
}

const (
	room  = 64    // tokens of prompt that the toy takes
	reach = 2_000 // tokens of context, by the manifest

	parallel = 4 // answers computed at a time
)

func (m *toy) Generate(ctx context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error) {
	if r.Chat != "" {
		return m.tell(emit)
	}
	if len(r.Tokens) >= room {
		return receipt.Answer{}, fmt.Errorf("%w: too long", inference.ErrPrompt)
	}
	m.mu.Lock()
	m.calls++
	m.mu.Unlock()
	if m.within != nil {
		defer m.within()()
	}
	a := receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishLength}
	for i := range int(r.Params.MaxTokens) {
		if m.pause != nil {
			m.pause(i)
		}
		if int64(i)+1 == m.holds.Load() {
			<-ctx.Done()
		}
		if ctx.Err() != nil {
			return receipt.Answer{}, ctx.Err()
		}
		token := receipt.Token{ID: uint32(len(r.Tokens) + i)}
		if n := r.Params.Logprobs; n > 0 {
			token.Logprobs = &receipt.Logprobs{NLL: token.ID, Top: make([]receipt.Logprob, n-1)}
			for j := range token.Logprobs.Top {
				if m.wide {
					token.Logprobs.Top[j] = receipt.Logprob{Token: 1<<31 + uint32(j), NLL: 1<<31 + uint32(j)}
				}
			}
		}
		if err := emit(token); err != nil {
			return receipt.Answer{}, err
		}
		a.Add(token)
	}
	return a, nil
}

// tell is what the toy answers as a declared model.
func (m *toy) tell(emit func(receipt.Token) error) (receipt.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	for _, text := range []string{"one ", "two"} {
		if err := emit(receipt.Token{Text: text}); err != nil {
			return receipt.Answer{}, err
		}
	}
	usage := m.usage
	return receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishTools, Message: receipt.NewMessage("one two", []any{"call"}), Usage: &usage}, m.fails
}

func (m *toy) Replay(context.Context, receipt.Request, receipt.Answer) (verify.Verdict, error) {
	return verify.Verdict{}, errors.New("toy models are not replayed")
}
func (m *toy) Context() int { return room }
func (m *toy) Close() error { return nil }

func (m *toy) Model(context.Context, canon.CID) (inference.Model, error) { return m, nil }

func (m *toy) called() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

type account = sessiontest.Account // embedded under a name that is none of its methods

// counting counts what the provider asks, and lets sessions have another close
// window than the chain's.
type counting struct {
	*account
	window       uint64
	looks, round atomic.Int64
	announced    atomic.Int64
	inForce      atomic.Pointer[canon.PublicKey] // nil takes any key
}

// force has the ledger take this identity key and no other.
func (c *counting) force(key canon.PublicKey) { c.inForce.Store(&key) }

func (c *counting) Announce(ctx context.Context, a match.Announcement) error {
	if key := c.inForce.Load(); key != nil && *key != a.Key {
		return provider.ErrNotInForce
	}
	c.announced.Add(1)
	return c.account.Announce(ctx, a)
}

func (c *counting) Session(ctx context.Context, id uint64) (job.Session, error) {
	c.looks.Add(1)
	s, err := c.account.Session(ctx, id)
	if c.window != 0 {
		s.Windows.Close = c.window
	}
	return s, err
}

func (c *counting) Now(ctx context.Context) (uint64, error) {
	c.round.Add(1)
	return c.account.Now(ctx)
}

// setup is a ledger and one provider that sells the toy model at 1 udlt a token.
type setup struct {
	t        testing.TB
	chain    *sessiontest.Chain
	key      canon.PrivateKey
	path     string // of the journal
	journal  *session.Journal
	link     *link.Node
	ledger   *counting
	provider *provider.Provider
	toy      *toy
	log      *slog.Logger
	manifest []byte
	model    canon.CID
	declared canon.CID // another model on offer
}

func start(t testing.TB) *setup {
	t.Helper()
	s := &setup{t: t, chain: sessiontest.New(), key: linktest.Key(t), toy: &toy{}, log: slog.New(slog.DiscardHandler), path: filepath.Join(t.TempDir(), "journal")}
	m := artifact.Manifest{Version: canon.Version, Name: "toy", Media: artifact.MediaModelGGUF, Licence: "Apache-2.0",
		Parts: []artifact.Part{{Role: artifact.Weights, Blob: canon.NewCID(canon.Raw, canon.Hash{1}), Size: 1}},
		Model: &artifact.Model{Semantics: "toy/1", Architecture: "toy", Context: reach}}
	var err error
	if s.manifest, s.model, err = m.Encode(); err != nil {
		t.Fatal(err)
	}
	s.run()
	t.Cleanup(func() {
		s.stop()
		if err := s.chain.Audit(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *setup) run() {
	s.t.Helper()
	declaration, declared, err := artifact.Declaration{Version: canon.Version, Name: "toy"}.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	s.declared = declared
	if s.journal, err = session.OpenJournal(s.path); err != nil {
		s.t.Fatal(err)
	}
	if s.link, err = link.Open(link.Config{Key: s.key}); err != nil {
		s.t.Fatal(err)
	}
	s.ledger = &counting{account: s.chain.Account("provider", 0)}
	s.provider, err = provider.Open(s.t.Context(), provider.Config{Ledger: s.ledger, Link: s.link, Key: s.key,
		Journal: s.journal, Models: s.toy, Parallel: parallel, Log: s.log,
		Offers: []provider.Offer{{Model: s.model, Manifest: s.manifest, Executor: "toy/1", Assurance: job.Sampled,
			Price: job.Price{Input: 1000, Output: 1000}, Slots: 8},
			{Model: declared, Manifest: declaration, Executor: job.Upstream, Price: job.Price{Input: 1000, Output: 1000}, Slots: 8}}})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *setup) stop() {
	s.provider.Close()
	if err := errors.Join(s.link.Close(), s.journal.Close()); err != nil {
		s.t.Error(err)
	}
}

// crash starts the provider again from what was on disk at this moment, as
// after kill -9.
func (s *setup) crash() {
	s.t.Helper()
	disk, err := os.ReadFile(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.stop()
	s.path += "+"
	if err := os.WriteFile(s.path, disk, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.run()
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

// rounds lets the provider look at its sessions n times.
func (s *setup) rounds(n int64) {
	s.t.Helper()
	before := s.ledger.round.Load()
	s.eventually("the provider looks at its sessions", func() bool { return s.ledger.round.Load() >= before+n })
}

func (s *setup) onLedger(id uint64) job.Session {
	s.t.Helper()
	now, err := s.chain.Account("provider", 0).Session(s.t.Context(), id)
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

// asker is a consumer that sends exactly the frames that a test wants.
type asker struct {
	*setup
	account *sessiontest.Account
	key     canon.PrivateKey
	node    *link.Node
	session job.Session
	served  job.Served // the history that its newest voucher covers
	seq     uint64
	last    *session.Payment
}

const (
	wallet   = 10_000
	duration = 3600
)

// lease opens a session with the given escrow and exposure step.
func (s *setup) lease(escrow, step uint64) *asker {
	s.t.Helper()
	return s.leaseOf("consumer", escrow, step)
}

// leaseOf opens a session of the named account.
func (s *setup) leaseOf(name string, escrow, step uint64) *asker {
	s.t.Helper()
	return s.leaseFor(name, job.Terms{Executor: "toy/1", Model: s.model, Assurance: job.Sampled, Escrow: escrow, Step: step})
}

// leaseFor opens a session with the given executor, model, assurance and money.
func (s *setup) leaseFor(name string, t job.Terms) *asker {
	s.t.Helper()
	a := &asker{setup: s, account: s.chain.Account(name, wallet), key: linktest.Key(s.t)}
	a.node = linktest.Node(s.t, linktest.Key(s.t))
	t.Version, t.Kind, t.Privacy, t.Ceiling = canon.Version, job.Inference, job.Open, job.Price{Input: 1000, Output: 1000}
	t.Patience, t.Duration = 60, duration
	id, err := a.account.PlaceOrder(s.t.Context(), a.key.Public(), t)
	if err != nil {
		s.t.Fatal(err)
	}
	if a.session, err = a.account.Session(s.t.Context(), id); err != nil {
		s.t.Fatal(err)
	}
	return a
}

// ask signs the next request.
func (a *asker) ask(prompt, most int) session.Ask {
	a.seq++
	r := receipt.Request{Version: canon.Version, Key: a.key.Public(), Counter: a.seq, Model: a.session.Terms.Model,
		Tokens: make([]uint32, prompt), Params: receipt.Params{MaxTokens: uint64(most), TopP: receipt.MaxTopP}}
	return a.sign(receipt.Ask{Chain: sessiontest.ID, Session: a.session.ID, Seq: a.seq, Request: r.Hash(), Salt: canon.Hash{byte(a.seq)}}, r)
}

func (a *asker) sign(ask receipt.Ask, r receipt.Request) session.Ask {
	return session.Ask{Ask: ask, Signature: a.key.Sign(receipt.DomainAsk, ask), Request: r, Last: a.last}
}

// send opens a stream with a frame.
func (a *asker) send(first any) *link.Stream {
	a.t.Helper()
	s, err := a.node.DialKey(a.t.Context(), a.setup.key.Public(), a.link.Addrs(), session.Protocol)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(s.Reset)
	if err := s.Send(first); err != nil {
		a.t.Fatal(err)
	}
	return s
}

// hear reads an answer up to its receipt.
func hear(s *link.Stream) (answer receipt.Answer, done session.Done, err error) {
	answer.Tokens = []uint32{}
	for {
		var r session.Reply
		if err := s.Receive(&r); err != nil {
			return answer, done, err
		}
		switch {
		case r.Refused != nil:
			return answer, done, r.Refused
		case r.Done != nil:
			answer.Finish = r.Done.Finish
			return answer, *r.Done, nil
		}
		answer.Tokens = append(answer.Tokens, r.Tokens...)
		answer.Logprobs = append(answer.Logprobs, r.Logprobs...)
	}
}

// answered asks, checks the receipt, and returns the stream that waits for a
// voucher and the history that the voucher is for.
func (a *asker) answered(ask session.Ask) (*link.Stream, job.Served) {
	a.t.Helper()
	s := a.send(session.Opening{Ask: &ask})
	answer, done, err := hear(s)
	if err != nil {
		a.t.Fatal(err)
	}
	next, err := a.session.Serve(a.served, receipt.NewLeaf(ask.Ask, ask.Request, answer))
	if err != nil {
		a.t.Fatal(err)
	}
	if want := next.Tally.Receipt(sessiontest.ID, a.session.ID); done.Receipt != want {
		a.t.Fatalf("receipt is %+v, want %+v", done.Receipt, want)
	}
	if err := canon.Verify(a.session.ProviderKey, receipt.DomainReceipt, done.Receipt, done.Signature); err != nil {
		a.t.Fatal(err)
	}
	return s, next
}

// voucher signs for a history.
func (a *asker) voucher(m job.Served, final bool) session.Payment {
	v := m.Tally.Voucher(sessiontest.ID, a.session.ID, final)
	return session.Payment{Voucher: v, Signature: a.key.Sign(receipt.DomainVoucher, v)}
}

// pay hands over a payment and returns what the provider says to it.
func pay(s *link.Stream, p session.Payment) error {
	if err := s.Send(session.Word{Payment: &p}); err != nil {
		return err
	}
	return paid(s)
}

func paid(s *link.Stream) error {
	var r session.Reply
	if err := s.Receive(&r); err != nil {
		return err
	}
	if r.Refused != nil {
		return r.Refused
	}
	if !r.Paid {
		return errors.New("not acknowledged")
	}
	return nil
}

// buy asks and pays.
func (a *asker) buy(prompt, most int) {
	a.t.Helper()
	s, next := a.answered(a.ask(prompt, most))
	p := a.voucher(next, false)
	if err := pay(s, p); err != nil {
		a.t.Fatal(err)
	}
	a.served, a.last = next, &p
}

// finish ends the session with a voucher for a history.
func (a *asker) finish(m job.Served) error {
	a.t.Helper()
	p := a.voucher(m, true)
	return paid(a.send(session.Opening{Finish: &p}))
}

// refused checks that err is a refusal of the kind.
func (a *asker) refused(what string, err error, code session.Code) {
	a.t.Helper()
	var r *session.Refusal
	if !errors.As(err, &r) || r.Code != code {
		a.t.Errorf("%s: got %v, want a refusal (%s)", what, err, code)
	}
}
