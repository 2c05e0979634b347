package chat

import "strings"

// text is a string that knows which of its bytes are untrusted.
type text struct {
	s     string
	marks []mark // untrusted stretches: in order, not empty, not touching
}

type mark struct{ from, to int }

func literal(s string) text { return text{s: s} }

func untrusted(s string) text {
	if s == "" {
		return text{}
	}
	return text{s, []mark{{0, len(s)}}}
}

// like is s made from t and others in a way that loses track of bytes: it is
// untrusted as a whole if any of them is in part.
func (t text) like(s string, others ...text) text {
	for _, o := range append(others, t) {
		if len(o.marks) > 0 {
			return untrusted(s)
		}
	}
	return literal(s)
}

// cut is t[from:to] in bytes.
func (t text) cut(from, to int) text {
	out := text{s: t.s[from:to]}
	for _, m := range t.marks {
		if a, b := max(m.from, from), min(m.to, to); a < b {
			out.marks = append(out.marks, mark{a - from, b - from})
		}
	}
	return out
}

func (t text) trimLeft(drop func(rune) bool) text {
	return t.cut(len(t.s)-len(strings.TrimLeftFunc(t.s, drop)), len(t.s))
}

func (t text) trimRight(drop func(rune) bool) text {
	return t.cut(0, len(strings.TrimRightFunc(t.s, drop)))
}

// builder joins texts.
type builder struct {
	b     strings.Builder
	marks []mark
}

func (b *builder) add(t text) {
	at := b.b.Len()
	for _, m := range t.marks {
		if n := len(b.marks); n > 0 && b.marks[n-1].to == at+m.from {
			b.marks[n-1].to = at + m.to
			continue
		}
		b.marks = append(b.marks, mark{at + m.from, at + m.to})
	}
	b.b.WriteString(t.s)
}

func (b *builder) text() text { return text{b.b.String(), b.marks} }

func (b *builder) segments() []Segment {
	var out []Segment
	s, at := b.b.String(), 0
	put := func(to int, trusted bool) {
		if at < to {
			out = append(out, Segment{Text: s[at:to], Trusted: trusted})
			at = to
		}
	}
	for _, m := range b.marks {
		put(m.from, true)
		put(m.to, false)
	}
	put(len(s), true)
	return out
}

// isSpace is white space as Python sees it.
func isSpace(c rune) bool {
	switch {
	case '\t' <= c && c <= '\r', 0x1c <= c && c <= ' ', c == 0x85, c == 0xa0, c == 0x1680,
		0x2000 <= c && c <= 0x200a, c == 0x2028, c == 0x2029, c == 0x202f, c == 0x205f, c == 0x3000:
		return true
	}
	return false
}
