package cli

import (
	"io"
	"strings"
	"unicode"
)

// plain drops what could command a terminal: control characters other than
// newline and tab, and those that reorder or break lines of text.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), unicode.In(r, unicode.Zl, unicode.Zp):
			return -1
		}
		return r
	}, s)
}

// line is text of others, plain and in one line: it can't pass for a line of
// this program's own.
func line(s string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(plain(s))
}

// screen is a terminal that gets plain text alone. Each write is whole text.
type screen struct{ io.Writer }

func (s screen) Write(p []byte) (int, error) {
	if _, err := io.WriteString(s.Writer, plain(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
