package chat

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

type kind int

const (
	tokEOF kind = iota
	tokData
	tokName
	tokString
	tokInt
	tokOp
	tokBlock    // {%
	tokBlockEnd // %}
	tokPrint    // {{
	tokPrintEnd // }}
)

type tok struct {
	kind kind
	text string // value of data and strings, spelling of the others
	line int
}

// lexer cuts a template into tokens and applies the white-space rules.
type lexer struct {
	src       string
	pos, line int
	lineStart bool // nothing but a tag that ended its line comes before pos
	out       []tok
}

func lex(src string) ([]tok, error) {
	src = strings.ReplaceAll(src, "\r\n", "\n")
	src = strings.ReplaceAll(src, "\r", "\n")
	l := &lexer{src: strings.TrimSuffix(src, "\n"), line: 1, lineStart: true}
	for l.pos < len(l.src) {
		if err := l.next(); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.line, err)
		}
	}
	l.emit(tokEOF, "")
	return l.out, nil
}

func (l *lexer) emit(k kind, s string) { l.out = append(l.out, tok{k, s, l.line}) }

// skip moves n bytes on and counts lines.
func (l *lexer) skip(n int) {
	l.line += strings.Count(l.src[l.pos:l.pos+n], "\n")
	l.pos += n
}

// next handles the data up to the next tag, and the tag.
func (l *lexer) next() error {
	rest := l.src[l.pos:]
	at := 0
	for at = range len(rest) {
		if rest[at] == '{' && at+1 < len(rest) && strings.IndexByte("{%#", rest[at+1]) >= 0 {
			break
		}
	}
	if at == len(rest)-1 {
		l.emit(tokData, rest)
		l.skip(len(rest))
		return nil
	}
	open, data, sign := rest[at+1], rest[:at], byte(0)
	if at+2 < len(rest) {
		sign = rest[at+2]
	}
	if sign == '-' {
		data = strings.TrimRightFunc(data, isSpace)
	} else if sign != '+' && open != '{' {
		line := strings.LastIndexByte(data, '\n') + 1
		if (line > 0 || l.lineStart) && strings.TrimLeftFunc(data[line:], isSpace) == "" {
			data = data[:line]
		}
	}
	if data != "" {
		l.emit(tokData, data)
	}
	l.skip(at + 2)
	if sign == '-' || sign == '+' {
		l.skip(1)
	}
	switch open {
	case '#':
		end := strings.Index(l.src[l.pos:], "#}")
		if end < 0 {
			return fmt.Errorf("comment is not closed")
		}
		if end > 0 && strings.IndexByte("-+", l.src[l.pos+end-1]) >= 0 {
			end--
		}
		l.skip(end)
		l.close("#}", true)
		return nil
	case '%':
		l.emit(tokBlock, "{%")
		return l.inside("%}", tokBlockEnd)
	}
	l.emit(tokPrint, "{{")
	return l.inside("}}", tokPrintEnd)
}

// close skips an end mark with its sign, and the white space that it eats.
func (l *lexer) close(mark string, trim bool) bool {
	rest := l.src[l.pos:]
	n := 0
	switch {
	case strings.HasPrefix(rest, "-"+mark):
		n = len(rest) - len(strings.TrimLeftFunc(rest[len(mark)+1:], isSpace))
	case trim && strings.HasPrefix(rest, "+"+mark):
		n = len(mark) + 1
	case strings.HasPrefix(rest, mark):
		if n = len(mark); trim && strings.HasPrefix(rest[n:], "\n") {
			n++
		}
	default:
		return false
	}
	l.lineStart = rest[n-1] == '\n'
	l.skip(n)
	return true
}

var operators = []string{"==", "!=", "<=", ">=", "//", "**", "+", "-", "*", "/", "%", "~", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", "=", "<", ">"}

// inside reads the tokens of a tag up to its end mark, which does not count
// within brackets.
func (l *lexer) inside(mark string, end kind) error {
	depth := 0
	for {
		rest := l.src[l.pos:]
		if rest == "" {
			return fmt.Errorf("tag is not closed")
		}
		if depth == 0 {
			if line := l.line; l.close(mark, end == tokBlockEnd) {
				l.out = append(l.out, tok{end, mark, line})
				return nil
			}
		}
		c, size := utf8.DecodeRuneInString(rest)
		switch {
		case isSpace(c):
			l.skip(size)
		case c == '\'' || c == '"':
			s, n, err := unquote(rest)
			if err != nil {
				return err
			}
			l.emit(tokString, s)
			l.skip(n)
		case isDigit(rest[0]):
			n := prefix(rest, func(b byte) bool { return isDigit(b) })
			if n+1 < len(rest) && rest[n] == '.' && isDigit(rest[n+1]) {
				return fmt.Errorf("floating-point numbers are not supported")
			}
			l.emit(tokInt, rest[:n])
			l.skip(n)
		case isNameByte(rest[0]):
			n := prefix(rest, func(b byte) bool { return isNameByte(b) || isDigit(b) })
			l.emit(tokName, rest[:n])
			l.skip(n)
		default:
			op := operator(rest)
			if op == "" {
				return fmt.Errorf("unexpected character %q", c)
			}
			switch op {
			case "(", "[", "{":
				depth++
			case ")", "]", "}":
				depth--
			}
			l.emit(tokOp, op)
			l.skip(len(op))
		}
	}
}

func operator(s string) string {
	for _, op := range operators {
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	return ""
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isNameByte(b byte) bool { return b == '_' || 'a' <= b|0x20 && b|0x20 <= 'z' }

func prefix(s string, ok func(byte) bool) int {
	n := 0
	for n < len(s) && ok(s[n]) {
		n++
	}
	return n
}

// unquote reads a string literal with Python's escapes at the start of s and
// gives its value and length.
func unquote(s string) (string, int, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return b.String(), i + 1, nil
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		default:
			i++
			n, err := unescape(&b, s[i:])
			if err != nil {
				return "", 0, err
			}
			i += n
		}
	}
	return "", 0, fmt.Errorf("string is not closed")
}

// unescape writes what the escape at s (after the backslash) means, and gives
// the bytes it has beyond its first.
func unescape(b *strings.Builder, s string) (int, error) {
	if i := strings.IndexByte("ntrbfav\\'\"", s[0]); i >= 0 {
		b.WriteByte("\n\t\r\b\f\a\v\\'\""[i])
		return 0, nil
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[0]]
	switch {
	case s[0] == '\n':
		return 0, nil
	case '0' <= s[0] && s[0] <= '7':
		return 0, fmt.Errorf("octal escapes are not supported")
	case digits == 0:
		b.WriteByte('\\')
		b.WriteByte(s[0])
		return 0, nil
	case len(s) <= digits:
		return 0, fmt.Errorf("escape is cut short")
	}
	c, err := strconv.ParseUint(s[1:1+digits], 16, 32)
	if err != nil || !utf8.ValidRune(rune(c)) || c > utf8.MaxRune {
		return 0, fmt.Errorf("escape \\%s is no character", s[:1+digits])
	}
	b.WriteRune(rune(c))
	return digits, nil
}
