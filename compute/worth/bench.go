// Package worth says what a machine is worth to its owner as a provider: how fast
// it runs the model that it is going to serve ([Bench]), and what that would
// earn in a day against what electricity costs ([Estimate]).
//
// A speed is the provider's own number, for its owner's eyes: nothing on the ledger
// rests on it.
package worth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"daulat/core/canon"
	"daulat/core/receipt"
)

// Model is what is measured; an executor's model is one.
type Model interface {
	Generate(ctx context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error)
	Context() int
}

// Speed is how fast a model ran, one answer at a time: the middle of Rounds.
// Rates are thousandths of a token per second, rounded down.
type Speed struct {
	Prompt  uint64 `json:"prompt_tokens"` // of a round
	Answer  uint64 `json:"answer_tokens"` // of a round at most
	Rounds  uint64 `json:"rounds"`
	Prefill uint64 `json:"prefill_millitokens_per_second"`
	Decode  uint64 `json:"decode_millitokens_per_second"`
}

// Bench says how to measure.
type Bench struct {
	Budget time.Duration        // that the rounds should take together
	Limit  time.Duration        // after which it is given up
	Clock  func() time.Duration // that never goes back
}

// NewBench measures by this machine's monotonic clock.
func NewBench(budget, limit time.Duration) Bench {
	began := time.Now()
	return Bench{Budget: budget, Limit: limit, Clock: func() time.Duration { return time.Since(began) }}
}

// Errors of a measurement.
var (
	ErrSlow  = errors.New("the model is too slow on this machine to be measured")
	ErrTerse = errors.New("the model ends its answers at once, so its speed cannot be measured")
)

// Sizes of rounds. Only their numbers of tokens count, not what the tokens say; so
// they are drawn among the first of the vocabulary, which every model has.
const (
	rounds       = 3
	vocabulary   = 256
	largePrompt  = 256
	largeAnswer  = 64
	halvings     = 4  // from the large sizes to the smallest
	warmPrompt   = 16 // which are the warm-up's, too
	warmAnswer   = 4
	attempts     = 3 // at a round, if the model ends its answer early
	milliPerNano = 1_000_000_000_000
)

// Measure times a warm-up, chooses the size of rounds by it, and times those.
// Prompts and draws are the same every time.
func (b Bench) Measure(ctx context.Context, m Model, id canon.CID) (Speed, error) {
	return b.limited(ctx, func(ctx context.Context) (Speed, error) { return b.measure(ctx, m, id) })
}

// limited measures until the limit.
func (b Bench) limited(ctx context.Context, measure func(context.Context) (Speed, error)) (Speed, error) {
	limited, cancel := context.WithTimeoutCause(ctx, b.Limit, ErrSlow)
	defer cancel()
	s, err := measure(limited)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(limited), ErrSlow) {
		return Speed{}, fmt.Errorf("%w in %s", ErrSlow, b.Limit)
	}
	return s, err
}

func (b Bench) measure(ctx context.Context, m Model, id canon.CID) (Speed, error) {
	warm, err := b.round(ctx, m, request(id, 0, fit(m.Context(), warmPrompt, warmAnswer)))
	if err != nil {
		return Speed{}, err
	}
	z := choose(warm, b.Budget, m.Context())
	s := Speed{Prompt: uint64(z.prompt), Answer: uint64(z.answer)}
	var prefill, decode []uint64
	for i := range uint64(rounds) {
		r, err := b.round(ctx, m, request(id, 1+i, z))
		if err != nil {
			return Speed{}, err
		}
		s.Rounds++
		prefill = append(prefill, r.prefill())
		decode = append(decode, r.decode())
	}
	s.Prefill, s.Decode = middle(prefill), middle(decode)
	return s, nil
}

type size struct{ prompt, answer int }

// fit cuts a size to what a model's context holds.
func fit(context, prompt, answer int) size {
	return size{max(1, min(prompt, context/2)), max(2, min(answer, context/4))}
}

// choose is the largest size whose rounds stay within the budget if they go like
// the warm-up, or the smallest.
func choose(warm timing, budget time.Duration, context int) size {
	perPrompt := warm.first / time.Duration(warm.size.prompt)
	perAnswer := warm.rest / time.Duration(warm.tokens-1)
	for h := range halvings {
		z := fit(context, largePrompt>>h, largeAnswer>>h)
		if rounds*(time.Duration(z.prompt)*perPrompt+time.Duration(z.answer)*perAnswer) <= budget {
			return z
		}
	}
	return fit(context, largePrompt>>halvings, largeAnswer>>halvings)
}

// timing is how one answer went: the time until its first token, which is the
// prefill, and from there to the last one.
type timing struct {
	size        size
	tokens      int // of the answer, at least 2
	first, rest time.Duration
}

func (t timing) prefill() uint64 { return rate(t.size.prompt, t.first) }
func (t timing) decode() uint64  { return rate(t.tokens-1, t.rest) }

// rate is thousandths of a token per second. A clock too coarse to see the time
// pass has seen a nanosecond.
func rate(tokens int, took time.Duration) uint64 {
	return uint64(tokens) * milliPerNano / uint64(max(1, took))
}

func middle(v []uint64) uint64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// round times one answer, or another one if the model ends it before there is a
// rate to see.
func (b Bench) round(ctx context.Context, m Model, r receipt.Request) (timing, error) {
	for range attempts {
		t, err := b.answer(ctx, m, r)
		if err != nil || t.tokens >= 2 {
			return t, err
		}
		r.Counter++
	}
	return timing{}, ErrTerse
}

func (b Bench) answer(ctx context.Context, m Model, r receipt.Request) (timing, error) {
	t := timing{size: size{len(r.Tokens), int(r.Params.MaxTokens)}}
	began := b.Clock()
	first := began
	last := began
	_, err := m.Generate(ctx, r, func(receipt.Token) error {
		last = b.Clock()
		if t.tokens++; t.tokens == 1 {
			first = last
		}
		return nil
	})
	t.first, t.rest = first-began, last-first
	return t, err
}

// request is round n of a model. It is drawn hot, so that the answer does not end
// early by the model's own liking.
func request(model canon.CID, n uint64, z size) receipt.Request {
	random := rand.New(rand.NewPCG(n, 0x776f727468))
	tokens := make([]uint32, z.prompt)
	for i := range tokens {
		tokens[i] = random.Uint32N(vocabulary)
	}
	return receipt.Request{Version: canon.Version, Key: canon.PublicKey{1}, Counter: n << 8, Model: model, Tokens: tokens,
		Params: receipt.Params{MaxTokens: uint64(z.answer), Temperature: receipt.MaxTemperature, TopP: receipt.MaxTopP}}
}
