package provider_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"daulat/compute/provider"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/link"
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
	ledger := eager{s.chain.Account("eager", 0), func() {
		calls++
		stream, err := caller.Dial(t.Context(), peer.Addrs(), session.Protocol)
		if err != nil {
			t.Errorf("the provider does not speak yet: %v", err)
			return
		}
		stream.Reset()
	}}
	p, err := s.open(t.Context(), ledger, peer, key)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if calls != 1 {
		t.Errorf("%d offers were published", calls)
	}
}

// open starts another provider of the toy.
func (s *setup) open(ctx context.Context, ledger provider.Ledger, peer *link.Node, key canon.PrivateKey) (*provider.Provider, error) {
	journal, err := session.OpenJournal(filepath.Join(s.t.TempDir(), "journal"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { journal.Close() })
	return provider.Open(ctx, provider.Config{Ledger: ledger, Link: peer, Key: key, Journal: journal, Models: s.toy,
		Log: slog.New(slog.DiscardHandler), Offers: []provider.Offer{{Model: s.model, Manifest: s.manifest, Executor: "toy/1",
			Assurance: job.Sampled, Price: job.Price{Input: 1000, Output: 1000}, Slots: 1}}})
}

// slow is a ledger that an announcement reaches later than it was given up, and that
// the user ends meanwhile.
type slow struct {
	provider.Ledger
	interrupt func()
	late      func() // is to arrive
}

func (s *slow) Announce(ctx context.Context, a match.Announcement) error {
	s.interrupt()
	if ctx.Err() == nil {
		return s.Ledger.Announce(ctx, a)
	}
	s.late = func() { _ = s.Ledger.Announce(context.WithoutCancel(ctx), a) }
	return ctx.Err()
}

// TestInterruptedStartLeavesNoOffer: nobody is matched with who ended while the
// announcement was under way.
func TestInterruptedStartLeavesNoOffer(t *testing.T) {
	s := start(t)
	before, key := s.chain.OnOffer(), linktest.Key(t)
	ctx, interrupt := context.WithCancel(t.Context())
	ledger := &slow{s.chain.Account("eager", 0), interrupt, func() {}}
	if p, err := s.open(ctx, ledger, linktest.Node(t, key), key); p != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("it started: %v", err)
	}
	ledger.late()
	if left := s.chain.OnOffer(); !slices.Equal(left, before) {
		t.Errorf("%v are on offer, before it were %v", left, before)
	}
}

// lossy is a ledger whose yes to an announcement is lost.
type lossy struct{ provider.Ledger }

func (l lossy) Announce(ctx context.Context, a match.Announcement) error {
	return errors.Join(l.Ledger.Announce(ctx, a), errLost)
}

var errLost = errors.New("connection lost")

// TestFailedStartLeavesNoOffer: an announcement that seemed to fail may have been
// taken.
func TestFailedStartLeavesNoOffer(t *testing.T) {
	s := start(t)
	before, key := s.chain.OnOffer(), linktest.Key(t)
	if p, err := s.open(t.Context(), lossy{s.chain.Account("eager", 0)}, linktest.Node(t, key), key); p != nil || !errors.Is(err, errLost) {
		t.Errorf("it started: %v", err)
	}
	if left := s.chain.OnOffer(); !slices.Equal(left, before) {
		t.Errorf("%v are on offer, before it were %v", left, before)
	}
}
