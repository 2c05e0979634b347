package provider

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/link/linktest"
	"daulat/link/session/sessiontest"
)

// An offer that is gone from the ledger, as a copy of the home took it back, is
// announced again: not at once, so that two such processes cost the ledger a message
// a minute, and not while the provider rests.
func TestLostOffersAreAnnouncedAgain(t *testing.T) {
	chain := sessiontest.New()
	account := chain.Account("provider", 0)
	var on []Offer
	for _, name := range []string{"one", "two"} {
		data, id, err := artifact.Declaration{Version: canon.Version, Name: name}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		on = append(on, Offer{Model: id, Manifest: data, Executor: job.Upstream, Price: job.Price{Input: 1, Output: 1}, Slots: 1})
	}
	key := linktest.Key(t)
	var log bytes.Buffer
	p := &Provider{Config: Config{Ledger: account, Log: slog.New(slog.NewTextHandler(&log, nil))},
		known: []Identity{{key, linktest.Node(t, key)}}, shift: newShift(false), display: newDisplay(on)}
	round := func(what string, later time.Duration, want int) {
		t.Helper()
		p.display.looked = p.display.looked.Add(-later)
		if err := p.announce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(chain.OnOffer()); got != want {
			t.Errorf("%s: the ledger shows %d offers, not %d", what, got, want)
		}
	}
	lose := func(offers ...Offer) {
		t.Helper()
		for _, o := range offers {
			if err := account.WithdrawOffer(t.Context(), o.Model); err != nil {
				t.Fatal(err)
			}
		}
	}
	round("at first", 0, 2)
	before := chain.Writes()
	round("a look at what is there", lookEvery, 2)
	if chain.Writes() != before || log.Len() != 0 {
		t.Errorf("what is there is announced again: %s", &log)
	}
	for range 2 {
		lose(on...)
		round("just after the last look", lookEvery/2, 0)
		round("at the next", lookEvery/2, 2)
		if !strings.Contains(log.String(), "the ledger showed no offer of this provider: announced again") {
			t.Errorf("it is not said: %s", &log)
		}
		log.Reset()
	}
	lose(on[0])
	round("one of them, by a look", lookEvery, 1+p.display.turn%2)
	round("one of them, by two looks", lookEvery, 2)
	lose(on...)
	p.Rest()
	round("while it rests", lookEvery, 0)
}
