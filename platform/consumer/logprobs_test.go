package consumer_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/core/verify"
	wire "daulat/link/session"
	"daulat/platform/consumer"
)

// shownOf is what an honest seller shows of a token.
func shownOf(p receipt.Params, token uint32) []receipt.Logprobs {
	if p.Logprobs == 0 {
		return nil
	}
	l := receipt.Logprobs{NLL: 100 * token}
	for n := range uint32(p.Logprobs) - 1 {
		l.Top = append(l.Top, receipt.Logprob{Token: n, NLL: 50 + n})
	}
	return []receipt.Logprobs{l}
}

// recount knows the answer of an honest seller.
type recount struct{}

func (recount) Replay(_ context.Context, _ canon.CID, r receipt.Request, a receipt.Answer) (verify.Verdict, error) {
	paid := receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishLength}
	for i := range uint32(r.Params.MaxTokens) {
		paid.Tokens, paid.Logprobs = append(paid.Tokens, i), append(paid.Logprobs, shownOf(r.Params, i)...)
	}
	return verify.Compare(paid, a), nil
}

// audited starts the client again, with an auditor that knows every answer.
func (s *setup) audited() {
	s.t.Helper()
	s.auditor = recount{}
	if err := s.journal.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.run()
}

// shows asks for tokens with log-probabilities, each and of so many alternatives;
// for none with -1.
func (s *setup) shows(most, alternatives int) (consumer.Result, receipt.Answer, error) {
	p := prompt(1, most)
	p.Params.Logprobs = uint64(1 + alternatives)
	var passed receipt.Answer
	r, err := s.client.Ask(s.ctx, terms(), p, willing, func(t receipt.Token) error { passed.Add(t); return nil })
	return r, passed, err
}

func TestLogprobsArePassedOnAndKept(t *testing.T) {
	s := start(t)
	s.audited()
	s.sells("seller", 1)
	for _, alternatives := range []int{0, receipt.MaxAlternatives} {
		r, passed, err := s.shows(3, alternatives)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := s.journal.Transcripts(r.Session)
		if err != nil || len(kept) == 0 {
			t.Fatalf("%d transcripts are kept: %v", len(kept), err)
		}
		last := kept[len(kept)-1].Answer
		for i, l := range last.Logprobs {
			if l.NLL != 100*uint32(i) || len(l.Top) != alternatives {
				t.Errorf("token %d is kept with %+v", i, l)
			}
		}
		same := func(a receipt.Answer) bool {
			return len(a.Logprobs) == 3 && slices.EqualFunc(a.Logprobs, last.Logprobs, receipt.Logprobs.Equal)
		}
		if !same(last) || !same(passed) || !same(r.Answer) {
			t.Errorf("passed on %+v, resulted in %+v, kept %+v", passed, r.Answer, last)
		}
	}
}

// A provider that shows more or less than it was asked for is cut off.
func TestLogprobsThatNobodyAskedFor(t *testing.T) {
	extra := receipt.Logprob{Token: 1}
	for name, c := range map[string]struct {
		alternatives int // -1 asks for none
		change       func(*wire.Reply)
	}{
		"none":                 {2, func(r *wire.Reply) { r.Logprobs = nil }},
		"two of one token":     {2, func(r *wire.Reply) { r.Logprobs = append(r.Logprobs, r.Logprobs[0]) }},
		"one alternative more": {2, func(r *wire.Reply) { r.Logprobs[0].Top = append(r.Logprobs[0].Top, extra) }},
		"one instead of none":  {0, func(r *wire.Reply) { r.Logprobs[0].Top = append(r.Logprobs[0].Top, extra) }},
		"though not asked":     {-1, func(r *wire.Reply) { r.Logprobs = []receipt.Logprobs{{NLL: 1}} }},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			bad, good := s.sells("bad", 1), s.sells("good", 2)
			bad.behave(conduct{shown: c.change})
			r, passed, err := s.shows(4, c.alternatives)
			if err != nil || r.Provider != "good" || len(passed.Tokens) != 4 {
				t.Errorf("%+v passed on %+v: %v", r, passed, err)
			}
			if n, m := len(bad.vouchers()), len(good.vouchers()); n != 0 || m != 1 {
				t.Errorf("%d vouchers went to the bad one, %d to the good one", n, m)
			}
		})
	}
}

// The tokens are right and a number beside them is invented: that is as wrong an
// answer as any.
func TestInventedLogprobIsFoundAndNotPaid(t *testing.T) {
	for name, change := range map[string]func(*receipt.Logprobs){
		"its own":              func(l *receipt.Logprobs) { l.NLL++ },
		"an alternative":       func(l *receipt.Logprobs) { l.Top[1].NLL-- },
		"a missing one":        func(l *receipt.Logprobs) { l.Top = l.Top[:1] },
		"alternatives swapped": func(l *receipt.Logprobs) { l.Top[0], l.Top[1] = l.Top[1], l.Top[0] },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.audited()
			liar, honest := s.sells("liar", 1), s.sells("honest", 2)
			liar.behave(conduct{shown: func(r *wire.Reply) {
				if r.Tokens[0] == 2 {
					change(&r.Logprobs[0])
				}
			}})
			_, _, err := s.shows(5, 2)
			var lie *consumer.LieError
			if !errors.As(err, &lie) || lie.Verdict.At != 2 || lie.Verdict.Why == "" {
				t.Fatalf("got %v", err)
			}
			if n := s.chain.Complaints("liar"); n != 1 || len(liar.vouchers()) != 0 {
				t.Errorf("%d complaints, %d vouchers", n, len(liar.vouchers()))
			}
			if _, _, err := s.shows(5, 2); err != nil || len(honest.vouchers()) != 1 {
				t.Errorf("the liar was asked again: %v", err)
			}
		})
	}
}

// What one provider showed and another one contradicts is not passed off as an
// answer, though their tokens are the same.
func TestLogprobsContradictedElsewhere(t *testing.T) {
	s := start(t)
	bad, good := s.sells("bad", 1), s.sells("good", 2)
	bad.behave(conduct{cut: 2, shown: func(r *wire.Reply) { r.Logprobs[0].NLL += 9 }})
	_, passed, err := s.shows(4, 1)
	if err == nil || len(passed.Tokens) != 2 {
		t.Errorf("passed on %+v: %v", passed, err)
	}
	if n, m := len(bad.vouchers()), len(good.vouchers()); n+m != 0 {
		t.Errorf("%d vouchers went to the bad one, %d to the good one", n, m)
	}
}
