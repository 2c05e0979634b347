package chat

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// tests by name, with the largest number of arguments.
var tests = map[string]int{
	"defined": 0, "undefined": 0, "none": 0, "string": 0, "mapping": 0, "iterable": 0, "sequence": 0,
	"number": 0, "integer": 0, "boolean": 0, "true": 0, "false": 0, "callable": 0, "odd": 0, "even": 0,
	"divisibleby": 1, "equalto": 1, "eq": 1, "ne": 1, "lt": 1, "le": 1, "gt": 1, "ge": 1, "in": 1,
}

var comparisonTests = map[string]string{
	"equalto": "==", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "in": "in",
}

func (r *run) test(name string, v value, a args) (bool, error) {
	if len(a.names) > 0 || len(a.pos) != tests[name] {
		return false, fmt.Errorf("test %s takes %d arguments", name, tests[name])
	}
	if op, ok := comparisonTests[name]; ok {
		return r.compare(op, v, a.pos[0])
	}
	_, isUndefined := v.(undefined)
	n, isNumber := number(v)
	b, isBool := v.(bool)
	_, isText := v.(text)
	_, isList := v.(*list)
	_, isDict := v.(*dict)
	_, isFunction := v.(function)
	switch name {
	case "defined":
		return !isUndefined, nil
	case "undefined":
		return isUndefined, nil
	case "none":
		return v == nil, nil
	case "string":
		return isText, nil
	case "mapping":
		return isDict, nil
	case "iterable", "sequence":
		return isText || isList || isDict || isUndefined, nil
	case "number":
		return isNumber, nil
	case "integer":
		return isNumber && !isBool, nil
	case "boolean":
		return isBool, nil
	case "true":
		return isBool && b, nil
	case "false":
		return isBool && !b, nil
	case "callable":
		return isFunction, nil
	}
	if !isNumber {
		return false, fmt.Errorf("test %s needs an integer, not a %s", name, typeName(v))
	}
	by := int64(2)
	if name == "divisibleby" {
		if by, isNumber = number(a.pos[0]); !isNumber || by == 0 {
			return false, errors.New("test divisibleby needs an integer other than 0")
		}
	}
	return (n%by != 0) == (name == "odd"), nil
}

var filters map[string]builtin

// textFilter makes a builtin of a function on strings; other values are printed
// first, as Jinja2 does.
func textFilter(f func(text) text) builtin {
	return builtin{nil, func(r *run, in value, _ args) (value, error) {
		t, err := str(in)
		if err != nil {
			return nil, err
		}
		return r.made(f(t), len(t.s))
	}}
}

// made charges for a string that was made from n bytes.
func (r *run) made(t text, n int) (value, error) {
	if len(t.s) > MaxOutput {
		return nil, errTooLong
	}
	return t, r.charge((len(t.s) + n) / 32)
}

func upper(t text) text { return t.like(strings.ToUpper(t.s)) }
func lower(t text) text { return t.like(strings.ToLower(t.s)) }

// titled raises the first letter after each character that starts is true of,
// and lowers the others.
func titled(starts func(rune) bool) func(text) text {
	return func(t text) text {
		first := true
		return t.like(strings.Map(func(c rune) rune {
			raise := first
			first = starts(c)
			if raise {
				return unicode.ToTitle(c)
			}
			return unicode.ToLower(c)
		}, t.s))
	}
}

func trim(in text, drop func(rune) bool) text { return in.trimLeft(drop).trimRight(drop) }

// maxStrip bounds the characters that strip and trim may be told to remove.
const maxStrip = 64

