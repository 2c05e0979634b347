package openai

import (
	"reflect"
	"strings"
	"testing"
)

// A client may say who answers; what is malformed is refused by its name.
func TestChoice(t *testing.T) {
	body := func(choice string) []byte {
		return []byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],"daulat":` + choice + `}`)
	}
	for choice, want := range map[string]Choice{
		`null`:                              {},
		`{}`:                                {},
		`{"providers":["a","b"],"not":"c"}`: {Providers: []string{"a", "b"}, Not: []string{"c"}},
		`{"spread":true}`:                   {Spread: true},
		`{"per_owner":64}`:                  {PerOwner: 64},
		`{"per_owner":0}`:                   {},
	} {
		if r, err := DecodeChat(body(choice)); err != nil || !reflect.DeepEqual(r.Choice, want) {
			t.Errorf("%s: %+v, %v", choice, r.Choice, err)
		}
	}
	for choice, param := range map[string]string{
		`[]`:                 "daulat",
		`{"provider":["a"]}`: "daulat.provider",
		`{"providers":[""]}`: "daulat.providers",
		`{"not":[7]}`:        "daulat.not",
		`{"spread":"yes"}`:   "daulat.spread",
		`{"per_owner":65}`:   "daulat.per_owner",
		`{"per_owner":-1}`:   "daulat.per_owner",
		`{"per_owner":"2"}`:  "daulat.per_owner",
		`{"not":["` + strings.Repeat(`a","`, 16) + `a"]}`: "daulat.not",
	} {
		if r, err := DecodeChat(body(choice)); err == nil || err.Param != param {
			t.Errorf("%s: %+v, %v", choice, r.Choice, err)
		}
	}
}
