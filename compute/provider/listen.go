package provider

import (
	"context"
	"errors"

	"daulat/link"
	"daulat/link/session"
)

// errStopped says that the consumer wants no more of an answer.
var errStopped = errors.New("the consumer stopped the answer")

// words are what a consumer says while it is answered, and then.
type words struct {
	paid chan session.Payment // closed after the last word
	err  error                // why there was no payment; read once paid is closed
}

// listen hears a consumer's words up to its payment. One stop at the most ends the
// answer; anything else, or silence for ever, ends it with nobody left to compute for.
func listen(s *link.Stream, enough context.CancelCauseFunc) *words {
	w := &words{paid: make(chan session.Payment, 1)}
	go func() {
		defer close(w.paid)
		stop := func() { enough(errStopped) }
		for {
			var word session.Word
			if w.err = s.Await(&word); w.err != nil {
				break
			}
			if word.Payment != nil && !word.Stop {
				w.paid <- *word.Payment
				return
			}
			if !word.Stop || word.Payment != nil || stop == nil {
				w.err = &session.Refusal{Code: session.Invalid, Reason: "word is neither one stop nor one payment"}
				break
			}
			stop()
			stop = nil
		}
		enough(w.err)
	}()
	return w
}

// payment waits for the voucher.
func (w *words) payment() (session.Payment, error) {
	paid, ok := <-w.paid
	if !ok {
		return session.Payment{}, w.err
	}
	return paid, nil
}
