package chat

import (
	"errors"
	"fmt"
)

// signal says how a statement ended.
type signal int

const (
	proceed signal = iota
	breakLoop
	continueLoop
)

type stmt interface {
	exec(r *run, s *scope) (signal, error)
}

type (
	output struct {
		line int
		e    expr
	}
	ifStmt struct {
		line      int
		conds     []expr
		bodies    [][]stmt
		otherwise []stmt
	}
	forStmt struct {
		line            int
		targets         []string
		over, filter    expr
		body, otherwise []stmt
	}
	setStmt struct {
		line    int
		targets []string
		field   string // of the namespace targets[0], if not empty
		value   expr
	}
	macro struct {
		name    string
		params  []string
		presets []expr // nil where there is none
		body    []stmt
	}
	plainBlock struct{ body []stmt }
	jump       signal
)

func (r *run) execAll(body []stmt, s *scope) (signal, error) {
	defer r.leave()
	if err := r.enter(); err != nil {
		return proceed, err
	}
	for _, st := range body {
		if err := r.charge(1); err != nil {
			return proceed, err
		}
		if sig, err := st.exec(r, s); err != nil || sig != proceed {
			return sig, err
		}
	}
	return proceed, nil
}

func (o *output) exec(r *run, s *scope) (signal, error) {
	r.line = o.line
	v, err := r.eval(o.e, s)
	if err != nil {
		return proceed, err
	}
	t, err := str(v)
	if err != nil {
		return proceed, err
	}
	if r.out.b.Len()+len(t.s) > MaxOutput {
		return proceed, fmt.Errorf("output is longer than %d bytes", MaxOutput)
	}
	r.out.add(t)
	return proceed, r.charge(len(t.s)/64 + len(t.marks)/8)
}

func (st *ifStmt) exec(r *run, s *scope) (signal, error) {
	for i, c := range st.conds {
		r.line = st.line
		v, err := r.eval(c, s)
		if err != nil {
			return proceed, err
		}
		if truth(v) {
			return r.execAll(st.bodies[i], s)
		}
	}
	return r.execAll(st.otherwise, s)
}

func (st *forStmt) exec(r *run, s *scope) (signal, error) {
	r.line = st.line
	v, err := r.eval(st.over, s)
	if err != nil {
		return proceed, err
	}
	items, err := r.iterate(v)
	if err != nil {
		return proceed, err
	}
	if items, err = st.filtered(r, s, items); err != nil {
		return proceed, err
	}
	if len(items) == 0 {
		return r.execAll(st.otherwise, s.inner())
	}
	r.loops++
	defer func() { r.loops-- }()
	for i, item := range items {
		if err := r.charge(1); err != nil {
			return proceed, err
		}
		in := s.inner()
		if err := r.assign(in, st.targets, item); err != nil {
			return proceed, err
		}
		in.vars["loop"] = &loop{items, i, r.loops}
		sig, err := r.execAll(st.body, in)
		if err != nil {
			return proceed, err
		}
		if sig == breakLoop {
			break
		}
	}
	return proceed, nil
}

func (st *forStmt) filtered(r *run, s *scope, items []value) ([]value, error) {
	if st.filter == nil {
		return items, nil
	}
	var out []value
	for _, item := range items {
		in := s.inner()
		if err := r.assign(in, st.targets, item); err != nil {
			return nil, err
		}
		v, err := r.eval(st.filter, in)
		if err != nil {
			return nil, err
		}
		if truth(v) {
			out = append(out, item)
		}
	}
	return out, nil
}

// assign sets one name, or several from the items of v.
func (r *run) assign(s *scope, names []string, v value) error {
	if len(names) == 1 {
		s.vars[names[0]] = v
		return nil
	}
	items, err := r.iterate(v)
	if err != nil {
		return err
	}
	if len(items) != len(names) {
		return fmt.Errorf("%d items do not fit %d names", len(items), len(names))
	}
	for i, n := range names {
		s.vars[n] = items[i]
	}
	return nil
}

func (st *setStmt) exec(r *run, s *scope) (signal, error) {
	r.line = st.line
	v, err := r.eval(st.value, s)
	if err != nil {
		return proceed, err
	}
	if st.field == "" {
		return proceed, r.assign(s, st.targets, v)
	}
	target, _ := s.lookup(st.targets[0])
	ns, ok := target.(*namespace)
	if !ok {
		return proceed, fmt.Errorf("%q is not a namespace, so its fields cannot be set", st.targets[0])
	}
	ns.vars[st.field] = v
	return proceed, nil
}

// exec defines the macro; it sees the variables of the place where it stands.
func (m *macro) exec(_ *run, s *scope) (signal, error) {
	s.vars[m.name] = function(func(r *run, a args) (value, error) {
		if err := a.fit(m.params...); err != nil {
			return nil, fmt.Errorf("macro %s: %w", m.name, err)
		}
		in := s.inner()
		for i, p := range m.params {
			v, given := a.get(i, p)
			if !given {
				var err error
				if v, err = r.evalOr(m.presets[i], in, undefined{p}); err != nil {
					return nil, err
				}
			}
			in.vars[p] = v
		}
		return (&capture{m.body}).eval(r, in)
	})
	return proceed, nil
}

func (b *plainBlock) exec(r *run, s *scope) (signal, error) { return r.execAll(b.body, s) }

func (j jump) exec(r *run, _ *scope) (signal, error) {
	if r.loops == 0 {
		return proceed, errors.New("break or continue stands outside a loop")
	}
	return signal(j), nil
}
