package provider_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"daulat/compute/executor/inference"
	"daulat/compute/provider"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/link"
	"daulat/link/session"
	"daulat/link/session/sessiontest"
)

const chat = `{"messages":[{"content":"hello","role":"user"}]}`

// declaredLease opens a session for the declared model.
func (s *setup) declaredLease() *asker {
	return s.leaseFor("consumer", job.Terms{Executor: job.Upstream, Model: s.declared, Escrow: 5000, Step: 5000})
}

// declaredOffer is of a model that a server calls so.
func (s *setup) declaredOffer(name string) provider.Offer {
	s.t.Helper()
	data, id, err := artifact.Declaration{Version: canon.Version, Name: name}.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	return provider.Offer{Model: id, Manifest: data, Executor: job.Upstream, Price: job.Price{Input: 1000, Output: 1000}, Slots: 8}
}

func (a *asker) chat() session.Ask {
	a.seq++
	r := receipt.Request{Version: canon.Version, Key: a.key.Public(), Counter: a.seq, Model: a.session.Terms.Model,
		Chat: chat, Params: receipt.Params{MaxTokens: 9, TopP: receipt.MaxTopP}}
	return a.sign(receipt.Ask{Chain: sessiontest.ID, Session: a.session.ID, Seq: a.seq, Request: r.Hash(), Salt: canon.Hash{byte(a.seq)}}, r)
}

// listen reads a declared model's answer up to its receipt.
func listen(s *link.Stream) (text, calls string, done session.Done, err error) {
	for {
		var r session.Reply
		if err := s.Receive(&r); err != nil {
			return text, calls, done, err
		}
		switch {
		case r.Refused != nil:
			return text, calls, done, r.Refused
		case r.Done != nil:
			return text, calls, *r.Done, nil
		}
		text, calls = text+r.Text, calls+r.Calls
	}
}

func TestDeclaredModelIsServed(t *testing.T) {
	s := start(t)
	s.toy.usage = receipt.Usage{Input: 6, Output: 2}
	a := s.declaredLease()
	ask := a.chat()
	stream := a.send(session.Opening{Ask: &ask})
	text, calls, done, err := listen(stream)
	if err != nil || text != "one two" || calls != `["call"]` || done.Finish != receipt.FinishTools || *done.Usage != s.toy.usage {
		t.Fatalf("%q, %q, %+v, %v", text, calls, done, err)
	}
	answer := receipt.Answer{Tokens: []uint32{}, Finish: done.Finish, Message: receipt.NewMessage(text, []any{"call"}), Usage: done.Usage}
	next, err := a.session.Serve(a.served, receipt.NewLeaf(ask.Ask, ask.Request, answer))
	if err != nil || done.Receipt != next.Tally.Receipt(sessiontest.ID, a.session.ID) || next.Tally.Amount != 8 {
		t.Fatalf("%+v, %v", done.Receipt, err)
	}
	if err := pay(stream, a.voucher(next, false)); err != nil {
		t.Fatal(err)
	}
	if err := a.finish(next); err != nil {
		t.Fatal(err)
	}
	if now := s.onLedger(a.session.ID); now.Escrow.Withheld != 8 {
		t.Errorf("%+v", now.Escrow)
	}
}

