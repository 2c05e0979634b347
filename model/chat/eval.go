package chat

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// run is one rendering: what it has used up, and what it has written.
type run struct {
	date               time.Time
	steps, depth, line int
	loops              int // nested for statements
	out                builder
}

type scope struct {
	vars   map[string]value
	parent *scope
}

// lookup finds the variable in the scope or those around it, and says in how
// many it looked.
func (s *scope) lookup(name string) (v value, scopes int) {
	for ; s != nil; s = s.parent {
		scopes++
		if v, ok := s.vars[name]; ok {
			return v, scopes
		}
	}
	return undefined{name}, scopes
}

func (s *scope) inner() *scope { return &scope{map[string]value{}, s} }

var (
	errSteps = fmt.Errorf("template takes more than %d steps", MaxSteps)
	errDepth = fmt.Errorf("template nests deeper than %d", MaxDepth)
)

// charge takes n steps from the budget.
func (r *run) charge(n int) error {
	if r.steps += n; r.steps > MaxSteps {
		return errSteps
	}
	return nil
}

func (r *run) enter() error {
	if r.depth++; r.depth > MaxDepth {
		return errDepth
	}
	return nil
}

func (r *run) leave() { r.depth-- }

// expr is an expression; it is evaluated by run.eval, which keeps the limits.
type expr interface {
	eval(r *run, s *scope) (value, error)
}

func (r *run) eval(e expr, s *scope) (value, error) {
	defer r.leave()
	if err := r.enter(); err != nil {
		return nil, err
	}
	if err := r.charge(1); err != nil {
		return nil, err
	}
	return e.eval(r, s)
}

// evalOr evaluates an expression that may be missing.
func (r *run) evalOr(e expr, s *scope, otherwise value) (value, error) {
	if e == nil {
		return otherwise, nil
	}
	return r.eval(e, s)
}

type (
	constant struct{ v value }
	variable string
	listExpr struct{ items []expr }
	dictExpr struct{ keys, values []expr }
	negation struct{ e expr }
	binary   struct {
		op   string
		a, b expr
	}
	comparison struct {
		first expr
		ops   []string
		rest  []expr
	}
	choice    struct{ cond, then, otherwise expr }
	attribute struct {
		of   expr
		name string
	}
	index struct{ of, at expr }
	slice struct{ of, from, to, step expr }
	call  struct {
		f    expr
		args argExprs
	}
	filterExpr struct {
		in   expr
		name string
		args argExprs
	}
	testExpr filterExpr
	capture  struct{ body []stmt }
)

func (e constant) eval(*run, *scope) (value, error) { return e.v, nil }

func (e variable) eval(r *run, s *scope) (value, error) {
	v, scopes := s.lookup(string(e))
	return v, r.charge(scopes / 8)
}

