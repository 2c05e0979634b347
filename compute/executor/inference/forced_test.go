package inference

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/model/float"
	"daulat/model/replay"
	"daulat/model/synthetic"
)

// stage is a reference with random weights, a smaller model, and a question.
type stage struct {
	Forced
	reference, smaller fileTeacher
	request            receipt.Request
}

func newStage(t *testing.T, temperature float64) stage {
	t.Helper()
	s := stage{reference: openSynthetic(t, 1, synthetic.Options{Layers: 4, Context: 2048, Letters: true}),
		smaller: openSynthetic(t, 2, synthetic.Options{Layers: 1, Width: 32, Context: 2048, Letters: true})}
	s.Forced = Forced{Reference: s.reference, Against: map[replay.Kind]Teacher{replay.Smaller: s.smaller}}
	s.request = receipt.Request{Chat: `{"messages":[{"content":"Be brief.","role":"system"},{"content":[{"text":"what is a daulat?","type":"text"}],"role":"user"}]}`,
		Params: receipt.Params{MaxTokens: 4096, Temperature: uint64(temperature * (1 << 16)), TopP: receipt.MaxTopP}}
	return s
}

func openSynthetic(t *testing.T, seed uint64, o synthetic.Options) fileTeacher {
	t.Helper()
	data, err := synthetic.Llama(seed, o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	teacher, err := OpenTeacher(path)
	if err != nil {
		t.Fatal(err)
	}
	return teacher.(fileTeacher)
}

func (s stage) prompt(t *testing.T) []uint32 {
	t.Helper()
	messages, _, reason, err := conversation(s.request, receipt.Answer{Message: receipt.NewMessage("x", nil)})
	if err != nil || reason != "" {
		t.Fatal(reason, err)
	}
	prompt, err := s.reference.Prompt(t.Context(), messages)
	if err != nil {
		t.Fatal(err)
	}
	return prompt
}

// answers has a teacher answer with n tokens.
func answers(t *testing.T, teacher Teacher, prompt []uint32, n int, s replay.Sampler, seed uint64) receipt.Answer {
	t.Helper()
	by := teacher.(fileTeacher)
	random := rand.New(rand.NewPCG(seed, 1))
	state, best := by.weights.NewState(float.StateOptions{}), likeliest{hidden: by.hidden, shown: by.shown}
	var tokens []uint32
	for feed := prompt; len(tokens) < n; feed = tokens[len(tokens)-1:] {
		err := state.Append(context.Background(), feed, len(feed)-1, func(_ int, logits []float32) error {
			tokens = append(tokens, choose(best.row(logits), s, random))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishLength, Message: receipt.NewMessage(by.words.Decode(tokens), nil),
		Usage: &receipt.Usage{Output: uint64(n)}}
}

// choose draws as llama.cpp does, by its documentation.
func choose(r replay.Row, s replay.Sampler, random *rand.Rand) uint32 {
	if s.Temperature == 0 {
		return r.IDs[0]
	}
	n := len(r.IDs)
	if s.TopK > 0 {
		n = min(n, s.TopK)
	}
	for s.MinP > 0 && math.Exp(r.Logprobs[n-1]-r.Logprobs[0]) < s.MinP {
		n--
	}
	total := 0.0
	for _, l := range r.Logprobs[:n] {
		total += math.Exp(l / s.Temperature)
	}
	at := random.Float64() * total
	for i, l := range r.Logprobs[:n] {
		if at -= math.Exp(l / s.Temperature); at < 0 {
			return r.IDs[i]
		}
	}
	return r.IDs[n-1]
}

func (s stage) judge(t *testing.T, a receipt.Answer) replay.Result {
	t.Helper()
	r, reason, err := s.Judge(t.Context(), s.request, a, func(string) {})
	if err != nil || reason != "" {
		t.Fatal(reason, err)
	}
	return r
}

// Each of the five is rejected at a length where the power against it is 99 %, and the honest answer is consistent.
func TestReplayFindsWhatWasRunInstead(t *testing.T) {
	for _, temperature := range []float64{0, 0.8} {
		s := newStage(t, temperature)
		prompt, sampler := s.prompt(t), replay.Sampler{Temperature: temperature}
		half, err := s.reference.Lesser(replay.HalfLayers)
		if err != nil {
			t.Fatal(err)
		}
		four, err := s.reference.Lesser(replay.FourBit)
		if err != nil {
			t.Fatal(err)
		}
		const n = 300
		hotter := replay.Sampler{Temperature: max(1, 2*temperature)}
		for i, a := range []receipt.Answer{
			answers(t, s.smaller, prompt, n, sampler, 1),
			answers(t, four, prompt, n, sampler, 2),
			answers(t, half, prompt, n, sampler, 3),
			answers(t, s.reference, prompt[len(prompt)/2:], n, sampler, 4),
			answers(t, s.reference, prompt, n, hotter, 5),
		} {
			r := s.judge(t, a)
			if test := r.Tests[i]; test.Kind != replay.Kinds[i] || test.Power < replay.MinPower || !test.Rejects() {
				t.Errorf("temperature %g, answer by %s: %+v", temperature, replay.Kinds[i], test)
			}
			if o, _ := r.Outcome(); o != replay.Disagree {
				t.Errorf("temperature %g, answer by %s: %s", temperature, replay.Kinds[i], o)
			}
		}
		for seed, own := range replay.Samplers(temperature, 1) {
			r := s.judge(t, answers(t, s.reference, prompt, n, own, uint64(seed)))
			if o, why := r.Outcome(); o != replay.Consistent {
				t.Errorf("temperature %g, an honest answer by %+v: %s, %s: %+v", temperature, own, o, why, r)
			}
		}
	}
}

// What the provider says of its own likelihoods changes nothing.
func TestReplayTrustsNoLogprobs(t *testing.T) {
	s := newStage(t, 1)
	a := answers(t, s.smaller, s.prompt(t), 60, replay.Sampler{Temperature: 1}, 1)
	plain := s.judge(t, a)
	for range 60 {
		a.Logprobs = append(a.Logprobs, receipt.Logprobs{NLL: 0})
	}
	lying := s.judge(t, a)
	if o, _ := lying.Outcome(); o != replay.Disagree || lying.Tests[0] != plain.Tests[0] {
		t.Errorf("%s: %+v and %+v", o, plain, lying)
	}
}

// A short answer is inconclusive, and so is one that nobody can compare with a smaller model.
func TestReplayIsInconclusive(t *testing.T) {
	s := newStage(t, 0.8)
	a := answers(t, s.reference, s.prompt(t), 6, replay.Sampler{Temperature: 0.8}, 1)
	if o, why := s.judge(t, a).Outcome(); o != replay.Inconclusive || !strings.Contains(why, "power against") {
		t.Errorf("6 tokens: %s, %s", o, why)
	}
	s.Against = nil
	long := answers(t, s.reference, s.prompt(t), 300, replay.Sampler{Temperature: 0.8}, 1)
	if o, why := s.judge(t, long).Outcome(); o != replay.Inconclusive || why != "the power against smaller is not measured" {
		t.Errorf("no smaller model: %s, %s", o, why)
	}
	for name, c := range map[string]struct {
		chat, want string
		answer     receipt.Answer
	}{
		"an image":  {`{"messages":[{"content":[{"text":"what?","type":"text"},{"image_url":{"url":"data:image/png;base64,AAAA"},"type":"image_url"}],"role":"user"}]}`, "image", a},
		"tools":     {`{"messages":[{"content":"hi","role":"user"}],"tools":[{"function":{"name":"look"},"type":"function"}]}`, "tools", a},
		"a call":    {`{"messages":[{"content":"hi","role":"user"}]}`, "calls tools", receipt.Answer{Message: receipt.NewMessage("", []any{map[string]any{"id": "1"}})}},
		"reasoning": {s.request.Chat, "thought before it answered", receipt.Answer{Message: receipt.Message{Content: "yes", Reasoning: "hm"}.Encode(), Usage: &receipt.Usage{Output: 2}}},
		"thoughts":  {s.request.Chat, "what it thought", receipt.Answer{Message: a.Message, Usage: &receipt.Usage{Output: 400}}},
	} {
		r := s.request
		r.Chat = c.chat
		result, reason, err := s.Judge(t.Context(), r, c.answer, func(string) {})
		if err != nil || !strings.Contains(reason, c.want) || result.Tests != nil {
			t.Errorf("%s: %q, %v, %+v", name, reason, err, result)
		}
	}
}

// Another vocabulary, and a file that is no model, are refused.
func TestReplayRefuses(t *testing.T) {
	s := newStage(t, 1)
	s.Against = map[replay.Kind]Teacher{replay.Smaller: openSynthetic(t, 2, synthetic.Options{})}
	a := receipt.Answer{Message: receipt.NewMessage("hello world", nil), Usage: &receipt.Usage{Output: 3}}
	if _, _, err := s.Judge(t.Context(), s.request, a, func(string) {}); err == nil || !strings.Contains(err.Error(), "another vocabulary") {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "no.gguf")
	if err := os.WriteFile(path, []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTeacher(path); err == nil {
		t.Error("a file that is no model was loaded")
	}
	s.request.Chat = `{"messages":[{"content":` + string(canon.JSON(strings.Repeat("long ", 500))) + `,"role":"user"}]}`
	if _, _, err := s.Judge(t.Context(), s.request, a, func(string) {}); err == nil {
		t.Error("a prompt that fills the context")
	}
}
