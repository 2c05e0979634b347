package main

import (
	"bytes"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"daulat/model/float"
	"daulat/model/gguf"
	"daulat/model/synthetic"
	"daulat/model/text"
)

func TestRuleOfGreedyTokens(t *testing.T) {
	same := slices.Repeat([]position{{ours: 1, theirs: 1}}, 999)
	tie := position{ours: 1, theirs: 2, margin: nearTie / 2}
	clear := position{ours: 1, theirs: 2, margin: nearTie}
	for name, c := range map[string]struct {
		positions []position
		want      bool
	}{
		"none":       {nil, false},
		"all equal":  {same, true},
		"a near tie": {append(slices.Clone(same), tie), true},
		"a clear":    {append(slices.Clone(same), clear), false},
		"many ties":  {append(slices.Clone(same), slices.Repeat([]position{tie}, 6)...), false},
	} {
		var got tally
		for _, p := range c.positions {
			got.add(p)
		}
		if got.agree() != c.want {
			t.Errorf("%s: %+v agrees: %v", name, got, got.agree())
		}
	}
	if p := judge([]float32{1, 4, 3, 4}, 2); p.ours != 1 || p.theirs != 2 || p.margin != 0 {
		t.Errorf("judged %+v", p)
	}
}

// TestGap: a difference anywhere counts, and so does a number that is none.
func TestGap(t *testing.T) {
	a := []float32{0, 5, 10}
	if g := gap(a, []float32{0, 5, 9}); g != 0.1 {
		t.Errorf("a tenth of the spread is %g", g)
	}
	if g := worst([][]float32{a, a}, [][]float32{a, {1, 5, 10}}); g != 0.1 {
		t.Errorf("the worst of two rows is %g", g)
	}
	if g := gap(a, []float32{0, float32(math.NaN()), 10}); g <= math.Inf(1) {
		t.Errorf("NaN has the gap %g", g)
	}
}

// TestRewrite: widening keeps every bit of the logits, and every change shows.
func TestRewrite(t *testing.T) {
	for _, f := range formats {
		done := map[string]bool{}
		for _, s := range f.shapes {
			if done[s.architecture] {
				continue
			}
			done[s.architecture] = true
			s.Type, s.Layers, s.Context = f.kind, 2, 16
			t.Run(f.kind.String()+" "+s.architecture, func(t *testing.T) { rewrites(t, s) })
		}
	}
}

func rewrites(t *testing.T, s shape) {
	data, err := synthetic.Model(s.architecture, 5, s.Options)
	if err != nil {
		t.Fatal(err)
	}
	file, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	r := &randomModel{path: filepath.Join(t.TempDir(), "model"), file: file, tokens: []uint32{9, 8, 7, 6}}
	m, err := float.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := native(t.Context(), m, r.tokens, 1)
	if err != nil || len(want) != 3 {
		t.Fatalf("%d rows: %v", len(want), err)
	}
	changes := slips(s.architecture)
	changes["nothing"], changes["widened"] = change{}, change{widen: true}
	for name, c := range changes {
		got, err := r.changed(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if same := worst(want, got[1:]) == 0; same != (name == "nothing" || name == "widened") {
			t.Errorf("%s: logits are the same: %v", name, same)
		}
	}
}

func TestPaired(t *testing.T) {
	if got := paired([]byte("aAbBcCdDeEfFgGhH"), 8, 4); string(got) != "aAcCbBdDeEgGfFhH" {
		t.Errorf("paired to %s", got)
	}
}

func TestPasses(t *testing.T) {
	out := "=== RUN   TestA\n--- PASS: TestA (0.00s)\n    --- PASS: TestA/x (0.00s)\n--- SKIP: TestB (0.00s)\n--- PASS: TestC (1.00s)\nPASS\n"
	if got := passes(out); !slices.Equal(got, []string{"TestA", "TestC"}) {
		t.Errorf("passed: %q", got)
	}
}

// TestLlamaAnswers: what llama.cpp leaves out is an error, not a zero.
func TestLlamaAnswers(t *testing.T) {
	for name, answer := range map[string]string{"none": "", "no JSON": "x\n", "too few": "{}\n1234"} {
		l := newLlama(&bytes.Buffer{}, bytes.NewBufferString(answer))
		l.Vocab = 2
		if err := l.logits([]uint32{1}, 0, func(int, []float32) error { return nil }); err == nil {
			t.Errorf("%s: an answer of %q is no error", name, answer)
		}
	}
}

// TestJoiningTellsSplitsApart: by any other rule the lines have other tokens.
func TestJoiningTellsSplitsApart(t *testing.T) {
	of := func(split string) *text.Text {
		data, err := joining(split)
		if err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		words, err := text.FromGGUF(f)
		if err != nil {
			t.Fatal(err)
		}
		return words
	}
	ours := of("qwen2")
	for _, split := range []string{"gpt-2", "smollm", "llama-bpe"} {
		other := of(split)
		g := generator{Rand: rand.New(rand.NewPCG(1, 2)), special: specials(ours)}
		differ := 0
		for range 200 {
			line := g.line()
			a, errA := ours.Encode(line, true)
			b, errB := other.Encode(line, true)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if !slices.Equal(a, b) {
				differ++
			}
		}
		if differ < 20 {
			t.Errorf("by the rule of %s only %d of 200 lines have other tokens", split, differ)
		}
	}
}
