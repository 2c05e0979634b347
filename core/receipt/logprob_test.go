package receipt_test

import (
	"bytes"
	"testing"

	"daulat/core/canon"
	"daulat/core/receipt"
)

func TestShows(t *testing.T) {
	top := func(n int) receipt.Logprobs { return receipt.Logprobs{NLL: 1, Top: make([]receipt.Logprob, n)} }
	for name, c := range map[string]struct {
		asked  uint64
		tokens int
		shown  []receipt.Logprobs
		ok     bool
	}{
		"nothing":               {0, 5, nil, true},
		"one though unasked":    {0, 1, []receipt.Logprobs{top(0)}, false},
		"the chosen one":        {1, 1, []receipt.Logprobs{top(0)}, true},
		"all alternatives":      {3, 2, []receipt.Logprobs{top(2), top(2)}, true},
		"a small vocabulary":    {3, 1, []receipt.Logprobs{top(1)}, true},
		"no tokens":             {3, 0, nil, true},
		"too few":               {3, 2, []receipt.Logprobs{top(2)}, false},
		"too many":              {3, 1, []receipt.Logprobs{top(2), top(2)}, false},
		"none":                  {3, 1, nil, false},
		"one alternative more":  {3, 2, []receipt.Logprobs{top(2), top(3)}, false},
		"one instead of nobody": {1, 1, []receipt.Logprobs{top(1)}, false},
	} {
		p := receipt.Params{Logprobs: c.asked}
		if err := p.Shows(c.tokens, c.shown); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokensAreEqualWithWhatIsShown(t *testing.T) {
	of := func(nll uint32, top ...receipt.Logprob) *receipt.Logprobs {
		return &receipt.Logprobs{NLL: nll, Top: top}
	}
	all := []receipt.Token{{ID: 1}, {ID: 2}, {ID: 1, Logprobs: of(0)}, {ID: 1, Logprobs: of(5)},
		{ID: 1, Logprobs: of(5, receipt.Logprob{Token: 1})}, {ID: 1, Logprobs: of(5, receipt.Logprob{Token: 1, NLL: 1})}}
	for i, a := range all {
		for j, b := range all {
			if b.Logprobs != nil {
				b.Logprobs = of(b.Logprobs.NLL, b.Logprobs.Top...)
			}
			if a.Equal(b) != (i == j) {
				t.Errorf("%+v equals %+v: %t", a, b, a.Equal(b))
			}
		}
	}
}

// An answer is committed to with all that is shown, and one without is encoded
// as if nothing could be.
func TestLogprobsArePartOfTheAnswer(t *testing.T) {
	plain := receipt.Answer{Tokens: []uint32{7}, Finish: receipt.FinishStop}
	if data := canon.MustMarshal(plain); bytes.Contains(data, []byte("logprobs")) {
		t.Errorf("an ordinary answer is %x", data)
	}
	if data := canon.MustMarshal(receipt.Params{}); bytes.Contains(data, []byte("logprobs")) {
		t.Errorf("ordinary parameters are %x", data)
	}
	seen := map[canon.Hash]bool{plain.Hash(): true}
	for _, l := range []receipt.Logprobs{{}, {NLL: 1}, {Top: []receipt.Logprob{{}}}, {Top: []receipt.Logprob{{NLL: 1}}}, {Top: []receipt.Logprob{{Token: 1}}}} {
		a := plain
		a.Logprobs = []receipt.Logprobs{l}
		seen[a.Hash()] = true
		var back receipt.Answer
		if err := canon.Unmarshal(canon.MustMarshal(a), &back); err != nil || !back.Logprobs[0].Equal(l) {
			t.Errorf("%+v came back as %+v: %v", a, back, err)
		}
	}
	if len(seen) != 6 {
		t.Errorf("six answers have %d hashes", len(seen))
	}
}

// The largest transcript that the limits allow still decodes.
func TestLargestTranscriptCanBeRead(t *testing.T) {
	fill := func(n int) []uint32 {
		tokens := make([]uint32, n)
		for i := range tokens {
			tokens[i] = ^uint32(i)
		}
		return tokens
	}
	top := make([]receipt.Logprob, receipt.MaxAlternatives)
	for i := range top {
		top[i] = receipt.Logprob{Token: ^uint32(0), NLL: ^uint32(0)}
	}
	tr := receipt.Transcript{Request: receipt.Request{Model: canon.NewCID(canon.DagCBOR, canon.Hash{1}), Tokens: fill(receipt.MaxPrompt),
		Params: receipt.Params{MaxTokens: receipt.MaxShown / 21, Logprobs: 21}}}
	for _, id := range fill(receipt.MaxShown / 21) {
		tr.Answer.Add(receipt.Token{ID: id, Logprobs: &receipt.Logprobs{NLL: ^uint32(0), Top: top}})
	}
	const proof = 4 << 20 // of the ledger, beside it in a bundle
	data := canon.MustMarshal(tr)
	if len(data)+proof > canon.MaxSize {
		t.Errorf("the largest transcript has %d bytes", len(data))
	}
	var back receipt.Transcript
	if err := canon.Unmarshal(data, &back); err != nil || back.Answer.Hash() != tr.Answer.Hash() {
		t.Error(err)
	}
}
