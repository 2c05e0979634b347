package chat

import (
	"slices"
	"strconv"
)

// expr reads an expression with inline if.
func (p *parser) expr() (expr, error) {
	defer p.leave()
	if err := p.enter(); err != nil {
		return nil, err
	}
	e, err := p.or()
	for err == nil && p.word("if") {
		c := &choice{then: e}
		if c.cond, err = p.or(); err != nil {
			return nil, err
		}
		if p.word("else") {
			if c.otherwise, err = p.expr(); err != nil {
				return nil, err
			}
		}
		e = c
	}
	return e, err
}

// left reads operands of the next precedence with left-associative operators.
func (p *parser) left(operand func() (expr, error), take func() string) (expr, error) {
	e, err := operand()
	for err == nil {
		op := take()
		if op == "" {
			return e, nil
		}
		b := &binary{op: op, a: e}
		b.b, err = operand()
		e = b
	}
	return nil, err
}

// oneOf takes one of the operators, or "".
func (p *parser) oneOf(ops ...string) func() string {
	return func() string {
		for _, op := range ops {
			if p.op(op) {
				return op
			}
		}
		return ""
	}
}

func (p *parser) or() (expr, error) {
	return p.left(p.and, func() string { return p.wordOf("or") })
}

func (p *parser) and() (expr, error) {
	return p.left(p.not, func() string { return p.wordOf("and") })
}

func (p *parser) wordOf(s string) string {
	if p.word(s) {
		return s
	}
	return ""
}

func (p *parser) not() (expr, error) {
	if !p.word("not") {
		return p.compare()
	}
	defer p.leave()
	if err := p.enter(); err != nil {
		return nil, err
	}
	e, err := p.not()
	return &negation{e}, err
}

// compare reads a chain a < b < c as (a < b) and (b < c).
func (p *parser) compare() (expr, error) {
	e, err := p.sum()
	if err != nil {
		return nil, err
	}
	c := &comparison{first: e}
	take := p.oneOf("==", "!=", "<=", ">=", "<", ">")
	for {
		op := take()
		if op == "" && p.word("in") {
			op = "in"
		}
		if t := p.peekAt(1); op == "" && p.peek().text == "not" && p.peek().kind == tokName && t.kind == tokName && t.text == "in" {
			p.at += 2
			op = "not in"
		}
		if op == "" {
			break
		}
		b, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, b)
	}
	if len(c.ops) == 0 {
		return e, nil
	}
	return c, nil
}

func (p *parser) sum() (expr, error)    { return p.left(p.concat, p.oneOf("+", "-")) }
func (p *parser) concat() (expr, error) { return p.left(p.product, p.oneOf("~")) }
func (p *parser) product() (expr, error) {
	return p.left(func() (expr, error) { return p.unary(true) }, p.oneOf("*", "//", "%"))
}

func (p *parser) unary(filters bool) (expr, error) {
	defer p.leave()
	if err := p.enter(); err != nil {
		return nil, err
	}
	var e expr
	var err error
	switch {
	case p.op("-"):
		if e, err = p.unary(false); err == nil {
			e = &binary{"-", constant{int64(0)}, e}
		}
	case p.op("+"):
		e, err = p.unary(false)
	default:
		if e, err = p.primary(); err == nil {
			e, err = p.postfix(e)
		}
	}
	if err == nil && filters {
		e, err = p.filters(e)
	}
	return e, err
}

func (p *parser) primary() (expr, error) {
	t := p.next()
	switch {
	case t.kind == tokInt:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return nil, p.fail("number %.32s is too large", t.text)
		}
		return constant{n}, nil
	case t.kind == tokString:
		s := t.text
		for p.peek().kind == tokString {
			s += p.next().text
		}
		return constant{literal(s)}, nil
	case t.kind == tokName:
		if v, ok := constants[t.text]; ok {
			return constant{v}, nil
		}
		p.at--
		n, err := p.name()
		return variable(n), err
	case t.kind == tokOp && t.text == "(":
		return p.parens()
	case t.kind == tokOp && t.text == "[":
		items, _, err := p.items("]")
		return &listExpr{items}, err
	case t.kind == tokOp && t.text == "{":
		return p.dict()
	}
	p.at--
	return nil, p.fail("expected an expression, found %q", t.text)
}

var constants = map[string]value{"true": true, "True": true, "false": false, "False": false, "none": nil, "None": nil}

// parens reads what follows an opening parenthesis; a tuple is a list here.
func (p *parser) parens() (expr, error) {
	items, comma, err := p.items(")")
	if err != nil {
		return nil, err
	}
	if len(items) == 1 && !comma {
		return items[0], nil
	}
	return &listExpr{items}, nil
}

