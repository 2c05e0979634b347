package provider_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"daulat/compute/provider"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/link/linktest"
	"daulat/link/session"
)

// eager is a ledger on which a consumer calls as soon as it sees an offer.
type eager struct {
	provider.Ledger
	seen func()
}

func (e eager) Announce(ctx context.Context, a match.Announcement) error {
	e.seen()
	return e.Ledger.Announce(ctx, a)
}

// TestServesBeforeItsOfferIsSeen: a consumer that is matched at once finds a
// provider that speaks, and does not shun it.
func TestServesBeforeItsOfferIsSeen(t *testing.T) {
	s := start(t)
	key, calls := linktest.Key(t), 0
	peer, caller := linktest.Node(t, key), linktest.Node(t, linktest.Key(t))
	journal, err := session.OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	ledger := eager{s.chain.Account("eager", 0), func() {
		calls++
		stream, err := caller.Dial(t.Context(), peer.Addrs(), session.Protocol)
		if err != nil {
			t.Errorf("the provider does not speak yet: %v", err)
			return
		}
		stream.Reset()
	}}
	p, err := provider.Open(t.Context(), provider.Config{Ledger: ledger, Link: peer, Key: key, Journal: journal, Models: s.toy,
		Log: slog.New(slog.DiscardHandler), Offers: []provider.Offer{{Model: s.model, Manifest: s.manifest, Executor: "toy/1",
			Assurance: job.Sampled, Price: job.Price{Input: 1000, Output: 1000}, Slots: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if calls != 1 {
		t.Errorf("%d offers were published", calls)
	}
}
