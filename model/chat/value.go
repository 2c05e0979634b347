package chat

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// value is what an expression gives: nil (none), undefined, bool, int64, text,
// *list, *dict, *namespace, *loop or function. Lists and dicts never change once
// a template can see them, so no value contains itself.
type value any

type undefined struct{ name string }

type list struct{ items []value }

// dict keeps its keys in order of insertion.
type dict struct {
	keys []text
	vals map[string]value
}

func (d *dict) set(k string, v value) { d.put(literal(k), v) }

func (d *dict) put(k text, v value) {
	if d.vals == nil {
		d.vals = make(map[string]value)
	}
	if _, ok := d.vals[k.s]; !ok {
		d.keys = append(d.keys, k)
	}
	d.vals[k.s] = v
}

func (d *dict) pairs() *list {
	out := &list{}
	for _, k := range d.keys {
		out.items = append(out.items, &list{[]value{k, d.vals[k.s]}})
	}
	return out
}

// namespace is the one thing that a template can change.
type namespace struct{ vars map[string]value }

// loop is the variable of that name within a for.
type loop struct {
	items []value
	i     int
	depth int
}

func (l *loop) attribute(name string) value {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.i + 1)
	case "index0":
		return int64(l.i)
	case "revindex":
		return int64(n - l.i)
	case "revindex0":
		return int64(n - l.i - 1)
	case "first":
		return l.i == 0
	case "last":
		return l.i == n-1
	case "length":
		return int64(n)
	case "depth":
		return int64(l.depth)
	case "depth0":
		return int64(l.depth - 1)
	case "previtem":
		if l.i > 0 {
			return l.items[l.i-1]
		}
	case "nextitem":
		if l.i+1 < n {
			return l.items[l.i+1]
		}
	}
	return undefined{"loop." + name}
}

type function func(r *run, a args) (value, error)

func truth(v value) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case text:
		return v.s != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}

// typeName is for errors.
func typeName(v value) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case undefined:
		return "undefined " + strconv.Quote(v.name)
	case bool:
		return "boolean"
	case int64:
		return "integer"
	case text:
		return "string"
	case *list:
		return "list"
	case *dict:
		return "mapping"
	case *namespace:
		return "namespace"
	case *loop:
		return "loop"
	}
	return "function"
}

// number is v as an integer, booleans included.
func number(v value) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// str is v as it is printed.
func str(v value) (text, error) {
	switch v := v.(type) {
	case nil:
		return literal("None"), nil
	case undefined:
		return text{}, nil
	case bool:
		if v {
			return literal("True"), nil
		}
		return literal("False"), nil
	case int64:
		return literal(strconv.FormatInt(v, 10)), nil
	case text:
		return v, nil
	}
	return text{}, fmt.Errorf("a %s cannot be printed; use tojson", typeName(v))
}

// equal compares as Python does; each pair of items is a step.
func (r *run) equal(a, b value) (bool, error) {
	if err := r.charge(1); err != nil {
		return false, err
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y, nil
	}
	switch a := a.(type) {
	case text:
		b, ok := b.(text)
		if !ok || len(a.s) != len(b.s) {
			return false, nil
		}
		return a.s == b.s, r.charge(len(a.s) / 64)
	case nil:
		return b == nil, nil
	case undefined:
		_, ok := b.(undefined)
		return ok, nil
	case *list:
		b, ok := b.(*list)
		if !ok || len(a.items) != len(b.items) {
			return false, nil
		}
		return r.allEqual(len(a.items), func(i int) (value, value) { return a.items[i], b.items[i] })
	case *dict:
		b, ok := b.(*dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false, nil
		}
		return r.allEqual(len(a.keys), func(i int) (value, value) {
			k := a.keys[i].s
			v, ok := b.vals[k]
			if !ok {
				return true, false
			}
			return a.vals[k], v
		})
	case *namespace:
		b, ok := b.(*namespace)
		return ok && a == b, nil
	case *loop:
		b, ok := b.(*loop)
		return ok && a == b, nil
	}
	return false, nil
}

