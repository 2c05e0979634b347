package node

import (
	"strings"
	"unicode/utf8"

	"daulat/core/receipt"
	"daulat/model/text"
	"daulat/model/tokenizer"
	"daulat/platform/gateway"
)

// cut shows an answer's text up to the first stop string: what may be the start
// of one is held back until it is clear that it is not.
//
// A token with log-probabilities is shown with the piece in which its text
// begins; one that begins within a character belongs to that character. So a
// token of which the stop string leaves only a part is shown whole, and one of
// which it leaves nothing is not shown.
type cut struct {
	words   *text.Text
	decoder *tokenizer.Decoder
	stops   []string
	held    string
	done    bool

	decoded int // bytes of text so far: shown and held
	shown   int // bytes
	letters int // of them, in characters
	waiting []waiting
}

// waiting is a token of which nothing was shown yet.
type waiting struct {
	token gateway.AnswerToken
	start int // of its text, in bytes
}

func newCut(words *text.Text, stops []string) *cut {
	return &cut{words: words, decoder: words.Decoder(), stops: stops}
}

// next is the text that can be shown now, and the tokens that begin in it.
func (c *cut) next(t receipt.Token) (string, []gateway.AnswerToken) {
	if t.Logprobs == nil || c.done {
		return c.take(c.decoder.Next(t.ID), false)
	}
	shown, broken := c.answerToken(t), ""
	if shown.Text != "" && utf8.RuneStart(shown.Text[0]) {
		broken = c.decoder.Flush() // a character that this token does not go on with
	}
	c.waiting = append(c.waiting, waiting{shown, c.decoded + len(broken)})
	return c.take(broken+c.decoder.Next(t.ID), false)
}

// flush is the rest.
func (c *cut) flush() (string, []gateway.AnswerToken) { return c.take(c.decoder.Flush(), true) }

func (c *cut) take(s string, last bool) (string, []gateway.AnswerToken) {
	if c.done {
		return "", nil
	}
	c.held += s
	c.decoded += len(s)
	end := len(c.held)
	for _, stop := range c.stops {
		if i := strings.Index(c.held, stop); i >= 0 && i < end {
			end, c.done = i, true
		}
	}
	if !c.done && !last {
		end -= c.suspect()
	}
	out := c.held[:end]
	c.held = c.held[end:]
	return out, c.begun(out, last && !c.done)
}

// begun is the waiting tokens whose text begins in out, which is shown next, or
// all of them at the end of an answer that no stop string cut.
func (c *cut) begun(out string, all bool) (tokens []gateway.AnswerToken) {
	for len(c.waiting) > 0 && (all || c.waiting[0].start < c.shown+len(out)) {
		w := c.waiting[0]
		w.token.Offset = c.letters + utf8.RuneCountInString(out[:w.start-c.shown])
		tokens, c.waiting = append(tokens, w.token), c.waiting[1:]
	}
	c.shown += len(out)
	c.letters += utf8.RuneCountInString(out)
	return tokens
}

// suspect is the length of the longest end of what is held that starts a stop
// string.
func (c *cut) suspect() int {
	longest := 0
	for _, stop := range c.stops {
		for n := min(len(stop)-1, len(c.held)); n > longest; n-- {
			if strings.HasSuffix(c.held, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// answerToken names the tokens that a provider showed by their bytes.
func (c *cut) answerToken(t receipt.Token) gateway.AnswerToken {
	a := gateway.AnswerToken{Likely: c.likely(receipt.Logprob{Token: t.ID, NLL: t.Logprobs.NLL}), Top: make([]gateway.Likely, len(t.Logprobs.Top))}
	for i, l := range t.Logprobs.Top {
		a.Top[i] = c.likely(l)
	}
	return a
}

func (c *cut) likely(l receipt.Logprob) gateway.Likely {
	s, ok := c.words.Token(l.Token)
	if !ok {
		s = "\uFFFD" // as the decoder reads an ID that the model lacks
	}
	return gateway.Likely{Text: s, NLL: l.NLL}
}
