package openai

import (
	"encoding/json"
	"math"
	"testing"
)

func TestLogprobsAreAskedFor(t *testing.T) {
	for field, want := range map[string]uint64{
		`"logprobs":null`: 0, `"logprobs":false`: 0, `"top_logprobs":0`: 0, `"logprobs":false,"top_logprobs":0`: 0,
		`"logprobs":true`: 1, `"logprobs":true,"top_logprobs":null`: 1, `"logprobs":true,"top_logprobs":0`: 1,
		`"logprobs":true,"top_logprobs":3`: 4, `"logprobs":true,"top_logprobs":20`: 21,
	} {
		if r, err := DecodeChat(with(field)); err != nil || r.Logprobs != want {
			t.Errorf("chat with %s asks for %d, not %d: %v", field, r.Logprobs, want, err)
		}
	}
	for field, want := range map[string]uint64{`"logprobs":null`: 0, `"logprobs":0`: 1, `"logprobs":5`: 6} {
		if r, err := DecodeCompletion([]byte(`{"model":"m","prompt":"x",` + field + `}`)); err != nil || r.Logprobs != want {
			t.Errorf("completion with %s asks for %d, not %d: %v", field, r.Logprobs, want, err)
		}
	}
}

func TestGoldenLogprobs(t *testing.T) {
	d := Daulat{Receipt: "s1-7", Price: 1234, ModelID: "bafymodel"}
	u := Usage{Input: 12, Output: 3}
	tokens := []Token{
		{Likely: Likely{" Hi\"", 23}, Top: []Likely{{" Hi\"", 23}, {"", 1 << 16}}},
		{Likely: Likely{"\xe2\x82", 98_304}, Top: []Likely{{"a", 5}, {"a", 9}}, Offset: 4},
		{Likely: Likely{"\xac", 0}, Top: []Likely{}, Offset: 4},
	}
	chat := Reply{Receipt: "s1-7", Model: "small", ModelID: "bafymodel", Created: 1700000000, Chat: true, Logprobs: true}
	text := chat
	text.Chat = false
	for name, r := range map[string]Reply{"chat": chat, "text": text} {
		golden(t, name+"_logprobs.reply", r.Whole(" Hi\"€", tokens, "stop", u, d))
		golden(t, name+"_no_logprobs.reply", r.Whole("", nil, "stop", u, d))
		stream := append(r.Begin(), r.Piece(" Hi\"", tokens[:1])...)
		stream = append(append(stream, r.Piece("€", tokens[1:])...), r.End("stop", u, d)...)
		golden(t, name+"_logprobs_stream.reply", stream)
	}
}

// FuzzLogprob: what clients read is −NLL/2^16, exactly.
func FuzzLogprob(f *testing.F) {
	for _, n := range []uint32{0, 1, 1 << 16, 98_304, math.MaxUint32} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n uint32) {
		data, err := json.Marshal(logprob(n))
		if err != nil {
			t.Fatal(err)
		}
		var got float64
		if err := json.Unmarshal(data, &got); err != nil || got != -float64(n)/(1<<16) {
			t.Fatalf("%d is written as %s: %v", n, data, err)
		}
	})
}
