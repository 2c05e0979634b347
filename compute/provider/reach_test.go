package provider

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/link/linktest"
	"daulat/link/session/sessiontest"
)

// leaving is a ledger that can be gone.
type leaving struct {
	*bank
	gone error
}

type bank = sessiontest.Account // embedded under a name that is none of its methods

func (l *leaving) WithdrawOffer(ctx context.Context, model canon.CID) error {
	if l.gone != nil {
		return l.gone
	}
	return l.bank.WithdrawOffer(ctx, model)
}

// What nobody can reach is not on offer: not at first, and not if that lasts; a
// moment without an address costs no offer, nor does one without the ledger.
func TestNothingIsOnOfferThatNobodyReaches(t *testing.T) {
	chain := sessiontest.New()
	ledger := &leaving{bank: chain.Account("provider", 0)}
	data, id, err := artifact.Declaration{Version: canon.Version, Name: "one"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	key := linktest.Key(t)
	there := []Identity{{key, linktest.Node(t, key)}}
	p := &Provider{Config: Config{Ledger: ledger, Log: slog.New(slog.DiscardHandler)}, shift: newShift(false),
		display: newDisplay([]Offer{{Model: id, Manifest: data, Executor: job.Upstream, Price: job.Price{Input: 1, Output: 1}, Slots: 1}})}
	round := func(what string, known []Identity, later time.Duration, want int) {
		t.Helper()
		p.known = known
		p.display.lonely = p.display.lonely.Add(-later)
		if err := p.announce(t.Context()); !errors.Is(err, ledger.gone) {
			t.Fatal(err)
		}
		if got := len(chain.OnOffer()); got != want || p.Reached() != (known != nil) {
			t.Errorf("%s: the ledger shows %d offers, not %d; reached: %v", what, got, want, p.Reached())
		}
	}
	round("at first", nil, 0, 0)
	round("long after", nil, unreachedFor, 0)
	round("reached", there, 0, 1)
	round("a moment without an address", nil, 0, 1)
	round("reached again", there, 0, 1)
	round("another moment", nil, 0, 1)
	round("longer", nil, unreachedFor, 0)
	round("reached once more", there, 0, 1)
	round("a third moment", nil, 0, 1)
	ledger.gone = errors.New("nobody answers")
	round("longer, without the ledger", nil, unreachedFor, 1)
	ledger.gone = nil
	round("just when the ledger is back", nil, 0, 1)
	round("longer than that", nil, unreachedFor, 0)
}