func (r *run) allEqual(n int, at func(int) (value, value)) (bool, error) {
	defer r.leave()
	if err := r.enter(); err != nil {
		return false, err
	}
	for i := range n {
		x, y := at(i)
		if same, err := r.equal(x, y); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// contains is x in v.
func (r *run) contains(v, x value) (bool, error) {
	switch v := v.(type) {
	case undefined:
		return false, nil
	case text:
		x, ok := x.(text)
		if !ok {
			return false, errors.New("only a string can be in a string")
		}
		return strings.Contains(v.s, x.s), r.charge(len(v.s) / 64)
	case *list:
		for _, item := range v.items {
			if same, err := r.equal(item, x); err != nil || same {
				return same, err
			}
		}
		return false, nil
	case *dict:
		x, ok := x.(text)
		_, has := v.vals[x.s]
		return ok && has, nil
	}
	return false, fmt.Errorf("nothing can be in a %s", typeName(v))
}

// iterate is the items of v, without a copy where there is a list.
func (r *run) iterate(v value) ([]value, error) {
	switch v := v.(type) {
	case undefined:
		return nil, nil
	case *list:
		return v.items, nil
	case *dict:
		if err := r.charge(len(v.keys) / 4); err != nil {
			return nil, err
		}
		out := make([]value, len(v.keys))
		for i, k := range v.keys {
			out[i] = k
		}
		return out, nil
	case text:
		if err := r.charge(len(v.s)); err != nil {
			return nil, err
		}
		return runes(v), nil
	}
	return nil, fmt.Errorf("a %s cannot be iterated", typeName(v))
}

// runes is the characters of t.
func runes(t text) []value {
	out := make([]value, 0, len(t.s))
	m := 0
	for i, c := range t.s {
		end := i + utf8.RuneLen(c)
		for m < len(t.marks) && t.marks[m].to <= i {
			m++
		}
		one := literal(t.s[i:end])
		if m < len(t.marks) && t.marks[m].from < end {
			one = untrusted(one.s)
		}
		out = append(out, one)
	}
	return out
}

// length is the number of characters, items or keys of v.
func (r *run) length(v value) (int, error) {
	switch v := v.(type) {
	case undefined:
		return 0, nil
	case text:
		return utf8.RuneCountInString(v.s), r.charge(len(v.s) / 64)
	case *list:
		return len(v.items), nil
	case *dict:
		return len(v.keys), nil
	}
	return 0, fmt.Errorf("a %s has no length", typeName(v))
}

// arithmetic on integers, with Python's floor division; an overflow is an error.
func arithmetic(op string, a, b int64) (value, error) {
	var c int64
	overflow := false
	switch op {
	case "+":
		c = a + b
		overflow = (c > a) != (b > 0) && b != 0
	case "-":
		c = a - b
		overflow = (c < a) != (b > 0) && b != 0
	case "*":
		c = a * b
		overflow = a != 0 && (c/a != b || a == -1 && b == math.MinInt64)
	default:
		if b == 0 {
			return nil, errors.New("division by zero")
		}
		if overflow = a == math.MinInt64 && b == -1; overflow {
			break
		}
		quotient, rest := a/b, a%b
		if rest != 0 && (rest < 0) != (b < 0) {
			quotient, rest = quotient-1, rest+b
		}
		if c = quotient; op == "%" {
			c = rest
		}
	}
	if overflow {
		return nil, fmt.Errorf("%d %s %d overflows", a, op, b)
	}
	return c, nil
}

// concat joins texts within the limits.
func (r *run) concat(parts ...text) (text, error) {
	size, marks := 0, 0
	for _, p := range parts {
		size += len(p.s)
		marks += len(p.marks)
		if size > MaxOutput {
			return text{}, errTooLong
		}
	}
	if err := r.charge(size/64 + marks/8); err != nil {
		return text{}, err
	}
	var b builder
	b.b.Grow(size)
	for _, p := range parts {
		b.add(p)
	}
	return b.text(), nil
}

var errTooLong = fmt.Errorf("a string is longer than %d bytes", MaxOutput)

// repeat is v n times, for a string or a list.
func (r *run) repeat(v value, n int64) (value, error) {
	n = max(n, 0)
	switch v := v.(type) {
	case text:
		if len(v.s) > 0 && n > int64(MaxOutput/len(v.s)) {
			return nil, errTooLong
		}
		if v.s == "" {
			n = 0
		}
		if err := r.charge(int(n)); err != nil {
			return nil, err
		}
		return r.concat(slices.Repeat([]text{v}, int(n))...)
	case *list:
		if len(v.items) > 0 && n > int64(MaxSteps/len(v.items)) {
			return nil, errSteps
		}
		if len(v.items) == 0 {
			n = 0
		}
		if err := r.charge(len(v.items) * int(n) / 4); err != nil {
			return nil, err
		}
		return &list{slices.Repeat(v.items, int(n))}, nil
	}
	return nil, fmt.Errorf("a %s cannot be repeated", typeName(v))
}
