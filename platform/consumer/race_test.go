package consumer_test

import (
	"slices"
	"testing"
	"time"

	"daulat/core/job"
	"daulat/core/receipt"
	wire "daulat/link/session"
	"daulat/platform/consumer"
)

// tokensOf puts one question and returns who answered and all tokens as they came.
func (s *setup) tokensOf(most int) (provider string, tokens []uint32) {
	s.t.Helper()
	r, err := s.client.Ask(s.ctx, terms(), prompt(1, most), willing, func(t receipt.Token) error {
		tokens = append(tokens, t.ID)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if !slices.Equal(tokens, r.Answer.Tokens) {
		s.t.Fatalf("%v came, %v was signed for", tokens, r.Answer.Tokens)
	}
	return r.Provider, tokens
}

// refunded waits until the session's escrow is back but for what was paid.
func (s *setup) refunded(id uint64) {
	s.t.Helper()
	s.eventually("the session closes", func() bool { return s.onLedger(id).State != job.SessionOpen })
	s.advance(4) // the close window
	if e := s.onLedger(id).Escrow; e.Locked != 0 || e.Refunded != e.Deposited {
		s.t.Errorf("escrow of session %d: %+v", id, e)
	}
}

// A provider that wins the order and says nothing is left to itself: another gives
// the answer, the first gets no more orders, and the escrow comes back. The ledger
// keeps that nothing came.
func TestProviderThatVanishesAfterMatching(t *testing.T) {
	s := start(t)
	s.client.SetLimits(50*time.Millisecond, time.Minute, time.Minute)
	vanishing, _ := s.sells("vanishing", 1), s.sells("good", 2)
	vanishing.behave(conduct{silent: true})
	if provider, _ := s.tokensOf(8); provider != "good" {
		t.Fatalf("%s answered", provider)
	}
	if provider, _ := s.tokensOf(8); provider != "good" || len(vanishing.asked()) != 1 {
		t.Errorf("%s answered; the vanishing one was asked %d times", provider, len(vanishing.asked()))
	}
	s.refunded(1)
	if fit, unfit := s.client.Ranking(terms(), s.offers(), consumer.Owners{}); len(fit) != 1 || len(unfit) != 1 || unfit[0].Standing.Unserved != 1 {
		t.Errorf("%+v, %+v", fit, unfit)
	}
}

// Where most vanish, several are asked at a time, each another one.
func TestMostVanish(t *testing.T) {
	s := start(t)
	s.client.SetLimits(50*time.Millisecond, time.Minute, time.Minute)
	var crowd []*seller
	for _, name := range []string{"a", "b", "c", "d"} {
		x := s.sells(name, 1)
		x.behave(conduct{silent: true})
		crowd = append(crowd, x)
	}
	s.sells("good", 2)
	if provider, _ := s.tokensOf(4); provider != "good" {
		t.Errorf("%s answered", provider)
	}
	for _, x := range crowd {
		if n := len(x.asked()); n > 1 {
			t.Errorf("%s was asked %d times", x.name, n)
		}
	}
}

// A slow start is no failure: whoever begins first gives the answer, however long
// after its patience that is.
func TestSlowStartIsWaitedFor(t *testing.T) {
	s := start(t)
	s.client.SetLimits(20*time.Millisecond, time.Minute, time.Minute)
	hold := make(chan struct{})
	s.sells("a", 1).behave(conduct{silent: true})
	spare := s.sells("b", 2)
	spare.behave(conduct{early: func(wire.Ask) { <-hold }})
	release := time.AfterFunc(200*time.Millisecond, func() { close(hold) })
	defer release.Stop()
	if provider, _ := s.tokensOf(4); provider != "b" {
		t.Errorf("%s answered", provider)
	}
}

// An answer that stops in its middle, and one that trickles, go on elsewhere: the
// same request, so the same tokens, none of them twice.
func TestSlowAnswersGoOnElsewhere(t *testing.T) {
	for name, c := range map[string]conduct{
		"stalls":   {stall: 3},
		"trickles": {trickle: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.client.SetLimits(time.Minute, 500*time.Millisecond, time.Millisecond)
			slow, _ := s.sells("slow", 1), s.sells("good", 2)
			slow.behave(c)
			provider, tokens := s.tokensOf(40)
			if provider != "good" || len(tokens) != 40 || tokens[39] != 39 {
				t.Errorf("%s answered %v", provider, tokens)
			}
			if n := len(slow.asked()); n != 1 {
				t.Errorf("the slow one was asked %d times", n)
			}
		})
	}
}
