// Package replay judges whether a text can be what a model answered where nobody can compute the answer again
// (class D2): another machine reads the text, and says at each of its tokens what the model would have gone on
// with. Against each of several other things that a server may have run instead, the likelihoods are compared.
//
// The rule is in spec/verify.md. It guarantees: a server that draws from the reference, by any of the samplers
// of [Samplers] and within [Tolerance] at each token, is rejected with a chance of at most [FalseAlarm] over
// all tests together, however long its answer is and wherever it ends. What a provider says of its own
// likelihoods does not enter. Power is measured by draws, and what is stated of it is a lower bound.
//
// It is pure, and the same input gives the same result on one machine. It uses floats: no ledger rests on it.
// Start at [Judge].
package replay

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

const (
	// FalseAlarm is the chance that an honest server is rejected, all tests together.
	FalseAlarm = 1e-3
	// Tolerance is by how much, in total variation, an honest server's chances at one token may differ from
	// the reference's: its kernels, its cache and its seldom tokens are other.
	Tolerance = 0.02
	// MinPower is the chance of being seen that each alternative must have.
	MinPower = 0.99
	// Draws is how many answers are drawn to measure a power, for each sampler.
	Draws = 10_000
	// MaxTokens is how many tokens of an answer are judged at most: its first.
	MaxTokens = 2048
	// MaxRow is how many tokens a row names at most.
	MaxRow = 256

	overconfidence = 1e-3 // the chance that a stated power is above the real one
	complete       = 1e-6 // of a row's probability may be missing or too much by rounding
)

// Kind is what a server may have run instead of the model.
type Kind string

// The kinds that SOUNDNESS 5 wants measured, and Other: any text that the reference would hardly give. The power
// against Other depends on what it is, so it is not measured.
const (
	Smaller      Kind = "smaller"
	FourBit      Kind = "4-bit"
	HalfLayers   Kind = "half the layers"
	CutPrompt    Kind = "cut prompt"
	OtherSampler Kind = "other sampler"
	Other        Kind = "other text"
)

// Kinds are those whose power is measured, in the order in which they are shown.
var Kinds = []Kind{Smaller, FourBit, HalfLayers, CutPrompt, OtherSampler}

// Given are those for which somebody can name a model or a server that is it.
var Given = []Kind{Smaller, FourBit, HalfLayers}

// Row is what may follow at one place, at temperature 1 and before anything is cut: the likeliest tokens,
// likeliest first, and the natural logarithms of their probabilities. The rest of the probability is shared, in an unknown
// way, by the other tokens of the vocabulary.
type Row struct {
	IDs        []uint32
	Logprobs   []float64
	Vocabulary int // or more
}

// rest is the probability of what the row does not name.
func (r Row) rest() float64 {
	if len(r.IDs) >= r.Vocabulary {
		return 0
	}
	sum := 0.0
	for _, l := range r.Logprobs {
		sum += math.Exp(l)
	}
	return max(0, 1-sum)
}

// Check reports what no row can be.
func (r Row) Check() error {
	if len(r.IDs) == 0 || len(r.IDs) != len(r.Logprobs) || len(r.IDs) > MaxRow || len(r.IDs) > r.Vocabulary {
		return fmt.Errorf("%d tokens with %d log-probabilities are no row", len(r.IDs), len(r.Logprobs))
	}
	seen, sum := make(map[uint32]bool, len(r.IDs)), 0.0
	for i, l := range r.Logprobs {
		if !(l <= complete) || math.IsInf(l, -1) {
			return fmt.Errorf("%g is no log-probability", l)
		}
		if i > 0 && l > r.Logprobs[i-1] {
			return errors.New("the likeliest tokens do not come first")
		}
		if seen[r.IDs[i]] {
			return fmt.Errorf("token %d is named twice", r.IDs[i])
		}
		seen[r.IDs[i]] = true
		sum += math.Exp(l)
	}
	if sum > 1+1e-3 {
		return fmt.Errorf("its probabilities add up to %g", sum)
	}
	if r.Logprobs[0] < -math.Log(float64(r.Vocabulary))-1e-3 {
		return fmt.Errorf("the likeliest of %d tokens has a log-probability of only %g", r.Vocabulary, r.Logprobs[0])
	}
	return nil
}

// Case is an answer, and what others would have gone on with at each of its tokens.
type Case struct {
	Tokens       []uint32
	Temperature  float64 // as asked; 0 takes the likeliest
	TopP         float64 // as asked, of 1
	Reference    []Row
	Alternatives map[Kind][]Row // OtherSampler needs none: it is the reference's, drawn otherwise
}

