package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/pflag"
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

// forms are what values of flags must look like, by the flag library's names of types.
var forms = map[string]string{"int": "a whole number", "int64": "a whole number", "uint64": "a whole number, 0 or above",
	"float64": "a number", "duration": "a time such as 90s, 5m or 24h", "bool": "true or false"}

// plainFlag says what is wrong with a flag's value without the words of the library
// that reads it.
func plainFlag(err error) error {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err
	}
	form, ok := forms[bad.GetFlag().Value.Type()]
	switch {
	case !ok:
		return err
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("--%s %q is too large or too small", bad.GetFlag().Name, bad.GetValue())
	}
	return fmt.Errorf("--%s %q is not %s", bad.GetFlag().Name, bad.GetValue(), form)
}

// screen is a terminal that gets plain text alone. Each write is whole text.
type screen struct{ io.Writer }

func (s screen) Write(p []byte) (int, error) {
	if _, err := io.WriteString(s.Writer, plain(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
