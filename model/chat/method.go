package chat

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

var dictMethods = map[string]builtin{
	"items": {nil, items},
	"keys":  {nil, func(r *run, in value, _ args) (value, error) { return r.listOf(in) }},
	"values": {nil, func(r *run, in value, _ args) (value, error) {
		out := &list{}
		for _, p := range in.(*dict).pairs().items {
			out.items = append(out.items, p.(*list).items[1])
		}
		return out, r.charge(len(out.items))
	}},
	"get": {[]string{"key", "default"}, func(_ *run, in value, a args) (value, error) {
		key, err := a.text(0, "key", "")
		if err != nil {
			return nil, err
		}
		if v, ok := in.(*dict).vals[key.s]; ok {
			return v, nil
		}
		otherwise, _ := a.get(1, "default")
		return otherwise, nil
	}},
}

var textMethods map[string]builtin

func init() {
	textMethods = map[string]builtin{
		"strip":      stripper(trim),
		"lstrip":     stripper(text.trimLeft),
		"rstrip":     stripper(text.trimRight),
		"upper":      textFilter(upper),
		"lower":      textFilter(lower),
		"title":      textFilter(titled(func(c rune) bool { return !unicode.IsLetter(c) })),
		"capitalize": textFilter(titled(func(rune) bool { return false })),
		"startswith": {[]string{"prefix"}, affix(strings.HasPrefix)},
		"endswith":   {[]string{"suffix"}, affix(strings.HasSuffix)},
		"replace":    {[]string{"old", "new", "count"}, replaced},
		"split":      {[]string{"sep", "maxsplit"}, split},
		"splitlines": {nil, splitLines},
		"join": {[]string{"items"}, func(r *run, in value, a args) (value, error) {
			items, _ := a.get(0, "items")
			return joined(r, items, args{pos: []value{in}})
		}},
		"find": {[]string{"sub"}, func(r *run, in value, a args) (value, error) {
			sub, err := a.text(0, "sub", "")
			if err != nil {
				return nil, err
			}
			s := in.(text).s
			at := strings.Index(s, sub.s)
			if at > 0 {
				at = len([]rune(s[:at]))
			}
			return int64(at), r.charge(len(s) / 16)
		}},
	}
}

// affix makes startswith or endswith; a list of choices is allowed.
func affix(has func(s, part string) bool) func(*run, value, args) (value, error) {
	return func(r *run, in value, a args) (value, error) {
		if len(a.pos) != 1 {
			return nil, errors.New("startswith and endswith take one argument")
		}
		choices := a.pos
		if l, ok := a.pos[0].(*list); ok {
			choices = l.items
		}
		for _, c := range choices {
			t, ok := c.(text)
			if !ok {
				return nil, fmt.Errorf("a string cannot start or end with a %s", typeName(c))
			}
			if err := r.charge(1 + len(t.s)/64); err != nil {
				return nil, err
			}
			if has(in.(text).s, t.s) {
				return true, nil
			}
		}
		return false, nil
	}
}

// split cuts at a separator, or at runs of white space.
func split(r *run, in value, a args) (value, error) {
	t := in.(text)
	limit, err := a.number(1, "maxsplit", -1)
	if err != nil {
		return nil, err
	}
	if limit < 0 {
		limit = MaxOutput
	}
	sep, given := a.get(0, "sep")
	if !given || sep == nil {
		return splitSpace(r, t, limit)
	}
	by, ok := sep.(text)
	if !ok || by.s == "" {
		return nil, errors.New("a separator is not a string or empty")
	}
	if err := r.charge(len(t.s)/32 + strings.Count(t.s, by.s)*(1+len(t.marks)/8)); err != nil {
		return nil, err
	}
	out, at := &list{}, 0
	for ; limit > 0; limit-- {
		i := strings.Index(t.s[at:], by.s)
		if i < 0 {
			break
		}
		out.items = append(out.items, t.cut(at, at+i))
		at += i + len(by.s)
	}
	out.items = append(out.items, t.cut(at, len(t.s)))
	return out, nil
}

func splitSpace(r *run, t text, limit int64) (value, error) {
	out := &list{}
	for t = t.trimLeft(isSpace); t.s != ""; t = t.trimLeft(isSpace) {
		if err := r.charge(1 + len(t.marks)/8); err != nil {
			return nil, err
		}
		end := strings.IndexFunc(t.s, isSpace)
		if end < 0 || int64(len(out.items)) >= limit {
			end = len(t.s)
		}
		out.items = append(out.items, t.cut(0, end))
		t = t.cut(end, len(t.s))
	}
	return out, r.charge(len(t.s) / 32)
}

