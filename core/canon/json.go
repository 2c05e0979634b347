package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"
)

// Limits of a JSON document from outside.
const (
	MaxJSONDepth  = 32      // nested arrays and objects
	MaxJSONValues = 1 << 16 // keys, values and ends of lists
)

// ReadJSON reads a JSON value of any form: nil, bool, json.Number, string, []any
// or map[string]any. Size is the caller's to bound; depth and number of values
// are bounded here, and no object has a key twice.
func ReadJSON(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	r := jsonReader{Decoder: d, left: MaxJSONValues}
	v, err := r.value(MaxJSONDepth)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("something follows the value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("not acceptable JSON: %w", err)
	}
	return v, nil
}

// CheckJSON is ReadJSON of a document that must be the one encoding of its value,
// as JSON writes it.
func CheckJSON(data []byte) (any, error) {
	v, err := ReadJSON(data)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(JSON(v), data) {
		return nil, fmt.Errorf("JSON is %w", ErrNotCanonical)
	}
	return v, nil
}

type jsonReader struct {
	*json.Decoder
	left int
}

func (r *jsonReader) token() (json.Token, error) {
	if r.left--; r.left < 0 {
		return nil, fmt.Errorf("more than %d values", MaxJSONValues)
	}
	return r.Token()
}

func (r *jsonReader) value(depth int) (any, error) {
	t, err := r.token()
	open, nested := t.(json.Delim)
	if err != nil || !nested {
		return t, err
	}
	if depth == 0 {
		return nil, fmt.Errorf("nested deeper than %d", MaxJSONDepth)
	}
	if open == '[' {
		return r.list(depth - 1)
	}
	return r.object(depth - 1)
}

func (r *jsonReader) list(depth int) (any, error) {
	all := []any{}
	for r.More() {
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	_, err := r.token()
	return all, err
}

func (r *jsonReader) object(depth int) (any, error) {
	all := map[string]any{}
	for r.More() {
		t, err := r.token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string) // a decoder gives nothing else here
		if _, twice := all[key]; twice {
			return nil, fmt.Errorf("the key %.64q occurs twice in one object", key)
		}
		if all[key], err = r.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := r.token()
	return all, err
}

// JSON writes a value that ReadJSON can return in its one form: keys in the order
// of their bytes, no space, numbers as they were read, and in strings no escapes
// but those that JSON demands.
func JSON(v any) []byte { return appendJSON(nil, v) }

func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return fmt.Append(b, v)
	case json.Number:
		return append(b, v...)
	case string:
		return appendJSONString(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, key), ':')
			b = appendJSON(b, v[key])
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("canon: %T is no JSON value", v))
}

// jsonEscapes are the characters below U+0020 that JSON has a short escape for,
// and the two that end a string or start an escape.
var jsonEscapes = map[byte]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}

func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		if short, ok := jsonEscapes[c]; ok {
			b = append(b, short...)
		} else if c < ' ' {
			b = fmt.Appendf(b, `\u%04x`, c)
		} else {
			b = append(b, c)
		}
	}
	return append(b, '"')
}
