package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// shown is a stretch of text with its tokens, named by letters.
type shown struct{ text, tokens string }

func shows(pieces ...shown) *backend {
	return &backend{answer: func(_ context.Context, p Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
		if err := begin(admission); err != nil {
			return Result{}, err
		}
		for i, s := range pieces {
			var tokens []AnswerToken
			for _, letter := range s.tokens {
				if p.Logprobs > 0 {
					tokens = append(tokens, AnswerToken{Likely: Likely{Text: string(letter), NLL: uint32(i)}, Offset: i, Top: make([]Likely, p.Logprobs-1)})
				}
			}
			if err := piece(s.text, tokens...); err != nil {
				return Result{}, err
			}
		}
		return Result{Receipt: "s1-7", Finish: "stop"}, nil
	}}
}

// choice is what both calls answer, whole or in a stream.
type choice struct {
	Message, Delta struct{ Content string }
	Text           string
	Logprobs       *struct {
		Content []struct {
			Token string
			Top   []any `json:"top_logprobs"`
		}
		Tokens  []string
		Values  []float64        `json:"token_logprobs"`
		Top     []map[string]any `json:"top_logprobs"`
		Offsets []int            `json:"text_offset"`
	}
}

func (c choice) String() string {
	var b strings.Builder
	b.WriteString(c.Message.Content + c.Delta.Content + c.Text)
	if l := c.Logprobs; l != nil {
		b.WriteString(":")
		for _, t := range l.Content {
			fmt.Fprintf(&b, "%s%d", t.Token, len(t.Top))
		}
		for i, t := range l.Tokens {
			fmt.Fprintf(&b, "%s%v@%d", t, l.Values[i], l.Offsets[i])
		}
	}
	return b.String()
}

// choices reads the choices of a reply or of a stream's events.
func choices(t *testing.T, body string) (all []string) {
	t.Helper()
	for line := range strings.Lines(body) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "data: ")
		if line == "" || line == "[DONE]" {
			continue
		}
		var reply struct{ Choices []choice }
		if err := json.Unmarshal([]byte(line), &reply); err != nil || len(reply.Choices) != 1 {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, reply.Choices[0].String())
	}
	return all
}

func TestLogprobsComeWithTheirText(t *testing.T) {
	g := start(t, config(shows(shown{"Hel", "a"}, shown{"lo", ""}, shown{"", "b"}, shown{"\xe2", "cd"}, shown{"\x82", ""}, shown{"\xac", "e"}, shown{"\xe2", "f"}, shown{"", "g"})))
	post := func(path, fields string) string {
		w := httptest.NewRecorder()
		g.Handler().ServeHTTP(w, request("POST", path, `{"model":"small",`+fields+`}`))
		if w.Code != 200 {
			t.Fatal(w.Body)
		}
		return w.Body.String()
	}
	const chat, text = `"messages":[{"role":"user","content":"x"}]`, `"prompt":"x"`
	for _, c := range []struct {
		path, fields string
		want         []string
	}{
		{"/v1/chat/completions", chat + `,"logprobs":true`, []string{"Hello€\ufffd:a0b0c0d0e0f0g0"}},
		{"/v1/chat/completions", chat + `,"logprobs":true,"top_logprobs":2`, []string{"Hello€\ufffd:a2b2c2d2e2f2g2"}},
		{"/v1/chat/completions", chat, []string{"Hello€\ufffd"}},
		{"/v1/chat/completions", chat + `,"stream":true,"logprobs":true,"top_logprobs":1`, []string{"", "Hel:a1", "lo", ":b1", "€:c1d1e1", "\ufffd:f1g1", ""}},
		{"/v1/chat/completions", chat + `,"stream":true`, []string{"", "Hel", "lo", "€", "\ufffd", ""}},
		{"/v1/completions", text + `,"logprobs":0`, []string{"Hello€\ufffd:a0@0b-3.0517578125e-05@2c-4.57763671875e-05@3d-4.57763671875e-05@3e-7.62939453125e-05@5f-9.1552734375e-05@6g-0.0001068115234375@7"}},
		{"/v1/completions", text + `,"stream":true,"logprobs":0`, []string{"Hel:a0@0", "lo", ":b-3.0517578125e-05@2", "€:c-4.57763671875e-05@3d-4.57763671875e-05@3e-7.62939453125e-05@5", "\ufffd:f-9.1552734375e-05@6g-0.0001068115234375@7", ""}},
	} {
		if got := choices(t, post(c.path, c.fields)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s with %s\n got %q\nwant %q", c.path, c.fields, got, c.want)
		}
	}
}
