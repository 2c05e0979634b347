package worth

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/receipt"
)

// clockwork is a model whose tokens take a stated time, by a clock that only it
// moves.
type clockwork struct {
	now       time.Duration
	perPrompt time.Duration
	perAnswer time.Duration
	context   int
	tokens    func(n int, r receipt.Request) int // of answer n; nil for as many as may be
	stall     bool                               // until its caller gives up
	slower    time.Duration                      // that each answer takes longer per token than the one before
	asked     []receipt.Request
}

func (c *clockwork) Context() int { return c.context }

func (c *clockwork) Generate(ctx context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error) {
	if err := r.Validate(); err != nil {
		return receipt.Answer{}, err
	}
	c.asked = append(c.asked, r)
	if c.stall {
		<-ctx.Done()
		return receipt.Answer{}, ctx.Err()
	}
	n := int(r.Params.MaxTokens)
	if c.tokens != nil {
		n = c.tokens(len(c.asked), r)
	}
	c.now += time.Duration(len(r.Tokens)) * c.perPrompt
	for i := range n {
		if i > 0 {
			c.now += c.perAnswer
		}
		if err := emit(receipt.Token{}); err != nil {
			return receipt.Answer{}, err
		}
	}
	c.perAnswer += c.slower
	return receipt.Answer{}, nil
}

func (c *clockwork) bench(budget time.Duration) Bench {
	return Bench{Budget: budget, Limit: time.Hour, Clock: func() time.Duration { return c.now }}
}

var id = canon.NewCID(canon.DagCBOR, canon.Hash{1})