// What no consumer would pay for is not signed, and what went wrong at the server
// is told as far as it is the consumer's business.
func TestDeclaredModelThatFails(t *testing.T) {
	s := start(t)
	a := s.declaredLease()
	for name, c := range map[string]struct {
		usage receipt.Usage
		fails error
		code  session.Code
	}{
		"counts too much": {receipt.Usage{Output: 10}, nil, session.Internal},
		"is away":         {receipt.Usage{}, inference.ErrAway, session.Busy},
		"refuses":         {receipt.Usage{}, fmt.Errorf("%w: no", inference.ErrPrompt), session.Invalid},
		"breaks":          {receipt.Usage{}, errors.New("http://127.0.0.1:1 broke"), session.Internal},
	} {
		s.toy.mu.Lock()
		s.toy.usage, s.toy.fails = c.usage, c.fails
		s.toy.mu.Unlock()
		ask := a.chat()
		_, _, _, err := listen(a.send(session.Opening{Ask: &ask}))
		a.refused(name, err, c.code)
		if err != nil && strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Offers follow what is there: they go and come back, and nobody is matched
// meanwhile.
func TestOffersFollowTheirServer(t *testing.T) {
	s := start(t)
	there := true
	present := func() (went, came int) {
		t.Helper()
		var now []provider.Offer
		if there {
			now = []provider.Offer{s.declaredOffer("toy")}
		}
		gone, back, err := s.provider.Present(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		return len(gone), len(back)
	}
	if gone, back := present(); gone+back != 0 {
		t.Errorf("%d went and %d came", gone, back)
	}
	there = false
	if gone, back := present(); gone != 1 || back != 0 {
		t.Errorf("%d went and %d came", gone, back)
	}
	order := func() (id uint64, state job.OrderState) {
		t.Helper()
		account := s.chain.Account("other", wallet)
		id, err := account.PlaceOrder(t.Context(), s.key.Public(), job.Terms{Version: canon.Version, Kind: job.Inference, Executor: job.Upstream, Model: s.declared,
			Privacy: job.Open, Ceiling: job.Price{Input: 1000, Output: 1000}, Escrow: 10, Step: 10, Patience: 60, Duration: duration})
		if err != nil {
			t.Fatal(err)
		}
		o, err := account.Order(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return id, o.State
	}
	waiting, state := order()
	if state != job.OrderOpen {
		t.Errorf("an order is %s while nobody is there", state)
	}
	if gone, back := present(); gone+back != 0 {
		t.Errorf("%d went and %d came", gone, back)
	}
	there = true
	if gone, back := present(); gone != 0 || back != 1 {
		t.Errorf("%d went and %d came", gone, back)
	}
	o, err := s.chain.Account("other", 0).Order(t.Context(), waiting)
	if err != nil || o.State != job.OrderMatched {
		t.Errorf("the order is %s, %v", o.State, err)
	}
	there = false
	present()
	if err := s.provider.Retire(t.Context()); err != nil {
		t.Error(err)
	}
	there = true
	if gone, back := present(); gone+back != 0 {
		t.Errorf("%d went and %d came after the provider retired", gone, back)
	}
}

// What a server has anew is offered; what is no declaration is not.
func TestNewModelsOfAServerAreOffered(t *testing.T) {
	s := start(t)
	other := s.declaredOffer("pulled")
	gone, came, err := s.provider.Present(t.Context(), []provider.Offer{other, other})
	if err != nil || len(gone) != 1 || gone[0].Model != s.declared || len(came) != 1 || came[0].Model != other.Model {
		t.Fatalf("%v went and %v came, %v", gone, came, err)
	}
	if on := s.chain.OnOffer(); !slices.Equal(on, []canon.CID{s.model, other.Model}) {
		t.Errorf("on offer is %v", on)
	}
	a := s.leaseFor("consumer", job.Terms{Executor: job.Upstream, Model: other.Model, Escrow: 5000, Step: 5000})
	ask := a.chat()
	if text, _, _, err := listen(a.send(session.Opening{Ask: &ask})); err != nil || text != "one two" {
		t.Errorf("%q, %v", text, err)
	}
	s.provider.Rest()
	s.eventually("nothing is on offer", func() bool { return len(s.chain.OnOffer()) == 0 })
	s.provider.Work()
	s.eventually("both are on offer", func() bool { return len(s.chain.OnOffer()) == 2 })

	forged := other
	forged.Manifest = s.manifest
	if _, _, err := s.provider.Present(t.Context(), []provider.Offer{forged}); err == nil {
		t.Error("bytes that are no declaration are offered")
	}
}

// A server that shows other models each time, or very many, costs the ledger few
// messages, and its true ones are still offered.
func TestServerThatChangesAllTheTime(t *testing.T) {
	s := start(t)
	begun, before := time.Now(), s.ledger.announced.Load()
	const looks = 500
	all := []provider.Offer{s.declaredOffer("toy")}
	for i := range looks {
		all = append(all[:1], s.declaredOffer(fmt.Sprint("other ", i)))
		if _, _, err := s.provider.Present(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	minutes := int64(time.Since(begun)/time.Minute) + 1
	if n := s.ledger.announced.Load() - before; n > 64+minutes {
		t.Errorf("%d looks made %d announcements", looks, n)
	}
	if on := s.chain.OnOffer(); !slices.Contains(on, s.declared) || len(on) > 3 {
		t.Errorf("on offer is %v", on)
	}
}

func TestServerOfVeryManyModels(t *testing.T) {
	s := start(t)
	var all []provider.Offer
	for i := range 100 {
		all = append(all, s.declaredOffer(fmt.Sprint("model ", i)))
	}
	if _, _, err := s.provider.Present(t.Context(), all); err != nil || len(s.chain.OnOffer()) != 64 {
		t.Errorf("%d are on offer, %v", len(s.chain.OnOffer()), err)
	}
}
