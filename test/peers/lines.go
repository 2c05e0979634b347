package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	"daulat/model/gguf"
	"daulat/model/text"
)

// lineCount is how many generated lines two tokenizers must agree on.
const lineCount = 120_000

// tokenizers compares the token IDs of Daulat and of PyPI's tokenizers for the
// vocabulary in the GGUF file model, and gives the number of lines compared.
func (t *tools) tokenizers(ctx context.Context, model string) (int, error) {
	f, err := gguf.Open(model)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	words, err := text.FromGGUF(f)
	if err != nil {
		return 0, err
	}
	var result struct{ Compared, Differ int }
	cmd := t.command(ctx, "python3", "tokens.py", model)
	lines, feed := io.Pipe()
	cmd.Stdin = lines
	go func() { feed.CloseWithError(writeLines(feed, words)) }()
	err = answerOf(cmd, &result)
	lines.Close() // lets the writer go if the reader ended early
	if err != nil {
		return 0, err
	}
	if result.Compared != lineCount || result.Differ != 0 {
		return 0, fmt.Errorf("%d of %d lines were compared, %d differ", result.Compared, lineCount, result.Differ)
	}
	return result.Compared, nil
}

// writeLines writes generated lines with Daulat's token IDs, as tokens.py reads them.
func writeLines(w io.Writer, words *text.Text) error {
	out := bufio.NewWriter(w)
	encode := json.NewEncoder(out)
	g := generator{Rand: rand.New(rand.NewPCG(2025, 8)), special: specials(words)}
	for range lineCount {
		line, trusted := g.line(), g.IntN(3) == 0
		ids, err := words.Encode(line, trusted)
		if err != nil {
			return fmt.Errorf("encode %q: %w", line, err)
		}
		if err := encode.Encode([]any{line, trusted, ids}); err != nil {
			return err
		}
	}
	return out.Flush()
}

// specials are the texts of the control tokens.
func specials(words *text.Text) (texts []string) {
	for id := range uint32(words.Size()) {
		if words.IsControl(id) {
			name, _ := words.Token(id) // every ID below Size is a token
			texts = append(texts, name)
		}
	}
	return texts
}

// generator makes lines of the kinds that tokenizers differ on.
type generator struct {
	*rand.Rand
	special []string
}

// line is up to 12 pieces of different kinds.
func (g generator) line() string {
	var b strings.Builder
	for range 1 + g.IntN(12) {
		b.WriteString(g.piece())
	}
	return b.String()
}

const (
	letters = "etaoinshrdlucmfwypvbgkqjxz"
	marks   = "'\"`.,;:!?()[]{}<>|/\\@#$%^&*-_=+~ÄßñçéÅøıİſΣς"
	blanks  = " \t\n\r\v\f\u0085\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\u200b\u180e\ufeff"
	// What Unicode's form C sorts, joins or takes apart, or would by newer tables
	// than the reference's: marks, jamo, pairs of letters, singletons.
	composing = "\u0300\u0301\u0302\u0308\u0316\u0323\u0327\u0338\u0345\u0344\u093c\u3099\u07fd\u0898\u0c3c\u1df6" +
		"\u1112\u1161\u11ab\uac00\u304b\u3099\u09c7\u09be\u0958\u212b\u2126\ufb2c\U0001003c\U00011935\U00011930\U00011938\U00011131\U00011127"
	digits = "0123456789٠٣९４²½Ⅷ一𝟘𑁦"
)

var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'RE", "’s", "'ſ", "''s"}

func (g generator) piece() string {
	switch g.IntN(11) {
	case 0, 1:
		return " " + g.some(letters, 12)
	case 2:
		return g.some(blanks, 6)
	case 3:
		return g.some(digits, 8)
	case 4:
		return g.some(marks, 5)
	case 5:
		return g.some(letters, 4) + contractions[g.IntN(len(contractions))]
	case 6:
		return g.control()
	case 7:
		return strings.Repeat(g.some(letters+marks+blanks+digits+composing, 2), 1+g.IntN(20))
	case 8:
		return g.some(letters, 1) + g.some(composing, 6)
	default:
		return g.unicode(1 + g.IntN(8))
	}
}

// some gives 1 to n characters of set.
func (g generator) some(set string, n int) string {
	from := []rune(set)
	b := make([]rune, 1+g.IntN(n))
	for i := range b {
		b[i] = from[g.IntN(len(from))]
	}
	return string(b)
}

// control spells a control token: whole, cut, or with a character changed.
func (g generator) control() string {
	s := g.special[g.IntN(len(g.special))]
	switch at := g.IntN(len(s)); g.IntN(4) {
	case 0:
		return s[:at]
	case 1:
		return s[at:]
	case 2:
		return s[:at] + g.some(marks+" ", 1) + s[at:]
	}
	return s
}

// unicode gives n characters: from one script, or from everywhere.
func (g generator) unicode(n int) string {
	block := rune(g.IntN(0x32000))
	anywhere := g.IntN(2) == 0
	var b strings.Builder
	for n > 0 {
		c := block&^0x7f + rune(g.IntN(0x80))
		if anywhere {
			c = rune(g.IntN(0x30000))
		}
		if !utf8.ValidRune(c) {
			c = '\u0301' // a mark that combines with whatever stands before it
		}
		b.WriteRune(c)
		n--
	}
	return b.String()
}