func (e *listExpr) eval(r *run, s *scope) (value, error) {
	out := &list{make([]value, len(e.items))}
	for i, item := range e.items {
		var err error
		if out.items[i], err = r.eval(item, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *dictExpr) eval(r *run, s *scope) (value, error) {
	out := &dict{}
	for i := range e.keys {
		k, err := r.eval(e.keys[i], s)
		if err != nil {
			return nil, err
		}
		v, err := r.eval(e.values[i], s)
		if err != nil {
			return nil, err
		}
		key, ok := k.(text)
		if !ok {
			return nil, fmt.Errorf("a %s cannot be a key, only a string", typeName(k))
		}
		out.put(key, v)
	}
	return out, nil
}

func (e *negation) eval(r *run, s *scope) (value, error) {
	v, err := r.eval(e.e, s)
	return !truth(v), err
}

func (e *choice) eval(r *run, s *scope) (value, error) {
	v, err := r.eval(e.cond, s)
	if err != nil {
		return nil, err
	}
	if truth(v) {
		return r.eval(e.then, s)
	}
	return r.evalOr(e.otherwise, s, undefined{"inline if"})
}

func (e *binary) eval(r *run, s *scope) (value, error) {
	a, err := r.eval(e.a, s)
	if err != nil {
		return nil, err
	}
	if e.op == "and" && !truth(a) || e.op == "or" && truth(a) {
		return a, nil
	}
	b, err := r.eval(e.b, s)
	if err != nil || e.op == "and" || e.op == "or" {
		return b, err
	}
	return r.operate(e.op, a, b)
}

func (r *run) operate(op string, a, b value) (value, error) {
	if op == "~" {
		x, err := str(a)
		if err != nil {
			return nil, err
		}
		y, err := str(b)
		if err != nil {
			return nil, err
		}
		return r.concat(x, y)
	}
	x, isInt := number(a)
	y, areInts := number(b)
	if isInt && areInts {
		return arithmetic(op, x, y)
	}
	switch {
	case op == "*" && areInts:
		return r.repeat(a, y)
	case op == "*" && isInt:
		return r.repeat(b, x)
	case op == "+":
		switch x := a.(type) {
		case text:
			if y, ok := b.(text); ok {
				return r.concat(x, y)
			}
		case *list:
			if y, ok := b.(*list); ok {
				return &list{slices.Concat(x.items, y.items)}, r.charge((len(x.items) + len(y.items)) / 4)
			}
		}
	}
	return nil, fmt.Errorf("%s %s %s is not defined", typeName(a), op, typeName(b))
}

func (e *comparison) eval(r *run, s *scope) (value, error) {
	a, err := r.eval(e.first, s)
	if err != nil {
		return nil, err
	}
	for i, op := range e.ops {
		b, err := r.eval(e.rest[i], s)
		if err != nil {
			return nil, err
		}
		if yes, err := r.compare(op, a, b); err != nil || !yes {
			return false, err
		}
		a = b
	}
	return true, nil
}

func (r *run) compare(op string, a, b value) (bool, error) {
	switch op {
	case "==":
		return r.equal(a, b)
	case "!=":
		same, err := r.equal(a, b)
		return !same, err
	case "in":
		return r.contains(b, a)
	case "not in":
		has, err := r.contains(b, a)
		return !has, err
	}
	order, err := r.order(a, b)
	if err != nil {
		return false, err
	}
	switch op {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	}
	return order >= 0, nil
}

// order is negative, zero or positive as a is before, at or after b.
func (r *run) order(a, b value) (int, error) {
	x, isInt := number(a)
	y, areInts := number(b)
	if isInt && areInts {
		switch {
		case x < y:
			return -1, nil
		case x > y:
			return 1, nil
		}
		return 0, nil
	}
	s, isText := a.(text)
	t, areTexts := b.(text)
	if !isText || !areTexts {
		return 0, fmt.Errorf("a %s has no order with a %s", typeName(a), typeName(b))
	}
	switch {
	case s.s < t.s:
		return -1, r.charge(len(s.s) / 64)
	case s.s > t.s:
		return 1, r.charge(len(s.s) / 64)
	}
	return 0, nil
}

func (e *attribute) eval(r *run, s *scope) (value, error) {
	v, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	return r.attribute(v, e.name)
}

func (r *run) attribute(v value, name string) (value, error) {
	switch v := v.(type) {
	case undefined:
		return nil, fmt.Errorf("%q is undefined", v.name)
	case *loop:
		return v.attribute(name), nil
	case *namespace:
		if x, ok := v.vars[name]; ok {
			return x, nil
		}
	case *dict:
		if m, ok := dictMethods[name]; ok {
			return m.bind(v), nil
		}
		if x, ok := v.vals[name]; ok {
			return x, nil
		}
	case text:
		if m, ok := textMethods[name]; ok {
			return m.bind(v), nil
		}
	}
	return undefined{name}, nil
}

func (e *index) eval(r *run, s *scope) (value, error) {
	v, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	at, err := r.eval(e.at, s)
	if err != nil {
		return nil, err
	}
	if u, ok := v.(undefined); ok {
		return nil, fmt.Errorf("%q is undefined", u.name)
	}
	if key, ok := at.(text); ok {
		if d, ok := v.(*dict); ok {
			if x, ok := d.vals[key.s]; ok {
				return x, nil
			}
		}
		return r.attribute(v, key.s)
	}
	i, ok := number(at)
	if !ok {
		return undefined{typeName(at)}, nil
	}
	switch v := v.(type) {
	case *list:
		n := int64(len(v.items))
		if i < 0 {
			i += n
		}
		if 0 <= i && i < n {
			return v.items[i], nil
		}
	case text:
		n := int64(utf8.RuneCountInString(v.s))
		if i < 0 {
			i += n
		}
		if 0 <= i && i < n {
			from := byteAt(v.s, int(i))
			return v.cut(from, from+byteAt(v.s[from:], 1)), r.charge(len(v.s) / 64)
		}
	}
	return undefined{fmt.Sprint("index ", i)}, nil
}

// byteAt is where character n of s begins; n is at most their number.
func byteAt(s string, n int) int {
	at := 0
	for ; n > 0; n-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at
}

func (e *slice) eval(r *run, s *scope) (value, error) {
	v, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	var part [3]value
	for i, p := range [3]expr{e.from, e.to, e.step} {
		if part[i], err = r.evalOr(p, s, nil); err != nil {
			return nil, err
		}
	}
	n, err := r.length(v)
	if err != nil {
		return nil, err
	}
	from, to, step, err := bounds(part, n)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case text:
		if err := r.charge(len(v.s) / 16); err != nil {
			return nil, err
		}
		if step == 1 {
			a := byteAt(v.s, from)
			return v.cut(a, a+byteAt(v.s[a:], max(to-from, 0))), nil
		}
		var chars []rune
		all := []rune(v.s)
		for ; step > 0 && from < to || step < 0 && from > to; from += step {
			chars = append(chars, all[from])
		}
		return v.like(string(chars)), nil
	case *list:
		if err := r.charge(n / 4); err != nil {
			return nil, err
		}
		out := &list{}
		for ; step > 0 && from < to || step < 0 && from > to; from += step {
			out.items = append(out.items, v.items[from])
		}
		return out, nil
	}
	return nil, fmt.Errorf("a %s cannot be sliced", typeName(v))
}

// bounds resolves slice bounds over n items as Python does.
func bounds(part [3]value, n int) (from, to, step int, err error) {
	get := func(v value, otherwise, low, high int) int {
		if v == nil {
			return otherwise
		}
		i, ok := number(v)
		if !ok {
			err = fmt.Errorf("a slice bound is a %s, not an integer", typeName(v))
		}
		if i < 0 {
			i += int64(n)
		}
		return int(max(int64(low), min(int64(high), i)))
	}
	step = 1
	if part[2] != nil {
		k, ok := number(part[2])
		if !ok || k == 0 {
			return 0, 0, 0, errors.New("a slice step is not an integer other than 0")
		}
		step = int(max(-int64(n)-1, min(int64(n)+1, k)))
	}
	if step > 0 {
		return get(part[0], 0, 0, n), get(part[1], n, 0, n), step, err
	}
	return get(part[0], n-1, -1, n-1), get(part[1], -1, -1, n-1), step, err
}

func (e *call) eval(r *run, s *scope) (value, error) {
	v, err := r.eval(e.f, s)
	if err != nil {
		return nil, err
	}
	f, ok := v.(function)
	if !ok {
		return nil, fmt.Errorf("a %s cannot be called", typeName(v))
	}
	a, err := e.args.eval(r, s)
	if err != nil {
		return nil, err
	}
	return f(r, a)
}

func (e *filterExpr) eval(r *run, s *scope) (value, error) {
	v, err := r.eval(e.in, s)
	if err != nil {
		return nil, err
	}
	a, err := e.args.eval(r, s)
	if err != nil {
		return nil, err
	}
	return filters[e.name].call(r, v, a)
}

func (e *testExpr) eval(r *run, s *scope) (value, error) {
	v, err := r.eval(e.in, s)
	if err != nil {
		return nil, err
	}
	a, err := e.args.eval(r, s)
	if err != nil {
		return nil, err
	}
	return r.test(e.name, v, a)
}

// eval renders the body into a string of its own.
func (e *capture) eval(r *run, s *scope) (value, error) {
	outer := r.out
	r.out = builder{}
	_, err := r.execAll(e.body, s.inner())
	out := r.out.text()
	r.out = outer
	return out, err
}
