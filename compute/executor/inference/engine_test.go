package inference_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/model/gguf"
	"daulat/model/synthetic"
	"daulat/model/text"
)

// subject is an engine with a small model for it.
type subject struct {
	engine   inference.Engine
	manifest artifact.Manifest
	path     string
	words    *text.Text
	altered  string // the same file with one tensor changed
}

func native(t *testing.T, architecture string, o synthetic.Options) subject {
	t.Helper()
	data, err := synthetic.Model(architecture, 7, o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	model, err := inference.DescribeGGUF(f)
	if err != nil {
		t.Fatal(err)
	}
	words, err := text.FromGGUF(f)
	if err != nil {
		t.Fatal(err)
	}
	s := subject{engine: inference.Native{Threads: 2}, words: words,
		manifest: artifact.Manifest{Version: canon.Version, Name: "test", Model: model},
		path:     filepath.Join(t.TempDir(), "model.gguf"), altered: filepath.Join(t.TempDir(), "altered.gguf")}
	write(t, s.path, data)
	tensor, ok := f.Tensor("blk.0.ffn_down.weight")
	if !ok {
		t.Fatal("no such tensor")
	}
	weights := tensor.Bytes() // a window into data
	half := tensor.Rows() / 2 * (len(weights) / tensor.Rows())
	copy(weights, append(slices.Clone(weights[half:]), weights[:half]...))
	write(t, s.altered, data)
	return s
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, s subject, path string) inference.Model {
	t.Helper()
	m, err := s.engine.Load(t.Context(), s.manifest, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func ask(s subject, prompt string, p receipt.Params) receipt.Request {
	tokens, err := s.words.Prompt(prompt)
	if err != nil {
		panic(err)
	}
	if p.TopP == 0 {
		p.TopP = receipt.MaxTopP
	}
	return receipt.Request{Version: canon.Version, Key: canon.PublicKey{1}, Counter: 1, Model: canon.NewCID(canon.DagCBOR, canon.Hash{1}), Tokens: tokens, Params: p}
}

func generate(t *testing.T, m inference.Model, r receipt.Request) receipt.Answer {
	t.Helper()
	var emitted receipt.Answer
	a, err := m.Generate(t.Context(), r, func(token receipt.Token) error {
		emitted.Add(token)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(emitted.Tokens, a.Tokens) || !slices.EqualFunc(emitted.Logprobs, a.Logprobs, receipt.Logprobs.Equal) {
		t.Fatalf("emitted %+v and answered %+v", emitted, a)
	}
	return a
}

func replay(t *testing.T, m inference.Model, r receipt.Request, a receipt.Answer) verify.Verdict {
	t.Helper()
	v, err := m.Replay(t.Context(), r, a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func anything(receipt.Token) error { return nil }

const hot = 3 << 16 // temperature 3.0: random weights answer at random

func TestNative(t *testing.T) {
	testEngine(t, native(t, "llama", synthetic.Options{}))
}

func TestNativeOnQuantisedWeights(t *testing.T) {
	testEngine(t, native(t, "llama", synthetic.Options{Type: gguf.Q4_1, Untied: true, Layers: 1, FFN: 128}))
}

func TestNativeOnOtherArchitectures(t *testing.T) {
	t.Run("qwen2", func(t *testing.T) { testEngine(t, native(t, "qwen2", synthetic.Options{Type: gguf.Q8_0})) })
	t.Run("qwen3", func(t *testing.T) {
		testEngine(t, native(t, "qwen3", synthetic.Options{Type: gguf.Q4_K, Mixed: true, Width: 256, FFN: 256, Layers: 1}))
	})
}

// testEngine is what every engine must pass before it is offered.
func testEngine(t *testing.T, s subject) {
	m := load(t, s, s.path)
	long := ask(s, "the quick brown fox", receipt.Params{MaxTokens: 40, Temperature: hot})
	answer := generate(t, m, long)
	if len(answer.Tokens) < 5 {
		t.Fatalf("the answer has only %d tokens", len(answer.Tokens))
	}

	t.Run("an honest answer agrees", func(t *testing.T) {
		for _, p := range []receipt.Params{{MaxTokens: 1}, {MaxTokens: 9}, {MaxTokens: 40, Temperature: hot}, {MaxTokens: 40, Temperature: hot, TopP: 300_000}} {
			r := ask(s, "hello", p)
			if v := replay(t, m, r, generate(t, m, r)); v.Outcome != verify.Agree {
				t.Errorf("%+v: %s", p, v)
			}
		}
	})
	t.Run("every altered token is found where it is", func(t *testing.T) {
		for i := range answer.Tokens {
			wrong := receipt.Answer{Tokens: slices.Clone(answer.Tokens), Finish: answer.Finish}
			wrong.Tokens[i] ^= 1
			v := replay(t, m, long, wrong)
			if v.Outcome != verify.Disagree || v.At != i || v.Paid != answer.Tokens[i] || v.Got != wrong.Tokens[i] {
				t.Errorf("token %d: %s", i, v)
			}
		}
	})
	t.Run("a cut, stretched or relabelled answer is found", func(t *testing.T) {
		n := len(answer.Tokens)
		for name, a := range map[string]receipt.Answer{
			"cut":        {Tokens: answer.Tokens[:n-2], Finish: answer.Finish},
			"empty":      {Tokens: []uint32{}, Finish: receipt.FinishStop},
			"stretched":  {Tokens: append(slices.Clone(answer.Tokens), 5, 6), Finish: answer.Finish},
			"unknown":    {Tokens: append(slices.Clone(answer.Tokens[:n-1]), 1<<31), Finish: answer.Finish},
			"relabelled": {Tokens: answer.Tokens, Finish: map[receipt.Finish]receipt.Finish{receipt.FinishLength: receipt.FinishStop, receipt.FinishStop: receipt.FinishLength}[answer.Finish]},
			"nonsense":   {Tokens: answer.Tokens, Finish: "bored"},
		} {
			if v := replay(t, m, long, a); v.Outcome != verify.Disagree {
				t.Errorf("%s: %s", name, v)
			}
		}
	})
	t.Run("a stopped answer is a part of the true one", func(t *testing.T) {
		for n := range answer.Tokens {
			a := receipt.Answer{Tokens: slices.Clone(answer.Tokens[:n]), Finish: receipt.FinishCancelled}
			if v := replay(t, m, long, a); (v.Outcome == verify.Agree) != (n > 0) {
				t.Errorf("after %d tokens: %s", n, v)
			}
			if n == 0 {
				continue
			}
			a.Tokens[n-1] ^= 1
			if v := replay(t, m, long, a); v.Outcome != verify.Disagree || v.At != n-1 {
				t.Errorf("a wrong last one of %d: %s", n, v)
			}
		}
	})
	t.Run("altered weights are found", func(t *testing.T) {
		liar := load(t, s, s.altered)
		if v := replay(t, m, long, generate(t, liar, long)); v.Outcome != verify.Disagree {
			t.Errorf("verdict on a liar: %s", v)
		}
	})
	t.Run("all that was signed enters the draws", func(t *testing.T) {
		for name, change := range map[string]func(*receipt.Request){
			"seed":    func(r *receipt.Request) { r.Seed[0]++ },
			"counter": func(r *receipt.Request) { r.Counter++ },
			"key":     func(r *receipt.Request) { r.Key[0]++ },
		} {
			other := long
			change(&other)
			if slices.Equal(generate(t, m, other).Tokens, answer.Tokens) {
				t.Errorf("another %s gives the same answer", name)
			}
		}
		if again := generate(t, m, long); !slices.Equal(again.Tokens, answer.Tokens) {
			t.Error("the same request gives another answer")
		}
	})
	t.Run("log-probabilities are the model's", func(t *testing.T) { testLogprobs(t, s, m) })
	t.Run("stop strings end an answer", func(t *testing.T) { testStops(t, s, m, long) })
	t.Run("the context ends an answer", func(t *testing.T) {
		prompt := ask(s, "x", receipt.Params{MaxTokens: 100})
		prompt.Tokens = slices.Repeat(prompt.Tokens[:1], m.Context()-3)
		a := generate(t, m, prompt)
		if len(a.Tokens) > 3 || (len(a.Tokens) == 3) != (a.Finish == receipt.FinishLength) {
			t.Errorf("%d tokens, finish %q", len(a.Tokens), a.Finish)
		}
		if v := replay(t, m, prompt, a); v.Outcome != verify.Agree {
			t.Error(v)
		}
		prompt.Tokens = slices.Repeat(prompt.Tokens[:1], m.Context())
		if _, err := m.Generate(t.Context(), prompt, anything); !errors.Is(err, inference.ErrPrompt) {
			t.Errorf("a prompt that fills the context: %v", err)
		}
	})
	t.Run("a token that the model lacks is refused", func(t *testing.T) {
		r := ask(s, "x", receipt.Params{MaxTokens: 1})
		r.Tokens = []uint32{uint32(s.words.Size())}
		if _, err := m.Generate(t.Context(), r, anything); !errors.Is(err, inference.ErrPrompt) {
			t.Errorf("%v", err)
		}
	})
	t.Run("emit and context stop it", func(t *testing.T) {
		gone := errors.New("gone")
		if _, err := m.Generate(t.Context(), long, func(receipt.Token) error { return gone }); !errors.Is(err, gone) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Generate(ctx, long, func(receipt.Token) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	t.Run("requests at once do not disturb each other", func(t *testing.T) {
		var wait sync.WaitGroup
		failures := make(chan error, 6)
		for range cap(failures) {
			wait.Go(func() {
				a, err := m.Generate(t.Context(), long, func(receipt.Token) error { return nil })
				if err == nil && !slices.Equal(a.Tokens, answer.Tokens) {
					err = fmt.Errorf("answered %v", a.Tokens)
				}
				failures <- err
			})
		}
		wait.Wait()
		for range cap(failures) {
			if err := <-failures; err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("another manifest is refused", func(t *testing.T) {
		other := s
		model := *s.manifest.Model
		model.Context++
		other.manifest.Model = &model
		if _, err := s.engine.Load(t.Context(), other.manifest, s.path); err == nil {
			t.Error("loaded")
		}
	})
}

// testLogprobs asks for all that may be shown, and alters each number of it.
func testLogprobs(t *testing.T, s subject, m inference.Model) {
	r := ask(s, "hello", receipt.Params{MaxTokens: 12, Temperature: hot, TopP: 900_000, Logprobs: receipt.MaxAlternatives + 1})
	a := generate(t, m, r)
	if len(a.Tokens) < 2 {
		t.Fatalf("the answer has only %d tokens", len(a.Tokens))
	}
	if err := r.Params.Shows(len(a.Tokens), a.Logprobs); err != nil {
		t.Fatal(err)
	}
	for i, l := range a.Logprobs {
		sum := 0.0
		for n, alternative := range l.Top {
			sum += math.Exp(-float64(alternative.NLL) / (1 << 16))
			if n > 0 && alternative.NLL < l.Top[n-1].NLL {
				t.Errorf("token %d: alternative %d is likelier than the one before it", i, n)
			}
			if alternative.Token == a.Tokens[i] && alternative.NLL != l.NLL {
				t.Errorf("token %d has two log-probabilities", i)
			}
		}
		if len(l.Top) != receipt.MaxAlternatives || sum > 1.001 {
			t.Errorf("token %d: %d alternatives have %v of the probability", i, len(l.Top), sum)
		}
	}
	if v := replay(t, m, r, a); v.Outcome != verify.Agree {
		t.Error(v)
	}
	for i := range a.Tokens {
		for name, change := range map[string]func(*receipt.Logprobs){
			"its own":        func(l *receipt.Logprobs) { l.NLL++ },
			"an alternative": func(l *receipt.Logprobs) { l.Top[19].NLL++ },
			"another token":  func(l *receipt.Logprobs) { l.Top[7].Token ^= 1 },
			"one too few":    func(l *receipt.Logprobs) { l.Top = l.Top[:19] },
		} {
			wrong := receipt.Answer{Tokens: a.Tokens, Finish: a.Finish, Logprobs: slices.Clone(a.Logprobs)}
			wrong.Logprobs[i].Top = slices.Clone(wrong.Logprobs[i].Top)
			change(&wrong.Logprobs[i])
			if v := replay(t, m, r, wrong); v.Outcome != verify.Disagree || v.At != i || v.Why == "" {
				t.Errorf("token %d, %s altered: %s", i, name, v)
			}
		}
	}
	a.Logprobs = nil
	if v := replay(t, m, r, a); v.Outcome != verify.Disagree || v.At != 0 {
		t.Errorf("none served: %s", v)
	}
	r.Params.Logprobs = 1
	alone := generate(t, m, r)
	if len(alone.Logprobs) != len(alone.Tokens) || len(alone.Logprobs[0].Top) != 0 {
		t.Errorf("no alternatives were asked for, and %+v came", alone.Logprobs)
	}
}

// testStops stops at a piece of text that the answer is known to hold.
func testStops(t *testing.T, s subject, m inference.Model, r receipt.Request) {
	// The stop string is part of what is signed, so the draws differ; greedy
	// answers do not depend on draws.
	r.Params.Temperature = 0
	plain := r
	plain.Params.Stop = nil
	whole := generate(t, m, plain)
	r.Params.Stop = []string{s.words.Decode(whole.Tokens[:1])}
	a := generate(t, m, r)
	if r.Params.Stop[0] == "" {
		t.Fatal("the first token has no text")
	}
	if len(a.Tokens) >= len(whole.Tokens) || a.Finish != receipt.FinishStop {
		t.Errorf("%d of %d tokens, finish %q", len(a.Tokens), len(whole.Tokens), a.Finish)
	}
	if v := replay(t, m, r, a); v.Outcome != verify.Agree {
		t.Error(v)
	}
	if v := replay(t, m, r, whole); v.Outcome != verify.Disagree || v.Paid != verify.End {
		t.Errorf("an answer that runs past its stop string: %s", v)
	}
}
