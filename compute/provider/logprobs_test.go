package provider_test

import (
	"testing"

	"daulat/core/receipt"
	"daulat/link/session"
)

// Log-probabilities travel with their tokens, and the receipt is over both. More
// tokens wait than one frame takes, with all that may be shown of each.
func TestLogprobsAreServedAndSigned(t *testing.T) {
	s := start(t)
	for _, n := range []uint64{0, 1, receipt.MaxAlternatives + 1} {
		a := s.lease(3100, 3100)
		ask := a.ask(2, 3000)
		ask.Request.Params.Logprobs = n
		ask.Ask.Request = ask.Request.Hash()
		ask = a.sign(ask.Ask, ask.Request)
		answer, done, err := hear(a.send(session.Opening{Ask: &ask}))
		if err != nil {
			t.Fatal(err)
		}
		if err := ask.Request.Params.Shows(3000, answer.Logprobs); err != nil {
			t.Errorf("asked for %d: %v", n, err)
		}
		for i, l := range answer.Logprobs {
			if l.NLL != answer.Tokens[i] || len(l.Top) != int(n)-1 {
				t.Fatalf("token %d came with %+v", i, l)
			}
		}
		next, err := a.session.Serve(a.served, receipt.NewLeaf(ask.Ask, ask.Request, answer))
		if err != nil {
			t.Fatal(err)
		}
		if done.Receipt.Root != next.Tally.Range.Root() {
			t.Errorf("asked for %d: the receipt is over another answer", n)
		}
	}
}
