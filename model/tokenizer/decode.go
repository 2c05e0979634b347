package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// alphabet is how GPT-2's vocabularies write bytes as printable characters:
// those that print stand for themselves, the others for U+0100 onward in order.
var alphabet, fromAlphabet = func() (to [256]rune, from map[rune]byte) {
	from = make(map[rune]byte, 256)
	next := rune(0x100)
	for b := range 256 {
		to[b] = rune(b)
		if b <= ' ' || 0x7f <= b && b <= 0xa0 || b == 0xad {
			to[b] = next
			next++
		}
		from[to[b]] = byte(b)
	}
	return to, from
}()

// rawBytes is the bytes that a normal token's text stands for. A text with a
// character outside the alphabet stands for itself, and is not ok.
func rawBytes(text string) (raw string, ok bool) {
	b := make([]byte, 0, len(text))
	for _, c := range text {
		x, known := fromAlphabet[c]
		if !known {
			return strings.Clone(text), false
		}
		b = append(b, x)
	}
	return string(b), true
}

// Decode is the text of tokens, without control tokens; bytes that are not
// UTF-8 become U+FFFD, and so does an ID outside the vocabulary.
func (t *Tokenizer) Decode(tokens []uint32) string {
	d := t.Decoder()
	var b strings.Builder
	for _, id := range tokens {
		b.WriteString(d.Next(id))
	}
	b.WriteString(d.Flush())
	return b.String()
}

// Decoder decodes a stream of tokens; the pieces it returns join to what Decode
// gives for all of them. Make one with Tokenizer.Decoder; it is not safe for
// concurrent use.
type Decoder struct {
	t    *Tokenizer
	tail []byte // of a character that is not complete
}

// Decoder starts a stream.
func (t *Tokenizer) Decoder() *Decoder { return &Decoder{t: t} }

// Next is the text that token completes; a character whose bytes come with
// later tokens is held back.
func (d *Decoder) Next(token uint32) string {
	text, ok := d.t.Token(token)
	if !ok {
		return d.Flush() + "\uFFFD"
	}
	if d.t.IsControl(token) {
		return d.Flush()
	}
	d.tail = append(d.tail, text...)
	return d.take(false)
}

// Flush is the text of what is held back, and ends the stream.
func (d *Decoder) Flush() string { return d.take(true) }

// take removes the text that is decided; each broken sequence becomes one
// U+FFFD for its longest prefix that could have begun a character.
func (d *Decoder) take(final bool) string {
	var out strings.Builder
	rest := d.tail
	for len(rest) > 0 {
		c, n := utf8.DecodeRune(rest)
		if c == utf8.RuneError && n == 1 {
			if !final && !utf8.FullRune(rest) {
				break
			}
			for n < len(rest) && !utf8.FullRune(rest[:n+1]) {
				n++
			}
		}
		out.WriteRune(c)
		rest = rest[n:]
	}
	d.tail = append(d.tail[:0], rest...)
	return out.String()
}