// stripper makes strip, trim or a half of it: white space goes unless an
// argument names other characters.
func stripper(cut func(text, func(rune) bool) text) builtin {
	return builtin{[]string{"chars"}, func(r *run, in value, a args) (value, error) {
		t, err := str(in)
		if err != nil {
			return nil, err
		}
		if v, given := a.get(0, "chars"); !given || v == nil {
			return r.made(cut(t, isSpace), len(t.s))
		}
		chars, err := a.text(0, "chars", "")
		if err != nil {
			return nil, err
		}
		if len(chars.s) > maxStrip {
			return nil, fmt.Errorf("more than %d bytes of characters to strip", maxStrip)
		}
		drop := func(c rune) bool { return strings.ContainsRune(chars.s, c) }
		return r.made(cut(t, drop), len(t.s)*(1+len(chars.s)/4))
	}}
}

func init() {
	filters = map[string]builtin{
		"trim":       stripper(trim),
		"upper":      textFilter(upper),
		"lower":      textFilter(lower),
		"title":      textFilter(titled(func(c rune) bool { return isSpace(c) || strings.ContainsRune("-({[<", c) })),
		"capitalize": textFilter(titled(func(rune) bool { return false })),
		"string":     textFilter(func(t text) text { return t }),
		"safe":       textFilter(func(t text) text { return t }),
		"length":     {nil, lengthOf},
		"count":      {nil, lengthOf},
		"default":    {[]string{"default_value", "boolean"}, defaulted},
		"d":          {[]string{"default_value", "boolean"}, defaulted},
		"replace":    {[]string{"old", "new", "count"}, replaced},
		"join":       {[]string{"d", "attribute"}, joined},
		"tojson":     {[]string{"indent"}, toJSON},
		"int":        {[]string{"default"}, toInt},
		"items":      {nil, items},
		"list":       {nil, func(r *run, in value, _ args) (value, error) { return r.listOf(in) }},
		"reverse":    {nil, reversed},
		"first":      {nil, func(r *run, in value, _ args) (value, error) { return r.end(in, false) }},
		"last":       {nil, func(r *run, in value, _ args) (value, error) { return r.end(in, true) }},
		"map":        {[]string{"filter", "attribute", "default"}, mapped},
		"select":     selector(false, true),
		"reject":     selector(false, false),
		"selectattr": selector(true, true),
		"rejectattr": selector(true, false),
	}
}

func lengthOf(r *run, in value, _ args) (value, error) {
	n, err := r.length(in)
	return int64(n), err
}

func defaulted(_ *run, in value, a args) (value, error) {
	otherwise, ok := a.get(0, "default_value")
	if !ok {
		otherwise = text{}
	}
	falsy, _ := a.get(1, "boolean")
	if _, missing := in.(undefined); missing || truth(falsy) && !truth(in) {
		return otherwise, nil
	}
	return in, nil
}

func replaced(r *run, in value, a args) (value, error) {
	t, err := str(in)
	if err != nil {
		return nil, err
	}
	from, err := a.text(0, "old", "")
	if err != nil {
		return nil, err
	}
	to, err := a.text(1, "new", "")
	if err != nil {
		return nil, err
	}
	count, err := a.number(2, "count", -1)
	if err != nil {
		return nil, err
	}
	n := int64(strings.Count(t.s, from.s))
	if count >= 0 {
		n = min(n, count)
	}
	if int64(len(t.s))+n*int64(len(to.s)-len(from.s)) > MaxOutput {
		return nil, errTooLong
	}
	if n == 0 {
		return r.made(t, len(t.s))
	}
	return r.made(t.like(strings.Replace(t.s, from.s, to.s, int(n)), from, to), len(t.s))
}

func joined(r *run, in value, a args) (value, error) {
	between, err := a.text(0, "d", "")
	if err != nil {
		return nil, err
	}
	field, byField := a.get(1, "attribute")
	items, err := r.iterate(in)
	if err != nil {
		return nil, err
	}
	if err := r.charge(len(items)); err != nil {
		return nil, err
	}
	parts := make([]text, 0, 2*len(items))
	for i, item := range items {
		if byField {
			if item, err = r.field(item, field); err != nil {
				return nil, err
			}
		}
		t, err := str(item)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			parts = append(parts, between)
		}
		parts = append(parts, t)
	}
	return r.concat(parts...)
}

