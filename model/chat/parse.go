package chat

import (
	"fmt"
	"slices"
)

// parser is a recursive descent over the tokens, in Jinja2's order of
// precedence: inline if, or, and, not, comparison, + −, ~, * // %, sign, then
// postfix, filters and tests.
type parser struct {
	tokens []tok
	at     int
	depth  int
}

func (p *parser) peek() tok { return p.peekAt(0) }

func (p *parser) peekAt(n int) tok { return p.tokens[min(p.at+n, len(p.tokens)-1)] }

func (p *parser) next() tok {
	t := p.peek()
	p.at++
	return t
}

func (p *parser) fail(format string, a ...any) error {
	return fmt.Errorf("line %d: %s", p.peek().line, fmt.Sprintf(format, a...))
}

// op takes the operator if it is next.
func (p *parser) op(s string) bool {
	if t := p.peek(); t.kind == tokOp && t.text == s {
		p.at++
		return true
	}
	return false
}

// word takes the name if it is next.
func (p *parser) word(s string) bool {
	if t := p.peek(); t.kind == tokName && t.text == s {
		p.at++
		return true
	}
	return false
}

func (p *parser) needOp(s string) error {
	if !p.op(s) {
		return p.fail("expected %q, found %q", s, p.peek().text)
	}
	return nil
}

func (p *parser) name() (string, error) {
	if t := p.next(); t.kind == tokName && !slices.Contains(keywords, t.text) {
		return t.text, nil
	}
	p.at--
	return "", p.fail("expected a name, found %q", p.peek().text)
}

var keywords = []string{"and", "or", "not", "if", "else", "elif", "in", "is"}

func (p *parser) needEnd() error {
	if t := p.next(); t.kind != tokBlockEnd {
		p.at--
		return p.fail("unexpected %q in a tag", t.text)
	}
	return nil
}

