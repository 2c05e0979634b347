package provider_test

import (
	"testing"

	"daulat/compute/provider"
	"daulat/link/linktest"
	"daulat/link/session"
)

// An owner who comes back has the machine at once: the answer under way ends as if
// the provider were busy, so that the consumer goes elsewhere, nothing is on offer,
// and no other request is begun. What was earned before is paid all the same, and
// what the consumer has of the broken answer is not held against it. When the owner
// leaves, all goes on in the same session.
func TestOwnerComesBack(t *testing.T) {
	s := start(t)
	all := len(s.chain.OnOffer())
	begun, leave := make(chan struct{}, 1), make(chan struct{})
	a := s.lease(9000, 1000)
	a.buy(4, 7)
	s.toy.pause = func(i int) {
		if i == 600 {
			begun <- struct{}{}
			<-leave
		}
	}
	ask := a.ask(4, 900)
	stream := a.send(session.Opening{Ask: &ask})
	<-begun
	s.provider.Rest()
	close(leave)
	_, _, err := hear(stream)
	a.refused("the answer under way", err, session.Busy)
	calls := s.toy.called()
	again := a.sign(ask.Ask, ask.Request) // as the asker would, if it had nobody else
	_, _, err = hear(a.send(session.Opening{Ask: &again}))
	a.refused("another", err, session.Busy)
	if s.toy.called() != calls {
		t.Error("work was begun in the owner's time")
	}
	s.eventually("nothing is on offer", func() bool { return len(s.chain.OnOffer()) == 0 })
	s.toy.pause = nil
	s.provider.Rest() // saying it twice changes nothing
	s.provider.Work()
	s.eventually("the offers are back", func() bool { return len(s.chain.OnOffer()) == all })
	stream, next := a.answered(again)
	p := a.voucher(next, false)
	if err := pay(stream, p); err != nil {
		t.Fatal(err)
	}
	a.served, a.last = next, &p
	if err := a.finish(a.served); err != nil || s.onLedger(a.session.ID).Claim == nil {
		t.Fatal("what was earned is not settled:", err)
	}
}

// What is earned is settled while the machine rests, a new key is announced only
// afterwards, and a machine that retired stays so.
func TestRestSettlesAndStaysRetired(t *testing.T) {
	s := start(t)
	a := s.lease(9000, 1000)
	a.buy(4, 7)
	s.provider.Rest()
	if err := a.finish(a.served); err != nil || s.onLedger(a.session.ID).Claim == nil {
		t.Fatal("a rest keeps what was earned from the ledger:", err)
	}
	s.eventually("nothing is on offer", func() bool { return len(s.chain.OnOffer()) == 0 })
	if err := s.provider.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.provider.Work()
	announced := s.ledger.announced.Load()
	key := linktest.Key(t)
	if err := s.provider.Accept(t.Context(), provider.Identity{Key: key, Link: linktest.Node(t, key)}); err != nil {
		t.Fatal(err)
	}
	if s.ledger.announced.Load() != announced || len(s.chain.OnOffer()) != 0 {
		t.Error("a machine that retired is on offer again")
	}
}
