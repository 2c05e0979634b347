package consumer_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"daulat/core/receipt"
	"daulat/platform/consumer"
)

// A provider that changes its address in the middle of an answer goes on in the
// same session: the consumer looks it up again, and asks the same once more. One
// that does not come back is replaced.
func TestAnswerGoesOnAfterAMove(t *testing.T) {
	for name, c := range map[string]struct {
		back bool
		by   string
	}{"to another address": {true, "mover"}, "to nowhere": {false, "other"}} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			mover, _ := s.sells("mover", 1), s.sells("other", 2)
			first := s.buy(1, 3)
			mover.behave(conduct{cut: 2, away: func() {
				left := mover.node
				go left.Close() // it waits for the handler that calls this
				mover.behave(conduct{})
				if c.back {
					mover.open()
				}
			}})
			var shown []uint32
			begun := 0
			r, err := s.client.Ask(s.ctx, terms(), prompt(1, 4), func(consumer.Admission) error { begun++; return nil },
				func(token receipt.Token) error { shown = append(shown, token.ID); return nil })
			if err != nil {
				t.Fatal(err)
			}
			if r.Provider != c.by || !slices.Equal(shown, []uint32{0, 1, 2, 3}) || begun != 1 {
				t.Errorf("%s gave %v after %d admissions", r.Provider, shown, begun)
			}
			if c.back && (r.Session != first.Session || len(mover.vouchers()) != 2) {
				t.Errorf("session %d went on as %d, with %d vouchers", first.Session, r.Session, len(mover.vouchers()))
			}
			if asks := mover.asked(); asks[1].Ask.Request != asks[len(asks)-1].Ask.Request {
				t.Error("the second try asks something else")
			}
		})
	}
}

// While the ledger can't be asked either, it is the asker that is away: the provider
// is waited for from when the asker is back.
func TestAnswerOutlastsTheAskersAbsence(t *testing.T) {
	s := start(t)
	s.client.SetAbsence(time.Second, time.Minute)
	mover, other := s.sells("mover", 1), s.sells("other", 2)
	first := s.buy(1, 3)
	back := make(chan struct{})
	mover.behave(conduct{cut: 2, away: func() {
		s.ledger.gone.Store(true)
		s.out.gone.Store(true)
		left := mover.node
		go left.Close() // it waits for the handler that calls this
		mover.behave(conduct{})
		mover.open()
		go func() {
			defer close(back)
			time.Sleep(1200 * time.Millisecond)
			s.ledger.gone.Store(false)
			time.Sleep(200 * time.Millisecond)
			s.out.gone.Store(false)
		}()
	}})
	r, err := s.try(s.ctx, 1, 4)
	<-back
	if err != nil {
		t.Fatal(err)
	}
	if r.Session != first.Session || len(r.Answer.Tokens) != 4 || len(other.asked()) != 0 {
		t.Errorf("session %d went on as %d with %d tokens; the other provider was asked %d times", first.Session, r.Session, len(r.Answer.Tokens), len(other.asked()))
	}
}

// An asker that is off the network holds that against nobody: neither when it does
// not come back in time, nor when it asks meanwhile.
func TestAskersAbsenceIsNoProvidersFault(t *testing.T) {
	s := start(t)
	s.client.SetAbsence(50*time.Millisecond, 200*time.Millisecond)
	mover, other := s.sells("mover", 1), s.sells("other", 2)
	first := s.buy(1, 3)
	mover.behave(conduct{cut: 2, away: func() {
		s.ledger.gone.Store(true)
		go mover.node.Close()
		mover.behave(conduct{})
	}})
	for _, when := range []string{"in mid-answer", "from the start"} {
		_, err := s.try(s.ctx, 1, 4)
		var failed *consumer.FailedError
		if !errors.Is(err, errGone) || errors.As(err, &failed) {
			t.Errorf("away %s: %v", when, err)
		}
	}
	mover.open()
	s.ledger.gone.Store(false)
	if r := s.buy(1, 4); r.Session != first.Session || len(other.asked()) != 0 {
		t.Errorf("session %d went on as %d; the other provider was asked %d times", first.Session, r.Session, len(other.asked()))
	}
}

// That the ledger can't be asked for a session is not a provider's failure.
func TestNoLedgerIsNoProvidersFault(t *testing.T) {
	s := start(t)
	s.sells("seller", 1)
	s.ledger.gone.Store(true)
	_, err := s.try(s.ctx, 1, 4)
	var failed *consumer.FailedError
	if !errors.Is(err, errGone) || errors.As(err, &failed) {
		t.Error(err)
	}
}