// field is the item of v at a key, for filters that take attribute=.
func (r *run) field(v, key value) (value, error) {
	return (&index{constant{v}, constant{key}}).eval(r, nil)
}

func toInt(_ *run, in value, a args) (value, error) {
	otherwise, err := a.number(0, "default", 0)
	if err != nil {
		return nil, err
	}
	if n, ok := number(in); ok {
		return n, nil
	}
	if t, ok := in.(text); ok {
		if n, err := strconv.ParseInt(strings.TrimFunc(t.s, isSpace), 10, 64); err == nil {
			return n, nil
		}
	}
	return otherwise, nil
}

func items(r *run, in value, _ args) (value, error) {
	switch in := in.(type) {
	case undefined:
		return &list{}, nil
	case *dict:
		return in.pairs(), r.charge(len(in.keys))
	}
	return nil, fmt.Errorf("a %s has no items", typeName(in))
}

func (r *run) listOf(in value) (value, error) {
	out, err := r.iterate(in)
	return &list{out}, err
}

func reversed(r *run, in value, _ args) (value, error) {
	return (&slice{constant{in}, nil, nil, constant{int64(-1)}}).eval(r, nil)
}

func (r *run) end(in value, last bool) (value, error) {
	items, err := r.iterate(in)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return undefined{"item of an empty list"}, nil
	}
	if last {
		return items[len(items)-1], nil
	}
	return items[0], nil
}

func mapped(r *run, in value, a args) (value, error) {
	items, err := r.iterate(in)
	if err != nil {
		return nil, err
	}
	name, byFilter := a.get(0, "filter")
	attribute, byField := a.get(1, "attribute")
	otherwise, hasDefault := a.get(2, "default")
	if byFilter == byField {
		return nil, errors.New("map takes either a filter's name or attribute=")
	}
	out := &list{}
	for _, item := range items {
		if err := r.charge(1); err != nil {
			return nil, err
		}
		var v value
		if byField {
			v, err = r.field(item, attribute)
		} else {
			v, err = r.filterNamed(name, item)
		}
		if err != nil {
			return nil, err
		}
		if _, missing := v.(undefined); missing && hasDefault {
			v = otherwise
		}
		out.items = append(out.items, v)
	}
	return out, nil
}

func (r *run) filterNamed(name, in value) (value, error) {
	defer r.leave()
	if err := r.enter(); err != nil {
		return nil, err
	}
	t, ok := name.(text)
	if !ok || filters[t.s].f == nil {
		return nil, fmt.Errorf("map knows no filter of that name")
	}
	return filters[t.s].call(r, in, args{})
}

// selector makes select, reject and their forms that look at an attribute.
func selector(byField, keep bool) builtin {
	params := []string{"test", "argument"}
	if byField {
		params = []string{"attribute", "test", "argument"}
	}
	return builtin{params, func(r *run, in value, a args) (value, error) {
		items, err := r.iterate(in)
		if err != nil {
			return nil, err
		}
		rest := a.pos
		if len(a.names) > 0 || byField && len(rest) == 0 {
			return nil, errors.New("select and reject take positional arguments")
		}
		var key value
		if byField {
			key, rest = rest[0], rest[1:]
		}
		out := &list{}
		for _, item := range items {
			if err := r.charge(1); err != nil {
				return nil, err
			}
			v := item
			if byField {
				if v, err = r.field(item, key); err != nil {
					return nil, err
				}
			}
			yes, err := r.testNamed(v, rest)
			if err != nil {
				return nil, err
			}
			if yes == keep {
				out.items = append(out.items, item)
			}
		}
		return out, nil
	}}
}

// testNamed runs the test that rest names with its argument, or truth if none.
func (r *run) testNamed(v value, rest []value) (bool, error) {
	if len(rest) == 0 {
		return truth(v), nil
	}
	name, ok := rest[0].(text)
	if _, known := tests[name.s]; !ok || !known {
		return false, errors.New("select and reject know no test of that name")
	}
	return r.test(name.s, v, args{pos: rest[1:]})
}
