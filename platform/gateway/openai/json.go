package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"

	"daulat/core/canon"
)

// MaxBody bounds a body, in bytes.
const MaxBody = 1 << 20

// object reads the fields of a JSON object and keeps the first error. Names are
// compared exactly, which encoding/json does not do for structs.
type object struct {
	path   string
	fields map[string]json.RawMessage
	err    *Error
}

// open checks a whole body and returns its top object.
func open(body []byte) (*object, *Error) {
	if len(body) > MaxBody {
		return nil, &Error{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", MaxBody), "invalid_request_error", "", "request_too_large"}
	}
	if _, err := canon.ReadJSON(body); err != nil {
		return nil, Bad("", "the body is %v", err)
	}
	o := &object{}
	if json.Unmarshal(body, &o.fields) != nil || o.fields == nil {
		return nil, Bad("", "the body is not a JSON object")
	}
	return o, nil
}

// get returns a field, or nil if it is absent or null.
func (o *object) get(name string) json.RawMessage {
	raw := o.fields[name]
	if string(raw) == "null" {
		return nil
	}
	return raw
}

func (o *object) fail(name, format string, args ...any) {
	if o.err == nil {
		o.err = Bad(o.path+name, "%s %s", o.path+name, fmt.Sprintf(format, args...))
	}
}

func (o *object) string(name string) string {
	raw := o.get(name)
	if raw == nil {
		o.fail(name, "is required")
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		o.fail(name, "must be a string")
	}
	return s
}

func (o *object) bool(name string) (b bool) {
	if raw := o.get(name); raw != nil && json.Unmarshal(raw, &b) != nil {
		o.fail(name, "must be true or false")
	}
	return b
}

// count reads a positive whole number; 0 means that it is absent.
func (o *object) count(name string) uint64 {
	raw := o.get(name)
	if raw == nil {
		return 0
	}
	n, err := strconv.ParseUint(string(raw), 10, 31)
	if err != nil || n == 0 {
		o.fail(name, "must be a whole number from 1 to %d", 1<<31-1)
	}
	return n
}

// upTo reads a whole number from 0 to most, if it is there.
func (o *object) upTo(name string, most uint64) (n uint64, present bool) {
	raw := o.get(name)
	if raw == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil || n > most {
		o.fail(name, "must be a whole number from 0 to %d", most)
		return 0, false
	}
	return n, true
}

// scaled reads a decimal x with 0 ≤ x ≤ most and returns x·unit, rounded to the
// nearest whole number, halves up.
func (o *object) scaled(name string, most, unit, absent int64) uint64 {
	raw := o.get(name)
	if raw == nil {
		return uint64(absent)
	}
	x, ok := decimal(string(raw))
	if !ok || x.Sign() < 0 || x.Cmp(big.NewRat(most, 1)) > 0 {
		o.fail(name, "must be a number from 0 to %d", most)
		return 0
	}
	x.Mul(x, big.NewRat(2*unit, 1))
	x.Add(x, big.NewRat(1, 1))
	return new(big.Int).Div(x.Num(), new(big.Int).Lsh(x.Denom(), 1)).Uint64()
}

// decimal reads a JSON number exactly. Long digits and exponents are refused,
// because an exact reading of 1e-999999 would take long and fill memory.
func decimal(text string) (*big.Rat, bool) {
	if len(text) > 64 || text == "" || !strings.ContainsRune("-0123456789", rune(text[0])) {
		return nil, false
	}
	if _, exponent, found := strings.Cut(strings.ToLower(text), "e"); found {
		if e, err := strconv.Atoi(exponent); err != nil || e < -64 || e > 64 {
			return nil, false
		}
	}
	return new(big.Rat).SetString(text)
}

func (o *object) list(name string, most int) []json.RawMessage {
	var list []json.RawMessage
	if raw := o.get(name); raw != nil && json.Unmarshal(raw, &list) != nil {
		o.fail(name, "must be a list")
	}
	if len(list) > most {
		o.fail(name, "has %d entries, more than %d", len(list), most)
		return nil
	}
	return list
}

// child opens raw, found in this object under the given name.
func (o *object) child(name string, raw json.RawMessage) *object {
	c := &object{path: o.path + name + "."}
	if json.Unmarshal(raw, &c.fields) != nil || c.fields == nil {
		o.fail(name, "must be an object")
	}
	return c
}

func (o *object) adopt(c *object) {
	if o.err == nil {
		o.err = c.err
	}
}

// inert refuses a field unless its value means the same as its absence.
func (o *object) inert(name string, harmless ...string) {
	raw := o.get(name)
	if raw == nil {
		return
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) == nil {
		for _, value := range harmless {
			if compact.String() == value {
				return
			}
			if x, ok := decimal(compact.String()); ok && value == "0" && x.Sign() == 0 {
				return
			}
		}
	}
	if len(harmless) == 0 {
		o.fail(name, "is not served here")
		return
	}
	o.fail(name, "is not served here; leave it out or send %s", harmless[0])
}
