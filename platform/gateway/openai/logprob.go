package openai

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Likely is a token's own bytes, and −ln of its probability in units of 2^−16.
type Likely struct {
	Text string
	NLL  uint32
}

// Token is one token of an answer with what the model thought there.
type Token struct {
	Likely
	Top    []Likely // the likeliest tokens in falling order
	Offset int      // where its text begins in the answer's, in characters
	// Reasoning is a stretch of what a model thinks before it answers, which is of no
	// token that is shown: nothing else is set then.
	Reasoning string
}

// logprob is the number that clients see: −NLL/2^16, written out exactly.
type logprob uint32

// MarshalJSON implements json.Marshaler.
func (l logprob) MarshalJSON() ([]byte, error) {
	if l == 0 {
		return []byte("0"), nil
	}
	const unit = 152_587_890_625 // 10^16/2^16
	digits := fmt.Sprintf("-%d.%016d", l>>16, uint64(l&(1<<16-1))*unit)
	return []byte(strings.TrimRight(strings.TrimRight(digits, "0"), ".")), nil
}

type chatLogprobs struct {
	Content []chatToken `json:"content"`
	Refusal *string     `json:"refusal"`
}

type chatToken struct {
	chatLikely
	Top []chatLikely `json:"top_logprobs"`
}

type chatLikely struct {
	Token   string  `json:"token"`
	Logprob logprob `json:"logprob"`
	Bytes   []int   `json:"bytes"` // exact, where Token replaces what is not UTF-8
}

type textLogprobs struct {
	Tokens   []string             `json:"tokens"`
	Logprobs []logprob            `json:"token_logprobs"`
	Top      []map[string]logprob `json:"top_logprobs"`
	Offsets  []int                `json:"text_offset"`
}

// logprobs is what a choice shows of tokens.
func (r Reply) logprobs(tokens []Token) any {
	if r.Chat {
		c := chatLogprobs{Content: make([]chatToken, len(tokens))}
		for i, t := range tokens {
			c.Content[i] = t.chat()
		}
		return c
	}
	c := textLogprobs{[]string{}, []logprob{}, []map[string]logprob{}, []int{}}
	for _, t := range tokens {
		c.Tokens = append(c.Tokens, t.name())
		c.Logprobs = append(c.Logprobs, logprob(t.NLL))
		c.Top = append(c.Top, t.byName())
		c.Offsets = append(c.Offsets, t.Offset)
	}
	return c
}

func (t Token) chat() chatToken {
	c := chatToken{t.Likely.chat(), make([]chatLikely, len(t.Top))}
	for i, l := range t.Top {
		c.Top[i] = l.chat()
	}
	return c
}

func (l Likely) chat() chatLikely {
	c := chatLikely{l.Text, logprob(l.NLL), make([]int, len(l.Text))}
	for i := range len(l.Text) {
		c.Bytes[i] = int(l.Text[i])
	}
	return c
}

// byName is the likeliest tokens and the one that was drawn. Of tokens that read
// alike the likeliest stays.
func (t Token) byName() map[string]logprob {
	all := make(map[string]logprob, len(t.Top)+1)
	for _, l := range append(t.Top[:len(t.Top):len(t.Top)], t.Likely) {
		if _, taken := all[l.name()]; !taken {
			all[l.name()] = logprob(l.NLL)
		}
	}
	return all
}

// name is how text completions write a token that is not text by itself.
func (l Likely) name() string {
	if utf8.ValidString(l.Text) {
		return l.Text
	}
	var b strings.Builder
	b.WriteString("bytes:")
	for i := range len(l.Text) {
		fmt.Fprintf(&b, `\x%02x`, l.Text[i])
	}
	return b.String()
}
