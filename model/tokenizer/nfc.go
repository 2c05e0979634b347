package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nfc brings text to Unicode form C as the reference does, whose tables are of
// Unicode 9. The library alone will not do: it knows newer characters, puts a
// joiner after thirty marks in a row, and composes some pairs above U+FFFF that
// look like others in 16 bits. What it holds for normal is so for the reference.
func nfc(text string) string {
	if norm.NFC.IsNormalString(text) {
		return text
	}
	return compose(text)
}

// compose is nfc without the look whether anything is to be done.
func compose(text string) string {
	c := composer{starter: none}
	c.out.Grow(len(text))
	for _, r := range text {
		switch parts := propertiesOf(r).Decomposition(); {
		case parts == nil || unicode.Is(later, r):
			c.add(r)
		default:
			for _, part := range string(parts) {
				c.add(part)
			}
		}
	}
	c.settle()
	c.write()
	return c.out.String()
}

const none = -1

// composer takes decomposed text character by character. It holds back the last
// character of class 0, the starter, and the marks after it.
type composer struct {
	out     strings.Builder
	starter rune
	marks   []uint64 // class, position and character packed into one number
}

func (c *composer) add(r rune) {
	var class uint8
	joins := false // with what stands before it
	if !unicode.Is(later, r) {
		p := propertiesOf(r)
		class, joins = p.CCC(), !p.BoundaryBefore()
	}
	if class != 0 {
		c.marks = append(c.marks, uint64(class)<<56|uint64(len(c.marks))<<24|uint64(r))
		return
	}
	c.settle()
	if joins && len(c.marks) == 0 {
		if both := pairOf(c.starter, r); both != none {
			c.starter = both
			return
		}
	}
	c.write()
	c.starter = r
}

// settle sorts the marks by class and lets the starter take up those that it
// can: of each class only the first that is left.
func (c *composer) settle() {
	slices.Sort(c.marks)
	left, last := c.marks[:0], uint64(0)
	for _, m := range c.marks {
		if class := m >> 56; class != last {
			if both := pairOf(c.starter, rune(m&0xffffff)); both != none {
				c.starter = both
				continue
			}
			last = class
		}
		left = append(left, m)
	}
	c.marks = left
}

func (c *composer) write() {
	if c.starter != none {
		c.out.WriteRune(c.starter)
	}
	for _, m := range c.marks {
		c.out.WriteRune(rune(m & 0xffffff))
	}
	c.starter, c.marks = none, c.marks[:0]
}

// pairOf is the character that a and b compose to, or none.
func pairOf(a, b rune) rune {
	if a == none || unicode.Is(later, a) || unicode.Is(later, b) {
		return none
	}
	pair := string([]rune{a, b})
	joined := norm.NFC.String(pair)
	both, size := utf8.DecodeRuneInString(joined)
	if size != len(joined) || norm.NFD.String(joined) != norm.NFD.String(pair) {
		return none
	}
	return both
}

// later are the characters of class above 0, and of pairs that compose, which the
// library knows and the reference does not; to it they are like letters.
var later = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x07fd, 0x07fd, 1}, {0x0898, 0x089f, 1}, {0x08ca, 0x08d3, 1}, {0x09fe, 0x09fe, 1}, {0x0c3c, 0x0c3c, 1},
		{0x0d3b, 0x0d3c, 1}, {0x0eba, 0x0eba, 1}, {0x1715, 0x1715, 1}, {0x1abf, 0x1ace, 1}, {0x1df6, 0x1dfa, 1},
		{0xa82c, 0xa82c, 1},
	},
	R32: []unicode.Range32{
		{0x10d24, 0x10d27, 1}, {0x10eab, 0x10eac, 1}, {0x10efd, 0x10eff, 1}, {0x10f46, 0x10f50, 1},
		{0x10f82, 0x10f85, 1}, {0x11070, 0x11070, 1}, {0x1133b, 0x1133b, 1}, {0x1145e, 0x1145e, 1},
		{0x11839, 0x1183a, 1}, {0x11930, 0x11930, 1}, {0x11938, 0x11938, 1}, {0x1193d, 0x1193e, 1},
		{0x11943, 0x11943, 1}, {0x119e0, 0x119e0, 1}, {0x11a34, 0x11a34, 1}, {0x11a47, 0x11a47, 1},
		{0x11a99, 0x11a99, 1}, {0x11d42, 0x11d42, 1}, {0x11d44, 0x11d45, 1}, {0x11d97, 0x11d97, 1},
		{0x11f41, 0x11f42, 1}, {0x16ff0, 0x16ff1, 1}, {0x1e08f, 0x1e08f, 1}, {0x1e130, 0x1e136, 1},
		{0x1e2ae, 0x1e2ae, 1}, {0x1e2ec, 0x1e2ef, 1}, {0x1e4ec, 0x1e4ef, 1},
	},
}

func propertiesOf(r rune) norm.Properties {
	var b [utf8.UTFMax]byte
	return norm.NFC.Properties(b[:utf8.EncodeRune(b[:], r)])
}