// items reads expressions with commas between, up to the end mark.
func (p *parser) items(end string) (out []expr, comma bool, err error) {
	for !p.op(end) {
		e, err := p.expr()
		if err != nil {
			return nil, false, err
		}
		out = append(out, e)
		if comma = p.op(","); !comma {
			return out, len(out) > 1, p.needOp(end)
		}
	}
	return out, comma, nil
}

func (p *parser) dict() (expr, error) {
	d := &dictExpr{}
	for !p.op("}") {
		k, err := p.expr()
		if err != nil {
			return nil, err
		}
		if err := p.needOp(":"); err != nil {
			return nil, err
		}
		v, err := p.expr()
		if err != nil {
			return nil, err
		}
		d.keys, d.values = append(d.keys, k), append(d.values, v)
		if !p.op(",") && p.peek().text != "}" {
			return nil, p.fail("expected a comma, found %q", p.peek().text)
		}
	}
	return d, nil
}

func (p *parser) postfix(e expr) (expr, error) {
	for {
		var err error
		switch {
		case p.op("."):
			t := p.next()
			if t.kind == tokInt {
				n, err := strconv.ParseInt(t.text, 10, 64)
				if err != nil {
					return nil, p.fail("number %.32s is too large", t.text)
				}
				e = &index{e, constant{n}}
				continue
			}
			if t.kind != tokName {
				p.at--
				return nil, p.fail("expected a name after the dot, found %q", t.text)
			}
			e = &attribute{e, t.text}
		case p.op("["):
			e, err = p.subscript(e)
		case p.op("("):
			c := &call{f: e}
			c.args, err = p.args()
			e = c
		default:
			return e, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) subscript(of expr) (expr, error) {
	var part [3]expr
	n := 0
	for ; n < 3; n++ {
		if t := p.peek(); t.kind != tokOp || t.text != ":" && t.text != "]" {
			e, err := p.expr()
			if err != nil {
				return nil, err
			}
			part[n] = e
		}
		if !p.op(":") {
			break
		}
	}
	if n == 0 && part[0] != nil {
		return &index{of, part[0]}, p.needOp("]")
	}
	return &slice{of, part[0], part[1], part[2]}, p.needOp("]")
}

// args reads call arguments after the opening parenthesis.
func (p *parser) args() (argExprs, error) {
	var a argExprs
	for !p.op(")") {
		if t := p.peekAt(1); p.peek().kind == tokName && t.kind == tokOp && t.text == "=" {
			a.names = append(a.names, p.next().text)
			p.at++
		} else if len(a.names) > 0 {
			return a, p.fail("positional argument after a named one")
		}
		e, err := p.expr()
		if err != nil {
			return a, err
		}
		a.values = append(a.values, e)
		if !p.op(",") && p.peek().text != ")" {
			return a, p.fail("expected a comma, found %q", p.peek().text)
		}
	}
	return a, nil
}

// filters reads any number of |filter and is-test after an operand.
func (p *parser) filters(e expr) (expr, error) {
	for {
		switch {
		case p.op("|"):
			name, err := p.name()
			if err != nil {
				return nil, err
			}
			f := &filterExpr{in: e, name: name}
			if filters[name].f == nil {
				return nil, p.fail("filter %q is not supported", name)
			}
			if p.op("(") {
				if f.args, err = p.args(); err != nil {
					return nil, err
				}
			}
			e = f
		case p.word("is"):
			t, err := p.test(e)
			if err != nil {
				return nil, err
			}
			e = t
		default:
			return e, nil
		}
	}
}

func (p *parser) test(in expr) (expr, error) {
	negate := p.word("not")
	t := p.next()
	if _, ok := tests[t.text]; !ok || t.kind != tokName {
		p.at--
		return nil, p.fail("test %q is not supported", t.text)
	}
	e := &testExpr{in: in, name: t.text}
	var err error
	next := p.peek()
	switch {
	case p.op("("):
		e.args, err = p.args()
	case next.kind == tokString, next.kind == tokInt,
		next.kind == tokName && !slices.Contains(keywords, next.text),
		next.kind == tokOp && (next.text == "[" || next.text == "{"):
		var arg expr
		if arg, err = p.primary(); err == nil {
			arg, err = p.postfix(arg)
		}
		e.args.values = []expr{arg}
	}
	if err != nil {
		return nil, err
	}
	if negate {
		return &negation{e}, nil
	}
	return e, nil
}
