package consumer_test

import (
	"slices"
	"testing"

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
