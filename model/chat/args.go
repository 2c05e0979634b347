package chat

import "fmt"

// argExprs are call arguments as written: the last len(names) values are named.
type argExprs struct {
	values []expr
	names  []string
}

// args are evaluated call arguments.
type args struct {
	pos   []value
	names []string
	named []value
}

func (a argExprs) eval(r *run, s *scope) (args, error) {
	var out args
	for i, e := range a.values {
		v, err := r.eval(e, s)
		if err != nil {
			return args{}, err
		}
		if n := i - (len(a.values) - len(a.names)); n >= 0 {
			out.names, out.named = append(out.names, a.names[n]), append(out.named, v)
			continue
		}
		out.pos = append(out.pos, v)
	}
	return out, nil
}

// fit refuses arguments beyond the named parameters.
func (a args) fit(params ...string) error {
	if len(a.pos) > len(params) {
		return fmt.Errorf("%d arguments given, at most %d taken", len(a.pos), len(params))
	}
	given := make(map[string]bool)
	for i, p := range params {
		given[p] = i < len(a.pos)
	}
	for _, n := range a.names {
		twice, known := given[n]
		if !known || twice {
			return fmt.Errorf("argument %q is unknown or given twice", n)
		}
		given[n] = true
	}
	return nil
}

// get is the argument at place i or of that name.
func (a args) get(i int, name string) (value, bool) {
	if i < len(a.pos) {
		return a.pos[i], true
	}
	for j, n := range a.names {
		if n == name {
			return a.named[j], true
		}
	}
	return nil, false
}

// text is a string argument; missing gives the other.
func (a args) text(i int, name, otherwise string) (text, error) {
	v, ok := a.get(i, name)
	if !ok {
		return literal(otherwise), nil
	}
	t, ok := v.(text)
	if !ok {
		return text{}, fmt.Errorf("%s is a %s, not a string", name, typeName(v))
	}
	return t, nil
}

// number is an integer argument; missing gives the other.
func (a args) number(i int, name string, otherwise int64) (int64, error) {
	v, ok := a.get(i, name)
	if !ok {
		return otherwise, nil
	}
	n, ok := number(v)
	if !ok {
		return 0, fmt.Errorf("%s is a %s, not an integer", name, typeName(v))
	}
	return n, nil
}

// builtin is a filter or method: its parameters and what it does to in.
type builtin struct {
	params []string
	f      func(r *run, in value, a args) (value, error)
}

func (b builtin) call(r *run, in value, a args) (value, error) {
	if err := a.fit(b.params...); err != nil {
		return nil, err
	}
	return b.f(r, in, a)
}

func (b builtin) bind(in value) function {
	return func(r *run, a args) (value, error) { return b.call(r, in, a) }
}
