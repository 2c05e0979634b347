package provider

import (
	"log/slog"
	"testing"
	"time"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/link/linktest"
	"daulat/link/session/sessiontest"
)

// What nobody can reach is not on offer: not at first, and not if that lasts; a
// moment without an address costs no offer.
func TestNothingIsOnOfferThatNobodyReaches(t *testing.T) {
	chain := sessiontest.New()
	account := chain.Account("provider", 0)
	data, id, err := artifact.Declaration{Version: canon.Version, Name: "one"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	key := linktest.Key(t)
	there := []Identity{{key, linktest.Node(t, key)}}
	p := &Provider{Config: Config{Ledger: account, Log: slog.New(slog.DiscardHandler)}, shift: newShift(false),
		display: newDisplay([]Offer{{Model: id, Manifest: data, Executor: job.Upstream, Price: job.Price{Input: 1, Output: 1}, Slots: 1}})}
	round := func(what string, known []Identity, later time.Duration, want int) {
		t.Helper()
		p.known = known
		p.display.lonely = p.display.lonely.Add(-later)
		if err := p.announce(t.Context()); err != nil {
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
}