// enter bounds the recursion; the caller defers p.leave.
func (p *parser) enter() error {
	if p.depth++; p.depth > MaxDepth {
		return p.fail("nested deeper than %d", MaxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// block reads statements up to the end or to a tag that it does not know, whose
// name is then at peekAt(1).
func (p *parser) block() ([]stmt, error) {
	defer p.leave()
	if err := p.enter(); err != nil {
		return nil, err
	}
	var out []stmt
	for {
		t := p.peek()
		switch t.kind {
		case tokData:
			p.at++
			out = append(out, &output{t.line, constant{literal(t.text)}})
		case tokPrint:
			p.at++
			e, err := p.expr()
			if err != nil {
				return nil, err
			}
			if p.next().kind != tokPrintEnd {
				p.at--
				return nil, p.fail("expected }}, found %q", p.peek().text)
			}
			out = append(out, &output{t.line, e})
		case tokBlock:
			parse := statements[p.peekAt(1).text]
			if parse == nil {
				return out, nil
			}
			p.at += 2
			s, err := parse(p, t.line)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		default:
			return out, nil
		}
	}
}

// blockUntil reads a block and the tag after it, which must be one of names.
func (p *parser) blockUntil(names ...string) ([]stmt, string, error) {
	body, err := p.block()
	if err != nil {
		return nil, "", err
	}
	t := p.peekAt(1)
	if p.peek().kind != tokBlock || t.kind != tokName || !slices.Contains(names, t.text) {
		if p.peek().kind == tokBlock {
			return nil, "", p.fail("unexpected tag %q, expected %v", t.text, names)
		}
		return nil, "", p.fail("template ends before %v", names)
	}
	p.at += 2
	return body, t.text, nil
}

// endBlock reads a block, its closing tag and the end of that.
func (p *parser) endBlock(name string) ([]stmt, error) {
	body, _, err := p.blockUntil(name)
	if err != nil {
		return nil, err
	}
	return body, p.needEnd()
}

var statements map[string]func(*parser, int) (stmt, error)

func init() {
	statements = map[string]func(*parser, int) (stmt, error){
		"if": (*parser).ifStmt, "for": (*parser).forStmt, "set": (*parser).setStmt, "macro": (*parser).macroStmt,
		"generation": func(p *parser, line int) (stmt, error) {
			if err := p.needEnd(); err != nil {
				return nil, err
			}
			body, err := p.endBlock("endgeneration")
			return &plainBlock{body}, err
		},
		"break":    func(p *parser, line int) (stmt, error) { return jump(breakLoop), p.needEnd() },
		"continue": func(p *parser, line int) (stmt, error) { return jump(continueLoop), p.needEnd() },
	}
}

func (p *parser) ifStmt(line int) (stmt, error) {
	s := &ifStmt{line: line}
	for {
		cond, err := p.expr()
		if err != nil {
			return nil, err
		}
		if err := p.needEnd(); err != nil {
			return nil, err
		}
		body, tag, err := p.blockUntil("elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		s.conds, s.bodies = append(s.conds, cond), append(s.bodies, body)
		if tag == "elif" {
			continue
		}
		if err := p.needEnd(); err != nil {
			return nil, err
		}
		if tag == "else" {
			s.otherwise, err = p.endBlock("endif")
		}
		return s, err
	}
}

func (p *parser) forStmt(line int) (stmt, error) {
	s := &forStmt{line: line}
	var err error
	if s.targets, err = p.names(); err != nil {
		return nil, err
	}
	if !p.word("in") {
		return nil, p.fail("expected in, found %q", p.peek().text)
	}
	if s.over, err = p.or(); err != nil {
		return nil, err
	}
	if p.word("if") {
		if s.filter, err = p.expr(); err != nil {
			return nil, err
		}
	}
	if err := p.needEnd(); err != nil {
		return nil, err
	}
	var tag string
	if s.body, tag, err = p.blockUntil("else", "endfor"); err != nil {
		return nil, err
	}
	if err := p.needEnd(); err != nil {
		return nil, err
	}
	if tag == "else" {
		s.otherwise, err = p.endBlock("endfor")
	}
	return s, err
}

// names reads one or more names with commas between.
func (p *parser) names() ([]string, error) {
	var out []string
	for {
		n, err := p.name()
		if err != nil {
			return nil, err
		}
		if out = append(out, n); !p.op(",") {
			return out, nil
		}
	}
}

func (p *parser) setStmt(line int) (stmt, error) {
	s := &setStmt{line: line}
	var err error
	if s.targets, err = p.names(); err != nil {
		return nil, err
	}
	if len(s.targets) == 1 && p.op(".") {
		if s.field, err = p.name(); err != nil {
			return nil, err
		}
	}
	if p.op("=") {
		if s.value, err = p.expr(); err != nil {
			return nil, err
		}
		return s, p.needEnd()
	}
	if len(s.targets) > 1 {
		return nil, p.fail("expected =, found %q", p.peek().text)
	}
	if err := p.needEnd(); err != nil {
		return nil, err
	}
	body, err := p.endBlock("endset")
	s.value = &capture{body}
	return s, err
}

func (p *parser) macroStmt(line int) (stmt, error) {
	m := &macro{}
	var err error
	if m.name, err = p.name(); err != nil {
		return nil, err
	}
	if err := p.needOp("("); err != nil {
		return nil, err
	}
	for !p.op(")") {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		var preset expr
		if p.op("=") {
			if preset, err = p.expr(); err != nil {
				return nil, err
			}
		} else if n := len(m.presets); n > 0 && m.presets[n-1] != nil {
			return nil, p.fail("parameter %q needs a default", name)
		}
		m.params, m.presets = append(m.params, name), append(m.presets, preset)
		if !p.op(",") && p.peek().text != ")" {
			return nil, p.fail("expected a comma, found %q", p.peek().text)
		}
	}
	if err := p.needEnd(); err != nil {
		return nil, err
	}
	m.body, err = p.endBlock("endmacro")
	return m, err
}
