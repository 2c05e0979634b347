package float

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"daulat/model/gguf"
	"daulat/model/synthetic"
)

var ctx = context.Background()

func load(t testing.TB, seed uint64, o synthetic.Options) (*Model, *gguf.File) {
	t.Helper()
	return loadOf(t, "llama", seed, o)
}

func loadOf(t testing.TB, architecture string, seed uint64, o synthetic.Options) (*Model, *gguf.File) {
	t.Helper()
	data, err := synthetic.Model(architecture, seed, o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load(f)
	if err != nil {
		t.Fatal(err)
	}
	return m, f
}

func prompt(m *Model, n int) []uint32 {
	random := rand.New(rand.NewPCG(9, uint64(n)))
	tokens := make([]uint32, n)
	for i := range tokens {
		tokens[i] = random.Uint32N(uint32(m.Vocab()))
	}
	return tokens
}

// run returns the logits after every token.
func run(t testing.TB, s *State, tokens []uint32) [][]float32 {
	t.Helper()
	var out [][]float32
	err := s.Append(ctx, tokens, 0, func(i int, logits []float32) error {
		if i != len(out) {
			return fmt.Errorf("visit of %d after %d", i, len(out))
		}
		out = append(out, slices.Clone(logits))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(tokens) {
		t.Fatalf("%d visits for %d tokens", len(out), len(tokens))
	}
	return out
}

func equal(t *testing.T, what string, got, want [][]float32) {
	t.Helper()
	for i := range want {
		for j := range want[i] {
			if !sameBits(got[i][j], want[i][j]) {
				t.Fatalf("%s: logit %d after token %d is %x, want %x", what, j, i, got[i][j], want[i][j])
			}
		}
	}
}

// models covers every architecture and tensor type, both output kinds, head dimensions that are no multiple of 16, rotary
// factors, and a context longer than a page of positions.
var models = []struct {
	name   string // begins with the architecture, unless that is llama
	o      synthetic.Options
	golden string // hash of all logits of a prompt that fills the context
}{
	{"f32", synthetic.Options{Context: 300}, "2bdd44fe7e658436639b5c4ab58c007cd54f50c16b3559689b2cec7a332c5f17"},
	{"f16", synthetic.Options{Type: gguf.F16, Context: 33, Untied: true}, "d682ce7804fb18150c9b5ae5163d0969a0fef1410a91b83c0428c48bb0c53826"},
	{"bf16", synthetic.Options{Type: gguf.BF16, Context: 33, Heads: 3, KVHeads: 1, Width: 30, FFN: 50}, "27239b841d99e957c327a4fcac0ee2413d6c6eebacc852f4db34cf66e3c25caf"},
	{"q8_0", synthetic.Options{Type: gguf.Q8_0, Context: 33, Factors: true, HeadDim: 24}, "b5b2599f642df5ac38188b43f61044e6c04209c499f02d119b9769b57949d08e"},
	{"q4_0", synthetic.Options{Type: gguf.Q4_0, Context: 33, Layers: 1, KVHeads: 4}, "af21d856d5106939d2724000bd2b0957a843d3083139aca524e6ae1d97abdb68"},
	{"q4_k", synthetic.Options{Type: gguf.Q4_K, Context: 33, Layers: 1, Width: 256, FFN: 512, Untied: true}, "79aa05b9302d93f0a6ec1c6eb055561faaba11606c1ff4e7296d76be862f58ea"},
	{"q6_k", synthetic.Options{Type: gguf.Q6_K, Context: 33, Layers: 1, Width: 256, FFN: 256, Heads: 8, KVHeads: 1}, "cc2a760c3ea1e22c0e755e36559440de6b8960b87d1a88e918ecfa96e5e1f371"},
	{"q4_k_m", synthetic.Options{Type: gguf.Q4_K, Mixed: true, Context: 33, Layers: 1, Width: 256, FFN: 256, HeadDim: 128}, "6e15051bcf1c4d2fde7b49e9b3c3adbbb9749733d2e0229d9dadb17e5983e23d"},
	{"qwen2", synthetic.Options{Context: 33, Base: 1e6, HeadDim: 24}, "79595c26a3770c76c5fce6c05c563cec5cfd63a9673b02b78221e6e5be56f5a1"},
	{"qwen2 q4_1", synthetic.Options{Type: gguf.Q4_1, Context: 33, Layers: 1, Untied: true, Heads: 2, KVHeads: 1}, "dd77d413b70fb4cf65d89d0f734bbe72d38817feb1acec0971e2b09f8f1e5a8a"},
	{"qwen3", synthetic.Options{Context: 33, Base: 1e6, HeadDim: 40}, "99591267f503d53a774b8dd52160eda479f3c4692493594dac14f5052fc2a8e4"},
	{"qwen3 q8_0", synthetic.Options{Type: gguf.Q8_0, Context: 33, Layers: 1, Untied: true, Heads: 6, KVHeads: 3, HeadDim: 16}, "9ff30c4e9f3c78238f35a5b8a4691dc4367fb396aa9c0eb335e6dca215370e9e"},
	{"q4_1", synthetic.Options{Type: gguf.Q4_1, Context: 270, Untied: true, Factors: true, Base: 500000}, "4d782b15585b7669edb4796e37bcfd52f82496d06f29782c44967af53d625e38"},
}

func architecture(name string) string {
	if first, _, _ := strings.Cut(name, " "); families[first] != (family{}) {
		return first
	}
	return "llama"
}

// TestGolden compares with what another machine computed.
func TestGolden(t *testing.T) {
	for _, c := range models {
		m, _ := loadOf(t, architecture(c.name), 11, c.o)
		hash := sha256.New()
		for _, row := range run(t, m.NewState(StateOptions{}), prompt(m, m.Context())) {
			for _, x := range row {
				hash.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
			}
		}
		if got := hex.EncodeToString(hash.Sum(nil)); got != c.golden {
			t.Errorf("%s: hash %s, want %s", c.name, got, c.golden)
		}
	}
}

func TestPrefillEqualsDecode(t *testing.T) {
	for _, c := range models {
		m, _ := loadOf(t, architecture(c.name), 12, c.o)
		tokens := prompt(m, m.Context())
		reference := m.NewState(StateOptions{Threads: 1})
		reference.kernel = portable
		var want [][]float32
		for i := range tokens {
			want = append(want, run(t, reference, tokens[i:i+1])...)
		}
		for _, k := range available {
			for _, block := range []int{1, 2, 7, 32, 1000} {
				for threads := 1; threads <= 3; threads++ {
					s := m.NewState(StateOptions{Threads: threads, Block: block})
					s.kernel = k
					equal(t, fmt.Sprintf("%s: %s, block %d, %d threads", c.name, k.name, block, threads), run(t, s, tokens), want)
				}
			}
		}
	}
}

// TestNaive compares with a model written straight from the formulas in float64.
func TestNaive(t *testing.T) {
	for _, c := range models {
		m, f := loadOf(t, architecture(c.name), 13, c.o)
		tokens := prompt(m, 30)
		want := naive(f, m.shape, tokens)
		spread := 0.0
		for i, row := range run(t, m.NewState(StateOptions{}), tokens) {
			for j, x := range row {
				if e := math.Abs(float64(x) - want[i][j]); e > 2e-4 {
					t.Fatalf("%s: logit %d after token %d is %g, want %g", c.name, j, i, x, want[i][j])
				}
				spread = max(spread, math.Abs(want[i][j]))
			}
		}
		if spread < 1 {
			t.Errorf("%s: the logits are all below %g: too small to show a mistake", c.name, spread)
		}
	}
}

func TestFromAndTruncate(t *testing.T) {
	m, _ := load(t, 14, synthetic.Options{})
	tokens := prompt(m, 40)
	want := run(t, m.NewState(StateOptions{}), tokens)
	for _, from := range []int{-3, 0, 5, 6, 7, 39, 40, 99} {
		s := m.NewState(StateOptions{Block: 7})
		next := max(from, 0)
		err := s.Append(ctx, tokens, from, func(i int, logits []float32) error {
			if i != next {
				t.Fatalf("from %d: visit of %d, want %d", from, i, next)
			}
			equal(t, "from", [][]float32{logits}, want[i:i+1])
			next++
			return nil
		})
		if err != nil || next != max(from, 40) || s.Len() != 40 {
			t.Fatalf("from %d: %v, next visit %d, length %d", from, err, next, s.Len())
		}
	}
	s := m.NewState(StateOptions{})
	run(t, s, prompt(m, 50))
	s.Truncate(0)
	run(t, s, tokens[:20])
	run(t, s, prompt(m, 30)[20:])
	s.Truncate(20)
	s.Truncate(99)
	if s.Len() != 20 {
		t.Fatalf("length %d", s.Len())
	}
	equal(t, "after truncating", run(t, s, tokens[20:]), want[20:])
}

// TestErrorsChangeNothing: after each refusal the sequence goes on as if it had not been asked.
func TestErrorsChangeNothing(t *testing.T) {
	m, _ := load(t, 15, synthetic.Options{Context: 50})
	tokens := prompt(m, 50)
	want := run(t, m.NewState(StateOptions{}), tokens)
	s := m.NewState(StateOptions{Block: 4})
	run(t, s, tokens[:10])
	stop := errors.New("stop")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	later, cancelLater := context.WithCancel(ctx)
	none := func(int, []float32) error { return nil }
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"context":    {s.Append(ctx, make([]uint32, 41), 0, none), "context holds 50"},
		"vocabulary": {s.Append(ctx, []uint32{1, 2, 3, 4, 5, uint32(m.Vocab())}, 0, none), "vocabulary"},
		"huge token": {s.Append(ctx, []uint32{math.MaxUint32}, 0, none), "vocabulary"},
		"visit": {s.Append(ctx, tokens[10:30], 0, func(i int, _ []float32) error {
			if i == 6 {
				return stop
			}
			return nil
		}), "stop"},
		"cancelled": {s.Append(cancelled, tokens[10:30], 0, none), "canceled"},
		"cancelled later": {s.Append(later, tokens[10:30], 0, func(i int, _ []float32) error {
			if i == 5 {
				cancelLater()
			}
			if i == 8 { // a block later
				return errors.New("not cancelled")
			}
			return nil
		}), "canceled"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
	if s.Len() != 10 {
		t.Fatalf("length %d", s.Len())
	}
	equal(t, "after errors", run(t, s, tokens[10:]), want[10:])
}

// countdown is a context that ends when it has been asked a number of times.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestContextBetweenLayers: one long block does not hold up the caller.
func TestContextBetweenLayers(t *testing.T) {
	m, _ := load(t, 17, synthetic.Options{Layers: 5})
	s := m.NewState(StateOptions{})
	for left := range 5 {
		if err := s.Append(&countdown{ctx, left}, prompt(m, 3), 3, nil); !errors.Is(err, context.Canceled) || s.Len() != 0 {
			t.Errorf("ended before layer %d: %v, length %d", left, err, s.Len())
		}
	}
}

// TestStatesAreApart runs two sequences of one model at once.
func TestStatesAreApart(t *testing.T) {
	m, _ := load(t, 16, synthetic.Options{})
	tokens := prompt(m, 30)
	want := run(t, m.NewState(StateOptions{}), tokens)
	results := make(chan [][]float32, 4)
	for range cap(results) {
		go func() {
			var out [][]float32
			s := m.NewState(StateOptions{Threads: 2, Block: 5})
			_ = s.Append(ctx, tokens, 0, func(_ int, logits []float32) error {
				out = append(out, slices.Clone(logits))
				return nil
			})
			results <- out
		}()
	}
	for range cap(results) {
		if got := <-results; len(got) != len(want) {
			t.Errorf("%d visits", len(got))
		} else {
			equal(t, "beside others", got, want)
		}
	}
}
