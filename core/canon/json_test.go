package canon_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"daulat/core/canon"
)

func TestJSONHasOneForm(t *testing.T) {
	for text, want := range map[string]string{
		` { "b" : [ 1 , 1.50 , -0 ] , "a" : null } `:  `{"a":null,"b":[1,1.50,-0]}`,
		`{"é":"é","e":true,"":false}`:                 `{"":false,"e":true,"é":"é"}`,
		`"\u0041\/\"\\\u0000\u001f\b\f\n\r\t\u2028<"`: `"A/\"\\\u0000\u001f\b\f\n\r\t` + "\u2028<\"",
		`"\ud83d\ude00\ud800"`:                        `"😀` + "\ufffd\"",
		`[]`:                                          `[]`,
		`{}`:                                          `{}`,
	} {
		v, err := canon.ReadJSON([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := string(canon.JSON(v)); got != want {
			t.Errorf("%s became %s, not %s", text, got, want)
		}
		if _, err := canon.CheckJSON([]byte(want)); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if text != want {
			if _, err := canon.CheckJSON([]byte(text)); !errors.Is(err, canon.ErrNotCanonical) {
				t.Errorf("%s passed for canonical: %v", text, err)
			}
		}
	}
}

func TestJSONRefuses(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	if _, err := canon.CheckJSON([]byte(nested(canon.MaxJSONDepth))); err != nil {
		t.Errorf("the deepest: %v", err)
	}
	many := "[" + strings.Repeat("0,", canon.MaxJSONValues-3) + "0]"
	if _, err := canon.CheckJSON([]byte(many)); err != nil {
		t.Errorf("the most values: %v", err)
	}
	for text, want := range map[string]string{
		"":                             "EOF",
		"{":                            "EOF",
		"[1":                           "EOF",
		`{"a":1,"a":2}`:                "twice",
		`{"a":1,"\u0061":1}`:           "twice",
		"1 2":                          "follows",
		"[]]":                          "not acceptable",
		"tru":                          "not acceptable",
		"01":                           "not acceptable",
		"\"\xff\"":                     "UTF-8",
		nested(canon.MaxJSONDepth + 1): "deeper",
		"[0," + many[1:]:               "values",
	} {
		if v, err := canon.ReadJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s gave %v, %v", text, v, err)
		}
	}
}

// FuzzJSON: what is canonical is written as it was read, and what is read has a
// form that is canonical.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"x",null],"b":{}}`, ` [1.0e5]`, `"\u0000"`, `{"a":1,"a":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := canon.ReadJSON(data)
		if err != nil {
			return
		}
		once := canon.JSON(v)
		again, err := canon.CheckJSON(once)
		if err != nil || !bytes.Equal(canon.JSON(again), once) {
			t.Fatalf("%q became %q: %v", data, once, err)
		}
		if _, err := canon.CheckJSON(data); (err == nil) != bytes.Equal(once, data) {
			t.Fatalf("%q: %v, and its form is %q", data, err, once)
		}
	})
}
