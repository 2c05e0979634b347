package node

import (
	"strings"
	"testing"
	"unicode/utf8"

	"daulat/core/receipt"
	"daulat/model/gguf"
	"daulat/model/synthetic"
	"daulat/model/text"
	"daulat/platform/gateway"
)

func newWords(t testing.TB) *text.Text {
	t.Helper()
	data, err := synthetic.Llama(1, synthetic.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	words, err := text.FromGGUF(f)
	if err != nil {
		t.Fatal(err)
	}
	return words
}

// shownBy runs tokens through a cut and checks each piece by itself: it brings
// the tokens whose text begins in it, in order, with their places.
func shownBy(t testing.TB, words *text.Text, ids []uint32, stops []string) (whole string, tokens []gateway.AnswerToken) {
	t.Helper()
	c := newCut(words, stops)
	take := func(piece string, shown []gateway.AnswerToken) {
		before := utf8.RuneCountInString(whole)
		whole += piece
		for _, token := range shown {
			if after := before + utf8.RuneCountInString(piece); token.Offset < before || token.Offset > after {
				t.Fatalf("token %q at %d came with characters %d to %d", token.Text, token.Offset, before, after)
			}
		}
		tokens = append(tokens, shown...)
	}
	for i, id := range ids {
		take(c.next(receipt.Token{ID: id, Logprobs: &receipt.Logprobs{NLL: uint32(i), Top: []receipt.Logprob{{Token: id, NLL: 7}, {Token: 1 << 31}}}}))
	}
	take(c.flush())
	for i, token := range tokens {
		rest := string([]rune(whole)[token.Offset:])
		if utf8.ValidString(token.Text) && !words.IsControl(ids[i]) && !strings.HasPrefix(rest, token.Text) && !strings.HasPrefix(token.Text, rest) {
			t.Fatalf("token %q at %d is not there in %q", token.Text, token.Offset, whole)
		}
		if own, _ := words.Token(ids[i]); token.Text != own || token.NLL != uint32(i) || len(token.Top) != 2 || token.Top[0].Text != own || token.Top[1].Text != "\uFFFD" {
			t.Fatalf("token %d is shown as %+v, and its bytes are %q", i, token, own)
		}
		if i > 0 && token.Offset < tokens[i-1].Offset {
			t.Fatalf("token %d begins at %d, before the one before it", i, token.Offset)
		}
	}
	return whole, tokens
}

func TestCutShowsTokensWithTheirText(t *testing.T) {
	words := newWords(t)
	const answer = "héllo wörld, €5 😀 the end is near"
	ids, err := words.Encode(answer, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stops []string
		want  string
	}{
		{nil, answer}, {[]string{"nothing"}, answer}, {[]string{"nearer"}, answer}, {[]string{"near"}, "héllo wörld, €5 😀 the end is "},
		{[]string{"ld, €"}, "héllo wör"}, {[]string{"h"}, ""}, {[]string{"€5 x", "😀", " the"}, "héllo wörld, €5 "}, {[]string{"€"}, "héllo wörld, "},
	} {
		whole, tokens := shownBy(t, words, ids, c.stops)
		if whole != c.want {
			t.Errorf("stopped at %q the answer is %q, not %q", c.stops, whole, c.want)
		}
		var joined strings.Builder
		for _, token := range tokens {
			joined.WriteString(token.Text)
		}
		if !strings.HasPrefix(joined.String(), c.want) || !strings.HasPrefix(answer, joined.String()) {
			t.Errorf("stopped at %q: tokens %q for text %q", c.stops, joined.String(), whole)
		}
		if n := len(tokens); n > 0 && strings.HasPrefix(strings.TrimSuffix(joined.String(), tokens[n-1].Text), c.want) && c.want != answer {
			t.Errorf("stopped at %q: token %q is shown and nothing of its text is", c.stops, tokens[n-1].Text)
		}
		if len(tokens) == 0 != (c.want == "") {
			t.Errorf("stopped at %q: %d tokens for %q", c.stops, len(tokens), whole)
		}
	}
}

// Tokens without text of their own come with what follows, and at the end; those
// of one character come together.
func TestCutShowsTokensWithoutText(t *testing.T) {
	words := newWords(t)
	var control uint32
	for !words.IsControl(control) {
		control++
	}
	euro, err := words.Encode("€", false)
	if err != nil || len(euro) != 3 {
		t.Fatalf("the character has %d tokens, %v", len(euro), err)
	}
	c := newCut(words, nil)
	shown := func(id uint32) int {
		_, tokens := c.next(receipt.Token{ID: id, Logprobs: &receipt.Logprobs{}})
		return len(tokens)
	}
	got := [5]int{shown(control), shown(euro[0]), shown(euro[1]), shown(euro[2]), shown(control)}
	if want := [5]int{0, 0, 0, 4, 0}; got != want {
		t.Errorf("pieces came with %v tokens, not %v", got, want)
	}
	if rest, tokens := c.flush(); rest != "" || len(tokens) != 1 || tokens[0].Offset != 1 {
		t.Errorf("the rest is %q with %+v", rest, tokens)
	}
	j, err := words.Encode("j", false)
	if err != nil {
		t.Fatal(err)
	}
	broken := []uint32{euro[0], j[0], euro[0], euro[1], control, j[0], euro[1], j[0], euro[0]}
	if whole, tokens := shownBy(t, words, broken, nil); whole != words.Decode(broken) || len(tokens) != len(broken) || tokens[1].Offset != 1 {
		t.Errorf("%q is shown with %+v", whole, tokens)
	}
}

// A cut without log-probabilities keeps nothing for them.
func TestCutWithoutLogprobs(t *testing.T) {
	c := newCut(newWords(t), nil)
	for id := range uint32(50) {
		if _, tokens := c.next(receipt.Token{ID: id}); tokens != nil {
			t.Fatal("tokens were shown")
		}
	}
	if _, tokens := c.flush(); tokens != nil || c.waiting != nil {
		t.Fatal("tokens were kept")
	}
}

func FuzzCut(f *testing.F) {
	words := newWords(f)
	f.Add([]byte("hello\xe2\x82\xac"), "lo")
	f.Add([]byte{0xf0, 0x9f, 0, 1, 2, 0xff}, "\x00")
	f.Fuzz(func(t *testing.T, data []byte, stop string) {
		if stop == "" || len(data) > 200 {
			return
		}
		ids := make([]uint32, len(data))
		for i, b := range data {
			ids[i] = uint32(b)
		}
		all := words.Decode(ids)
		whole, tokens := shownBy(t, words, ids, []string{stop})
		if before, _, cut := strings.Cut(all, stop); whole != before || !cut && len(tokens) != len(ids) {
			t.Fatalf("%q with %d tokens of %q stopped at %q", whole, len(tokens), all, stop)
		}
	})
}
