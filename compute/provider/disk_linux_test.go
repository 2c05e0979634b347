package provider_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"daulat/core/job"
	"daulat/link/session"
	"daulat/link/session/sessiontest"
)

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestFullDiskTakesTheOffersBack: a provider whose journal takes no more says so
// once, is matched no more, and still brings what it is owed to the ledger.
func TestFullDiskTakesTheOffersBack(t *testing.T) {
	s := start(t)
	s.stop()
	log := &logged{}
	s.log = slog.New(slog.NewTextHandler(log, nil))
	s.run()
	a := s.lease(100, 20)
	a.buy(2, 3)
	writes := s.chain.Writes()
	back := sessiontest.FillDisk(t, s.path)
	defer back() // before the harness closes the journal
	ask := a.ask(2, 3)
	if _, _, err := hear(a.send(session.Opening{Ask: &ask})); err == nil {
		t.Fatal("an answer was signed for that is not on disk")
	} else {
		a.refused("on a full disk", err, session.Internal)
	}
	s.eventually("the offer is taken back", func() bool { return s.chain.Writes() > writes })
	id, err := a.account.PlaceOrder(t.Context(), a.key.Public(), a.session.Terms)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := a.account.Order(t.Context(), id); err != nil || o.State != job.OrderOpen {
		t.Errorf("the next order is %s, %v", o.State, err)
	}
	s.advance(duration - 30) // closer to the deadline than the provider lets it come
	s.eventually("the pay is brought to the ledger", func() bool { return s.onLedger(a.session.ID).Escrow.Withheld == a.served.Paid })
	s.rounds(2)
	if said := log.String(); strings.Count(said, "level=ERROR") != 1 || !strings.Contains(said, s.path) || !strings.Contains(said, "restart daulat") || strings.Contains(said, "will try again") {
		t.Errorf("the log says:\n%s", said)
	}
	if err := s.provider.Retire(t.Context()); err != nil {
		t.Errorf("retired again: %v", err)
	}
}
