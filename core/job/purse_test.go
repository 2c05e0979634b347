package job_test

import (
	"errors"
	"math"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
)

// TestAnOrderLeavesMostOfThePurse: what one order locks is bounded by the purse, and
// the session carries the request that it was opened for.
func TestAnOrderLeavesMostOfThePurse(t *testing.T) {
	const step, eight = 98_304, 8 * 98_304 // of a context of 8,192
	usual := receipt.Usage{Input: 100, Output: 256}
	for _, c := range []struct {
		purse         uint64
		price         job.Price
		most          receipt.Usage
		escrow, step  uint64
		purseTooSmall bool
	}{
		{1_000_000_000_000, job.Price{Input: 2000, Output: 10_000}, usual, eight, step, false},
		{3 * eight, job.Price{Input: 2000, Output: 10_000}, usual, eight, step, false},
		{3*eight - 1, job.Price{Input: 2000, Output: 10_000}, usual, eight - 1, step, false},
		{1_000_000, job.Price{Input: 2000, Output: 10_000}, usual, 333_333, step, false},
		{213_557, job.Price{Input: 2000, Output: 10_000}, usual, 71_185, 71_185, false},
		{8_280, job.Price{Input: 2000, Output: 10_000}, usual, 2_760, 2_760, false},
		{8_279, job.Price{Input: 2000, Output: 10_000}, usual, 2_760, 2_760, false},
		{2_760, job.Price{Input: 2000, Output: 10_000}, usual, 2_760, 2_760, false},
		{2_759, job.Price{Input: 2000, Output: 10_000}, usual, 2_760, 0, true},
		{0, job.Price{Input: 2000, Output: 10_000}, usual, 2_760, 0, true},
		{2_759, job.Price{Input: 1000, Output: 1000}, usual, 919, 919, false},
		{1_000_000, job.Price{Input: 2000, Output: 10_000}, receipt.Usage{Input: 8192, Output: 8192}, 333_333, step, false},
		{100_000, job.Price{Input: 2000, Output: 10_000}, receipt.Usage{Input: 8192, Output: 8192}, 98_304, step, false},
		{1, job.Price{}, usual, 1, 1, false},
		{0, job.Price{}, usual, 1, 0, true},
		{eight, job.Price{Input: 2000, Output: 10_000}, receipt.Usage{Output: 1 << 20}, eight, step, false}, // no session carries it
		{eight - 1, job.Price{Input: 2000, Output: 10_000}, receipt.Usage{Output: 1 << 20}, eight, 0, true},
	} {
		wanted := testTerms()
		wanted.Ceiling, wanted.Escrow, wanted.Step = c.price, eight, step
		got, err := wanted.Fund(c.purse, c.most)
		var little *job.TooLittleError
		if errors.As(err, &little) != c.purseTooSmall || !c.purseTooSmall && err != nil {
			t.Errorf("%d udlt for %+v: %v", c.purse, c.most, err)
			continue
		}
		if c.purseTooSmall {
			if little.Purse != c.purse || little.Most != c.escrow {
				t.Errorf("%d udlt for %+v are too little: %+v, want %d", c.purse, c.most, *little, c.escrow)
			}
			continue
		}
		if got.Escrow != c.escrow || got.Step != c.step || got.Validate() != nil {
			t.Errorf("%d udlt for %+v: escrow %d and step %d, want %d and %d", c.purse, c.most, got.Escrow, got.Step, c.escrow, c.step)
		}
	}
	if _, err := testTerms().Fund(math.MaxUint64, receipt.Usage{Output: math.MaxUint64}); !errors.Is(err, job.ErrOverflow) {
		t.Errorf("a cost beyond 64 bits: %v", err)
	}
}

// TestAFundedSessionAdmitsItsRequest: at any price within the ceiling.
func TestAFundedSessionAdmitsItsRequest(t *testing.T) {
	k := key(t, "s")
	for _, tokens := range []int{1, 7, 400} {
		for purse := uint64(1); purse <= 3000; purse += 7 {
			wanted := testTerms()
			wanted.Ceiling, wanted.Escrow, wanted.Step = job.Price{Input: 2000, Output: 3000}, 8*2500, 2500
			r := receipt.Request{Version: canon.Version, Key: k.Public(), Model: wanted.Model, Tokens: make([]uint32, tokens),
				Params: receipt.Params{MaxTokens: uint64(tokens) + 1, TopP: receipt.MaxTopP}}
			terms, err := wanted.Fund(purse, r.Worst())
			if err != nil {
				continue
			}
			o, err := job.Place(1, consumer, k.Public(), terms, 100)
			if err != nil {
				t.Fatal(err)
			}
			_, s, err := o.Match(job.Party{Account: provider, Key: key(t, "p").Public(), Price: wanted.Ceiling}, 100)
			if err != nil {
				t.Fatal(err)
			}
			ask := receipt.Ask{Chain: "c", Session: 1, Seq: 1, Request: r.Hash()}
			if _, err := s.Admit("c", job.Served{}, ask, k.Sign(receipt.DomainAsk, ask), r); err != nil {
				t.Fatalf("%d tokens from a purse of %d: %v", tokens, purse, err)
			}
		}
	}
}
