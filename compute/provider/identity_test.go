package provider_test

import (
	"testing"

	"daulat/compute/provider"
	"daulat/core/job"
	"daulat/link/linktest"
)

// A session is served with the key with which it opened, whatever key is in
// force by then; the next one opens with the other key, without a restart.
func TestSessionsKeepTheKeyTheyOpenedWith(t *testing.T) {
	s := start(t)
	old := s.lease(100, 20)
	old.buy(2, 3)

	rotated := *s
	rotated.key = linktest.Key(t)
	rotated.link = linktest.Node(t, rotated.key)
	// No key is in force: nothing is announced, and what is open is served.
	s.ledger.force(linktest.Key(t).Public())
	if err := s.provider.Accept(t.Context(), provider.Identity{Key: rotated.key, Link: rotated.link}); err != nil {
		t.Fatal(err)
	}
	old.buy(2, 3)
	// Once the other key takes over, its offers and addresses are announced.
	announced := s.ledger.announced.Load()
	s.ledger.force(rotated.key.Public())
	s.eventually("the offers are announced by the key in force", func() bool { return s.ledger.announced.Load() > announced })
	fresh := rotated.lease(100, 20)
	if fresh.session.ProviderKey != rotated.key.Public() {
		t.Fatal("the session opened with the old key")
	}
	fresh.buy(4, 5)
	old.buy(4, 5)
	for _, a := range []*asker{old, fresh} {
		if err := a.finish(a.served); err != nil {
			t.Fatal(err)
		}
		if now := s.onLedger(a.session.ID); now.State != job.SessionSettled || now.Reason != job.ReasonFinal {
			t.Errorf("session %d is %s (%s)", a.session.ID, now.State, now.Reason)
		}
	}
}