func TestMeasure(t *testing.T) {
	for name, c := range map[string]struct {
		m    clockwork
		want Speed
	}{
		"fast":            {clockwork{perPrompt: time.Millisecond, perAnswer: 10 * time.Millisecond, context: 4096}, Speed{256, 64, 3, 1_000_000, 100_000}},
		"slow":            {clockwork{perPrompt: 10 * time.Millisecond, perAnswer: 100 * time.Millisecond, context: 4096}, Speed{64, 16, 3, 100_000, 10_000}},
		"beyond budget":   {clockwork{perPrompt: time.Second, perAnswer: 3 * time.Second, context: 4096}, Speed{16, 4, 3, 1_000, 333}},
		"small context":   {clockwork{perPrompt: time.Millisecond, perAnswer: time.Millisecond, context: 33}, Speed{16, 8, 3, 1_000_000, 1_000_000}},
		"tiny context":    {clockwork{perPrompt: time.Millisecond, perAnswer: time.Millisecond, context: 4}, Speed{2, 2, 3, 1_000_000, 1_000_000}},
		"below the clock": {clockwork{context: 4096}, Speed{256, 64, 3, 256_000_000_000_000, 63_000_000_000_000}},
		"middle of three": {clockwork{perPrompt: time.Millisecond, perAnswer: 2 * time.Millisecond, slower: 2 * time.Millisecond, context: 4096}, Speed{256, 64, 3, 1_000_000, 166_666}},
		"answers cut short": {clockwork{perPrompt: time.Millisecond, perAnswer: 10 * time.Millisecond, context: 4096,
			tokens: func(n int, r receipt.Request) int { return n % 3 }}, Speed{256, 64, 3, 1_000_000, 100_000}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.m.bench(10*time.Second).Measure(t.Context(), &c.m, id)
			if err != nil || got != c.want {
				t.Errorf("measured %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// TestMeasureAsksTheSame: two machines are measured by the same requests, and no
// round repeats another, which an engine may remember.
func TestMeasureAsksTheSame(t *testing.T) {
	var all [2][]canon.Hash
	for i := range all {
		m := clockwork{perPrompt: time.Millisecond, perAnswer: time.Millisecond, context: 4096}
		if _, err := m.bench(time.Minute).Measure(t.Context(), &m, id); err != nil {
			t.Fatal(err)
		}
		for _, r := range m.asked {
			all[i] = append(all[i], r.Hash())
		}
	}
	if !slices.Equal(all[0], all[1]) || len(all[0]) != 1+rounds {
		t.Errorf("asked %d and %d requests, or others", len(all[0]), len(all[1]))
	}
	slices.SortFunc(all[0], func(a, b canon.Hash) int { return slices.Compare(a[:], b[:]) })
	if len(slices.Compact(all[0])) != 1+rounds {
		t.Error("a request was asked twice")
	}
}

func TestMeasureGivesUp(t *testing.T) {
	terse := clockwork{context: 4096, tokens: func(int, receipt.Request) int { return 1 }}
	if _, err := terse.bench(time.Second).Measure(t.Context(), &terse, id); !errors.Is(err, ErrTerse) {
		t.Errorf("a model that says nothing: %v", err)
	}
	if len(terse.asked) != attempts {
		t.Errorf("asked it %d times", len(terse.asked))
	}
	stalled := clockwork{context: 4096, stall: true}
	b := stalled.bench(time.Second)
	b.Limit = time.Millisecond
	// The stall has an end of its own, as a broken limit would wait for it.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := b.Measure(ctx, &stalled, id); !errors.Is(err, ErrSlow) {
		t.Errorf("a model that stalls: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	stalled = clockwork{context: 4096, stall: true}
	if _, err := stalled.bench(time.Second).Measure(ended, &stalled, id); !errors.Is(err, context.Canceled) || errors.Is(err, ErrSlow) {
		t.Errorf("a user who leaves: %v", err)
	}
}

// server is a declared model's, by a clock that only it moves: it counts two tokens
// a word, and gives its answer in pieces of several tokens.
type server struct {
	clockwork
	pieces int // of an answer; one has all tokens that were asked for
	silent bool
	output uint64 // tokens, if not as many as were asked for
}

func (c *server) Generate(ctx context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error) {
	if err := r.Validate(); err != nil {
		return receipt.Answer{}, err
	}
	c.asked = append(c.asked, r)
	if c.stall {
		<-ctx.Done()
		return receipt.Answer{}, ctx.Err()
	}
	u := receipt.Usage{Input: 2 * uint64(len(strings.Fields(r.Chat))), Output: cmp.Or(c.output, r.Params.MaxTokens)}
	c.now += time.Duration(u.Input) * c.perPrompt
	for i := range c.pieces {
		if i > 0 || c.pieces == 1 {
			c.now += time.Duration(u.Output-1) * c.perAnswer / time.Duration(max(1, c.pieces-1))
		}
		if err := emit(receipt.Token{Text: "x"}); err != nil {
			return receipt.Answer{}, err
		}
	}
	if c.silent {
		u.Input = 0
	}
	return receipt.Answer{Usage: &u}, nil
}

// A server's speed is by the tokens that it reports, not by the pieces that come, and
// of an answer in one piece it is no better than the whole.
func TestMeasureServed(t *testing.T) {
	declared := canon.NewCID(canon.Raw, canon.Hash{1})
	words := uint64(len(strings.Fields(servedRequest(declared, 1, servedWords, servedAnswer).Chat)))
	if words < servedWords {
		t.Fatalf("%d words", words)
	}
	pace := clockwork{perPrompt: time.Millisecond, perAnswer: 10 * time.Millisecond}
	whole := 2*words + (servedAnswer-1)*10 // ms
	for name, c := range map[string]struct {
		m    server
		want Speed
	}{
		"pieces":    {server{clockwork: pace, pieces: 5}, Speed{2 * words, servedAnswer, 1, 1_000_000, 100_000}},
		"one piece": {server{clockwork: pace, pieces: 1}, Speed{2 * words, servedAnswer, 1, 2 * words * 1_000_000 / whole, servedAnswer * 1_000_000 / whole}},
		"no count":  {server{clockwork: pace, pieces: 5, silent: true}, Speed{words, servedAnswer, 1, 500_000, 100_000}},
	} {
		got, err := c.m.bench(0).MeasureServed(t.Context(), &c.m, declared, 7)
		if err != nil || got != c.want {
			t.Errorf("%s: measured %+v, %v; want %+v", name, got, err, c.want)
		}
		var tokens uint64
		for _, r := range c.m.asked {
			tokens += r.Params.MaxTokens
		}
		if len(c.m.asked) != 2 || tokens > 64 || c.m.asked[0].Chat == c.m.asked[1].Chat {
			t.Errorf("%s: asked %d times for %d tokens", name, len(c.m.asked), tokens)
		}
	}
	terse := server{clockwork: pace, pieces: 1, output: 1}
	if _, err := terse.bench(0).MeasureServed(t.Context(), &terse, declared, 7); !errors.Is(err, ErrTerse) {
		t.Errorf("a model that says nothing: %v", err)
	}
	stalled := server{clockwork: clockwork{stall: true}}
	b := stalled.bench(0)
	b.Limit = time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := b.MeasureServed(ctx, &stalled, declared, 7); !errors.Is(err, ErrSlow) {
		t.Errorf("a server that stalls: %v", err)
	}
}