// splitLines cuts at line feeds and carriage returns.
func splitLines(r *run, in value, _ args) (value, error) {
	t, out := in.(text), &list{}
	for t.s != "" {
		if err := r.charge(1 + len(t.marks)/8); err != nil {
			return nil, err
		}
		end := strings.IndexAny(t.s, "\r\n")
		if end < 0 {
			end = len(t.s)
		}
		out.items = append(out.items, t.cut(0, end))
		if strings.HasPrefix(t.s[end:], "\r\n") {
			end++
		}
		t = t.cut(min(end+1, len(t.s)), len(t.s))
	}
	return out, nil
}

var globalFunctions = map[string]function{
	"raise_exception": func(_ *run, a args) (value, error) {
		t, err := a.text(0, "message", "")
		if err != nil {
			return nil, err
		}
		why := []rune(t.s)
		if len(why) > 200 {
			why = append(why[:200], '…')
		}
		return nil, fmt.Errorf("the template refuses this conversation: %s", string(why))
	},
	"strftime_now": func(r *run, a args) (value, error) {
		t, err := a.text(0, "format", "")
		if err != nil {
			return nil, err
		}
		return r.formatDate(t)
	},
	"namespace": func(r *run, a args) (value, error) {
		d, err := dictOf(r, a)
		if err != nil {
			return nil, err
		}
		ns := &namespace{map[string]value{}}
		for k, v := range d.vals {
			ns.vars[k] = v
		}
		return ns, nil
	},
	"dict": func(r *run, a args) (value, error) {
		d, err := dictOf(r, a)
		return d, err
	},
	"range": countRange,
}

// dictOf is a dict from an optional dict and named arguments.
func dictOf(r *run, a args) (*dict, error) {
	out := &dict{}
	if len(a.pos) > 1 {
		return nil, errors.New("at most one positional argument is taken")
	}
	if len(a.pos) == 1 {
		d, ok := a.pos[0].(*dict)
		if !ok {
			return nil, fmt.Errorf("a %s is not a mapping", typeName(a.pos[0]))
		}
		if err := r.charge(len(d.keys)); err != nil {
			return nil, err
		}
		for _, k := range d.keys {
			out.put(k, d.vals[k.s])
		}
	}
	for i, n := range a.names {
		out.set(n, a.named[i])
	}
	return out, nil
}

func countRange(r *run, a args) (value, error) {
	bound := [3]int64{0, 0, 1}
	if len(a.names) > 0 || len(a.pos) == 0 || len(a.pos) > 3 {
		return nil, errors.New("range takes one to three integers")
	}
	for i, v := range a.pos {
		n, ok := number(v)
		if !ok || n > 1<<40 || n < -1<<40 {
			return nil, errors.New("range takes integers of reasonable size")
		}
		bound[i] = n
	}
	from, to, step := bound[0], bound[1], bound[2]
	if len(a.pos) == 1 {
		from, to = 0, from
	}
	if step == 0 {
		return nil, errors.New("range has a step of 0")
	}
	out := &list{}
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		if err := r.charge(1); err != nil {
			return nil, err
		}
		out.items = append(out.items, i)
	}
	return out, nil
}

// formatDate formats the run's date by the usual letters of C's strftime, in
// English.
func (r *run) formatDate(format text) (value, error) {
	if r.date.IsZero() {
		return nil, errors.New("the template asks for the date, and none is given")
	}
	layouts := map[byte]string{
		'd': "02", 'm': "01", 'Y': "2006", 'y': "06", 'B': "January", 'b': "Jan", 'A': "Monday", 'a': "Mon",
		'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05",
		'Z': "MST", 'z': "-0700",
	}
	if err := r.charge(len(format.s)); err != nil {
		return nil, err
	}
	var b strings.Builder
	for i := 0; i < len(format.s); i++ {
		c := format.s[i]
		if c != '%' || i+1 == len(format.s) {
			b.WriteByte(c)
			continue
		}
		i++
		plain := format.s[i] == '-' && i+1 < len(format.s)
		if plain {
			i++
		}
		layout, ok := layouts[format.s[i]]
		switch {
		case format.s[i] == '%':
			b.WriteByte('%')
		case !ok:
			return nil, fmt.Errorf("date format %%%c is not supported", format.s[i])
		case plain:
			n, err := strconv.Atoi(r.date.Format(layout))
			if err != nil {
				return nil, fmt.Errorf("date format %%-%c is not supported", format.s[i])
			}
			b.WriteString(strconv.Itoa(n))
		default:
			b.WriteString(r.date.Format(layout))
		}
	}
	return r.made(format.like(b.String()), len(format.s))
}
