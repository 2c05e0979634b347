package consumer_test

import (
	"errors"
	"sync"
	"testing"

	"daulat/core/job"
	"daulat/core/receipt"
)

// greedy are terms whose escrow is most of the wallet.
func greedy() job.Terms {
	t := terms()
	t.Escrow, t.Step = wallet-100, 100
	return t
}

// TestAPurseHasMoneyForTheNextProvider: what the first order locks leaves enough for
// whoever takes over when its provider breaks off.
func TestAPurseHasMoneyForTheNextProvider(t *testing.T) {
	s := start(t)
	s.sells("good", 2)
	bad := s.sells("bad", 1)
	bad.behave(conduct{cut: 3, deadEnd: true})
	r, err := s.client.Ask(s.ctx, greedy(), prompt(5, 10), willing, deaf)
	if err != nil || r.Provider != "good" || len(r.Answer.Tokens) != 10 {
		t.Fatalf("%s answered %v: %v", r.Provider, r.Answer.Tokens, err)
	}
	if first := s.onLedger(1); first.Provider != "bad" || first.Terms.Escrow != wallet/job.PurseShare {
		t.Errorf("%s got an escrow of %d", first.Provider, first.Terms.Escrow)
	}
}

// TestOrdersAtOnceShareAPurse: none of them reckons with what another is about to
// lock, though the ledger shows nothing of that yet.
func TestOrdersAtOnceShareAPurse(t *testing.T) {
	s := start(t)
	s.sells("seller", 1)
	const orders = 5
	var read, all sync.WaitGroup
	read.Add(orders)
	s.ledger.purse = func(udlt uint64) uint64 {
		read.Done()
		read.Wait()
		return udlt
	}
	failed := make([]error, orders)
	for i := range failed {
		all.Go(func() { _, failed[i] = s.client.Open(s.ctx, greedy(), greedyRequest) })
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	s.ledger.purse = nil
	s.closeAll()
	if r := s.buy(5, 10); r.Provider != "seller" { // what was pledged is free again
		t.Errorf("%+v", r)
	}
}

var greedyRequest = receipt.Usage{Input: 5, Output: 10}

// TestTooLittleMoneyOrdersNothing: the asker learns what it has and what it needs.
func TestTooLittleMoneyOrdersNothing(t *testing.T) {
	s := start(t)
	seller := s.sells("seller", 1)
	before := s.chain.Writes()
	wanted := terms()
	wanted.Escrow = 10 * wallet
	var little *job.TooLittleError
	_, err := s.client.Ask(s.ctx, wanted, prompt(5, 400), willing, deaf)
	if !errors.As(err, &little) || little.Purse != wallet || little.Most != 3*405 {
		t.Errorf("%v", err)
	}
	if s.chain.Writes() != before || len(seller.asks) > 0 {
		t.Errorf("%d writes, %d asks", s.chain.Writes()-before, len(seller.asks))
	}
	s.buy(5, 10)
}

// TestALieAboutThePurseCostsARefusedOrder: and nothing that lasts.
func TestALieAboutThePurseCostsARefusedOrder(t *testing.T) {
	s := start(t)
	s.sells("seller", 1)
	s.ledger.purse = func(uint64) uint64 { return 1 << 40 }
	wanted := terms()
	wanted.Escrow = 10 * wallet
	if _, err := s.client.Ask(s.ctx, wanted, prompt(5, 10), willing, deaf); err == nil {
		t.Fatal("an order beyond the purse was taken")
	}
	s.ledger.purse = func(uint64) uint64 { return 0 }
	var little *job.TooLittleError
	if _, err := s.client.Ask(s.ctx, wanted, prompt(5, 10), willing, deaf); !errors.As(err, &little) {
		t.Errorf("an empty purse: %v", err)
	}
	s.ledger.purse = nil
	if r, err := s.client.Ask(s.ctx, wanted, prompt(5, 10), willing, deaf); err != nil || r.Provider != "seller" {
		t.Errorf("%+v: %v", r, err)
	}
}
