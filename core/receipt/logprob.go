package receipt

import (
	"fmt"
	"slices"
)

// Logprob is a token and −ln of the probability that the model gave it, in units
// of 2^−16 nat (spec/sample.md).
type Logprob struct {
	_     struct{} `cbor:",toarray"`
	Token uint32
	NLL   uint32
}

// Logprobs is what the model thought at one position of an answer: NLL is of the
// token that was drawn, Top are the likeliest ones in falling order.
type Logprobs struct {
	_   struct{} `cbor:",toarray"`
	NLL uint32
	Top []Logprob
}

// Equal reports whether both say the same.
func (l Logprobs) Equal(m Logprobs) bool { return l.NLL == m.NLL && slices.Equal(l.Top, m.Top) }

// Token is one token of an answer on its way, with its log-probabilities if they
// were asked for. Whoever gets it does not change them. A declared model's answer
// comes in stretches of Text and Reasoning instead, and nothing else is set then.
type Token struct {
	ID              uint32
	Logprobs        *Logprobs
	Text, Reasoning string
}

// Size is how long a stretch is, in bytes.
func (t Token) Size() int { return len(t.Text) + len(t.Reasoning) }

// Equal reports whether both say the same.
func (t Token) Equal(u Token) bool {
	if t.ID != u.ID || t.Text != u.Text || t.Reasoning != u.Reasoning || (t.Logprobs == nil) != (u.Logprobs == nil) {
		return false
	}
	return t.Logprobs == nil || t.Logprobs.Equal(*u.Logprobs)
}

// Add appends a token and what is shown with it.
func (a *Answer) Add(t Token) {
	a.Tokens = append(a.Tokens, t.ID)
	if t.Logprobs != nil {
		a.Logprobs = append(a.Logprobs, *t.Logprobs)
	}
}

// Shows reports whether log-probabilities for a number of tokens are no more and
// no fewer than p asks for. A small vocabulary has fewer alternatives.
func (p Params) Shows(tokens int, shown []Logprobs) error {
	want := 0
	if p.Logprobs > 0 {
		want = tokens
	}
	if len(shown) != want {
		return fmt.Errorf("%d log-probabilities came with %d tokens, not %d", len(shown), tokens, want)
	}
	for _, l := range shown {
		if uint64(len(l.Top)) >= p.Logprobs {
			return fmt.Errorf("%d alternatives came with a token, not %d", len(l.Top), p.Logprobs-1)
		}
	}
	return nil
}
