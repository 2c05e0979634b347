package consumer_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"daulat/core/job"
	"daulat/core/receipt"
	wire "daulat/link/session"
)

// An asker that leaves in mid-answer, or takes no more of it, pays for what came, and
// the provider and its session are as good as before.
func TestStoppedAnswerIsPaidFor(t *testing.T) {
	full := errors.New("no more")
	for name, c := range map[string]struct {
		leave func(cancel context.CancelFunc) error
		want  error
	}{
		"left":   {func(cancel context.CancelFunc) error { cancel(); return nil }, context.Canceled},
		"enough": {func(context.CancelFunc) error { return full }, full},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			x := s.sells("seller", 1)
			x.behave(conduct{stall: 3})
			for asked := range 3 {
				ctx, cancel := context.WithCancel(s.ctx)
				defer cancel()
				var came []uint32
				r, err := s.client.Ask(ctx, terms(), prompt(1, 20), willing, func(t receipt.Token) error {
					if came = append(came, t.ID); len(came) == 3 {
						return c.leave(cancel)
					}
					return nil
				})
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v", err)
				}
				if r.Answer.Finish != receipt.FinishCancelled || !slices.Equal(r.Answer.Tokens, came) || len(came) != 3 || r.Price != 4 || r.Session != 1 {
					t.Fatalf("%v came; %+v", came, r)
				}
				if len(x.vouchers()) != asked+1 {
					t.Fatalf("%d vouchers for %d answers", len(x.vouchers()), asked+1)
				}
			}
			x.behave(conduct{})
			if provider, _ := s.tokensOf(5); provider != "seller" || s.onLedger(1).State != job.SessionOpen {
				t.Errorf("%s answered, session 1 is %s", provider, s.onLedger(1).State)
			}
			kept, err := s.client.Journal.Transcripts(1)
			if err != nil || len(kept) != 4 {
				t.Errorf("%d transcripts, %v", len(kept), err)
			}
		})
	}
}

// Nothing is paid for an answer that was stopped before it began, and its session
// serves the next.
func TestStoppedBeforeItBegan(t *testing.T) {
	s := start(t)
	x := s.sells("seller", 1)
	ctx, cancel := context.WithCancel(s.ctx)
	x.behave(conduct{stall: -1, early: func(wire.Ask) { cancel() }})
	r, err := s.client.Ask(ctx, terms(), prompt(1, 20), willing, nil)
	if !errors.Is(err, context.Canceled) || r.Session != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	x.behave(conduct{})
	if r, err := s.try(s.ctx, 1, 5); err != nil || r.Session != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if len(x.vouchers()) != 1 {
		t.Errorf("%d vouchers", len(x.vouchers()))
	}
}

// A provider that cuts an answer short and says that it was told to is not paid.
func TestStopThatNobodyAskedFor(t *testing.T) {
	s := start(t)
	lazy, _ := s.sells("lazy", 1), s.sells("good", 2)
	lazy.behave(conduct{short: 3})
	if provider, tokens := s.tokensOf(9); provider != "good" || len(tokens) != 9 {
		t.Errorf("%s gave %d tokens", provider, len(tokens))
	}
	if len(lazy.vouchers()) != 0 {
		t.Error("the lazy one was paid")
	}
}

// Who began an answer and was beaten all the same is paid for what it sent, and the
// asker is told how much that was.
func TestBeatenProviderIsPaidForWhatItSent(t *testing.T) {
	s := start(t)
	s.client.SetLimits(20*time.Millisecond, time.Minute, time.Minute)
	hold := make(chan struct{})
	slow := s.sells("slow", 1)
	slow.behave(conduct{early: func(wire.Ask) { <-hold }, deaf: 2, stall: 2})
	s.sells("fast", 2)
	var came int
	r, err := s.client.Ask(s.ctx, terms(), prompt(1, 9), willing, func(receipt.Token) error {
		if came++; came == 1 {
			close(hold)
		}
		if came == 5 {
			s.eventually("the slow one is paid and left", func() bool { return s.onLedger(1).State != job.SessionOpen })
		}
		return nil
	})
	if err != nil || r.Provider != "fast" || came != 9 || r.Price != 20 || r.Beside != 3 {
		t.Fatalf("%d tokens, %+v, %v", came, r, err)
	}
	if e := s.onLedger(1).Escrow; e.Withheld != 3 {
		t.Errorf("the slow one has %+v", e)
	}
}
