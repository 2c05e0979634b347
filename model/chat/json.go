package chat

import (
	"fmt"
	"strconv"
	"strings"
)

// jsonWriter writes values as Python's json.dumps does with ensure_ascii off.
type jsonWriter struct {
	r      *run
	b      strings.Builder
	indent int // negative = on one line
	marked bool
}

func toJSON(r *run, in value, a args) (value, error) {
	indent := int64(-1)
	if v, ok := a.get(0, "indent"); ok && v != nil {
		var err error
		if indent, err = a.number(0, "indent", -1); err != nil {
			return nil, err
		}
	}
	if indent > 16 {
		return nil, fmt.Errorf("an indent of %d is more than 16", indent)
	}
	w := &jsonWriter{r: r, indent: int(indent)}
	if err := w.value(in, 0); err != nil {
		return nil, err
	}
	if w.marked {
		return r.made(untrusted(w.b.String()), 0)
	}
	return r.made(literal(w.b.String()), 0)
}

func (w *jsonWriter) value(v value, depth int) error {
	defer w.r.leave()
	if err := w.r.enter(); err != nil {
		return err
	}
	if err := w.r.charge(1); err != nil {
		return err
	}
	if w.b.Len() > MaxOutput {
		return errTooLong
	}
	switch v := v.(type) {
	case nil:
		w.b.WriteString("null")
	case bool, int64:
		fmt.Fprint(&w.b, v)
	case text:
		return w.text(v)
	case *list:
		return w.items('[', ']', len(v.items), depth, func(i int) error { return w.value(v.items[i], depth+1) })
	case *dict:
		return w.items('{', '}', len(v.keys), depth, func(i int) error {
			if err := w.text(v.keys[i]); err != nil {
				return err
			}
			w.b.WriteString(": ")
			return w.value(v.vals[v.keys[i].s], depth+1)
		})
	default:
		return fmt.Errorf("a %s cannot be written as JSON", typeName(v))
	}
	return nil
}

func (w *jsonWriter) items(open, end byte, n, depth int, item func(int) error) error {
	w.b.WriteByte(open)
	for i := range n {
		if i > 0 {
			w.b.WriteByte(',')
			if w.indent < 0 {
				w.b.WriteByte(' ')
			}
		}
		w.line(depth + 1)
		if err := item(i); err != nil {
			return err
		}
	}
	if n > 0 {
		w.line(depth)
	}
	w.b.WriteByte(end)
	return nil
}

func (w *jsonWriter) line(depth int) {
	if w.indent >= 0 {
		w.b.WriteString("\n" + strings.Repeat(" ", depth*w.indent))
	}
}

func (w *jsonWriter) text(t text) error {
	w.marked = w.marked || len(t.marks) > 0
	if err := w.r.charge(len(t.s) / 16); err != nil {
		return err
	}
	if w.b.Len()+len(t.s) > MaxOutput {
		return errTooLong
	}
	w.b.WriteByte('"')
	for i := range len(t.s) {
		c := t.s[i]
		if k := strings.IndexByte("\"\\\n\r\t\b\f", c); k >= 0 {
			w.b.WriteByte('\\')
			w.b.WriteByte("\"\\nrtbf"[k])
		} else if c < 0x20 {
			w.b.WriteString(`\u00` + strconv.FormatInt(int64(c>>4), 16) + strconv.FormatInt(int64(c&15), 16))
		} else {
			w.b.WriteByte(c)
		}
	}
	w.b.WriteByte('"')
	return nil
}
