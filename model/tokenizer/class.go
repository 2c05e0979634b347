package tokenizer

import "unicode"

type class int

const (
	letter class = iota // \p{L}
	number              // \p{N}
	space               // \s
	other
	end // of the text
)

// classOf is the class of c in Unicode 16, which the reference's regular
// expressions use. Go's tables are of Unicode 15; a test holds the hash of all
// classes, so that newer tables are noticed.
func classOf(c rune) class {
	if c < 0x80 {
		return classOfASCII(c)
	}
	switch {
	case unicode.IsLetter(c) || unicode.Is(letters16, c):
		return letter
	case unicode.IsNumber(c) || unicode.Is(numbers16, c):
		return number
	case unicode.IsSpace(c):
		return space
	}
	return other
}

func classOfASCII(c rune) class {
	switch {
	case 'a' <= c|0x20 && c|0x20 <= 'z':
		return letter
	case '0' <= c && c <= '9':
		return number
	case c == ' ' || '\t' <= c && c <= '\r':
		return space
	}
	return other
}

// standsAlone says whether the digits rule isolates c; the reference looks this
// up in Unicode 17.
func standsAlone(c rune) bool {
	return classOf(c) == number || unicode.Is(numbers17, c)
}

// letters16 and numbers16 are the letters and numbers that Unicode 15.1 and 16
// added, numbers17 the numbers that Unicode 17 added.
var (
	letters16 = &unicode.RangeTable{
		R16: []unicode.Range16{{0x1c89, 0x1c8a, 1}, {0xa7cb, 0xa7cd, 1}, {0xa7da, 0xa7dc, 1}},
		R32: []unicode.Range32{
			{0x105c0, 0x105f3, 1}, {0x10d4a, 0x10d65, 1}, {0x10d6f, 0x10d85, 1}, {0x10ec2, 0x10ec4, 1},
			{0x11380, 0x11389, 1}, {0x1138b, 0x1138e, 3}, {0x11390, 0x113b5, 1}, {0x113b7, 0x113b7, 1},
			{0x113d1, 0x113d3, 2}, {0x11bc0, 0x11be0, 1}, {0x13460, 0x143fa, 1}, {0x16100, 0x1611d, 1},
			{0x16d40, 0x16d6c, 1}, {0x18cff, 0x18cff, 1}, {0x1e5d0, 0x1e5ed, 1}, {0x1e5f0, 0x1e5f0, 1},
			{0x2ebf0, 0x2ee5d, 1},
		},
	}
	numbers16 = &unicode.RangeTable{R32: []unicode.Range32{
		{0x10d40, 0x10d49, 1}, {0x116d0, 0x116e3, 1}, {0x11bf0, 0x11bf9, 1}, {0x16130, 0x16139, 1},
		{0x16d70, 0x16d79, 1}, {0x1ccf0, 0x1ccf9, 1}, {0x1e5f1, 0x1e5fa, 1},
	}}
	numbers17 = &unicode.RangeTable{R32: []unicode.Range32{{0x11de0, 0x11de9, 1}, {0x16ff4, 0x16ff6, 1}}}
)