// Outcome is what the tests say together.
type Outcome string

// The outcomes. Consistent is not a yes: it says that each alternative would have been seen, and none was.
const (
	Consistent   Outcome = "consistent"
	Disagree     Outcome = "disagree"
	Inconclusive Outcome = "inconclusive"
)

// Test is one comparison.
type Test struct {
	Kind      Kind
	Statistic float64 // the most that a beginning of the answer speaks against the reference, in nats
	Threshold float64 // from which on it rejects
	Measured  bool    // that Power is known
	Power     float64 // lower bound of the chance that such an answer is rejected
}

// Rejects reports that the answer speaks against the reference.
func (t Test) Rejects() bool { return t.Statistic >= t.Threshold }

// Result is what was found.
type Result struct {
	Tokens int // that were judged
	Tests  []Test
}

// Outcome is what the tests say together, and for inconclusive why.
func (r Result) Outcome() (Outcome, string) {
	for _, t := range r.Tests {
		if t.Rejects() {
			return Disagree, ""
		}
	}
	if r.Tokens == 0 {
		return Inconclusive, "the answer has no text"
	}
	for _, k := range Kinds {
		t, ok := r.of(k)
		if !ok {
			return Inconclusive, fmt.Sprintf("the power against %s is not measured", k)
		}
		if t.Power < MinPower {
			return Inconclusive, fmt.Sprintf("with %d tokens the power against %s is only %.1f %%", r.Tokens, k, math.Floor(1000*t.Power)/10)
		}
	}
	return Consistent, ""
}

func (r Result) of(k Kind) (Test, bool) {
	for _, t := range r.Tests {
		if t.Kind == k {
			return t, t.Measured
		}
	}
	return Test{}, false
}

// Judge does all tests. The rows have passed Row.Check, and there is one for each token.
func Judge(c Case) (Result, error) {
	if len(c.Tokens) > MaxTokens {
		return Result{}, fmt.Errorf("%d tokens are more than are judged", len(c.Tokens))
	}
	rows := map[Kind][]Row{OtherSampler: c.Reference, Other: c.Reference}
	for kind, given := range c.Alternatives {
		rows[kind] = given
	}
	r := Result{Tokens: len(c.Tokens)}
	for _, kind := range append(Kinds[:len(Kinds):len(Kinds)], Other) {
		given, ok := rows[kind]
		if !ok {
			r.Tests = append(r.Tests, Test{Kind: kind, Threshold: threshold(len(Samplers(c.Temperature, c.TopP)))})
			continue
		}
		if len(given) != len(c.Tokens) || len(c.Reference) != len(c.Tokens) {
			return Result{}, fmt.Errorf("%d tokens have %d and %d rows", len(c.Tokens), len(c.Reference), len(given))
		}
		r.Tests = append(r.Tests, c.test(kind, given))
	}
	return r, nil
}

// threshold is Ville's: a game that is fair to an honest server multiplies its stake by as much, at whatever moment, with a
// chance of at most 1 in that; and each of the tests plays as many games against one sampler as there are.
func threshold(samplers int) float64 {
	return math.Log(float64((len(Kinds)+1)*samplers) / FalseAlarm)
}

// test plays one alternative's games: whatever sampler an honest server has, and whatever sampler that alternative.
func (c Case) test(kind Kind, rows []Row) Test {
	samplers := Samplers(c.Temperature, c.TopP)
	bets := make([]bet, len(c.Tokens))
	for i, token := range c.Tokens {
		bets[i] = newBet(kind, samplers, c.Reference[i], rows[i], token)
	}
	t := Test{Kind: kind, Threshold: threshold(len(samplers)), Statistic: statistic(bets, len(samplers))}
	if kind != Other && len(c.Tokens) > 0 {
		t.Measured, t.Power = true, power(bets, len(samplers), t.Threshold)
	}
	return t
}

// statistic is the most that any beginning of the answer wins, against the sampler for which that is least.
func statistic(bets []bet, samplers int) float64 {
	sums, best := make([]float64, samplers*samplers), make([]float64, samplers)
	for _, b := range bets {
		for g, won := range b.wins[b.got*len(sums):][:len(sums)] {
			sums[g] += won
			best[g/samplers] = max(best[g/samplers], sums[g])
		}
	}
	return slices.Min(best)
}
