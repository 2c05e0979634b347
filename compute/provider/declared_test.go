package provider_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"daulat/compute/executor/inference"
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
	present := func() (int, int) {
		t.Helper()
		gone, back, err := s.provider.Present(t.Context(), func(id canon.CID) bool { return there || id != s.declared })
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
