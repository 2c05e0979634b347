package replay

import "math"

// How far two honest servers may cut apart.
const (
	nearTie   = 0.25 // in nats, of two tokens of which a greedy server may take either
	nearShare = 0.02 // of the probability that top-p keeps
	nearRatio = 0.2  // in nats, at min-p's limit
)

// Sampler is a way to draw from a row. Each keeps some of the likeliest tokens.
type Sampler struct {
	Temperature float64 // 0 takes the likeliest
	TopP        float64
	// Cut before the temperature is applied, as llama.cpp and Ollama do unless they are told otherwise, which OpenAI's API cannot.
	TopK int     // 0: all
	MinP float64 // of the likeliest's probability
}

// Samplers are the ways in which an honest server may draw what was asked for.
func Samplers(temperature, topP float64) []Sampler {
	if temperature == 0 {
		return []Sampler{{}}
	}
	return []Sampler{
		{Temperature: temperature, TopP: topP},
		{Temperature: temperature, TopP: topP, TopK: 40},
		{Temperature: temperature, TopP: topP, TopK: 40, MinP: 0.05},
	}
}

// other is the sampler that OtherSampler has in place of s.
func (s Sampler) other() Sampler {
	if s.Temperature == 0 {
		return Sampler{Temperature: 1, TopP: 1}
	}
	s.Temperature *= 2
	return s
}

// shape is a row as a sampler sees it: weights of the named tokens, bounds on that of the rest, and of how many of the
// likeliest it draws: exactly, at least, and at most. One more than there are names means the rest too.
type shape struct {
	weights        []float64
	low, high      float64
	kept           int
	fewest, widest int
}

// see applies s to a row.
func (s Sampler) see(r Row) shape {
	n := len(r.IDs)
	if s.Temperature == 0 {
		return s.greedy(r)
	}
	sh := shape{weights: make([]float64, n), kept: n + 1, fewest: n + 1, widest: n + 1}
	for i, l := range r.Logprobs {
		sh.weights[i] = math.Exp((l - r.Logprobs[0]) / s.Temperature)
	}
	sh.low, sh.high = s.restWeight(r)
	if s.TopK > 0 {
		s.cutFirst(r, &sh)
		return sh
	}
	if s.TopP < 1 {
		sh.kept = nucleus(sh.weights, sh.low, s.TopP)
		sh.fewest, sh.widest = nucleus(sh.weights, sh.low, s.TopP-nearShare), nucleus(sh.weights, sh.high, s.TopP+nearShare)
		if sh.widest > n { // the cut lies in the rest, nobody knows where
			sh.fewest = min(sh.fewest, n)
		}
	}
	return sh
}

// greedy draws the first token, and may draw those that are as good as that.
func (s Sampler) greedy(r Row) shape {
	sh := shape{weights: make([]float64, len(r.IDs)), kept: 1, fewest: 1, widest: 1}
	sh.weights[0] = 1
	for sh.widest < len(r.IDs) && r.Logprobs[sh.widest] >= r.Logprobs[0]-nearTie {
		sh.widest++
	}
	return sh
}

// restWeight bounds the sum over the rest of p^(1/T), in the unit of weights: each of its tokens is no likelier than the last
// that is named, there are no more than the vocabulary has, and a sum of powers is largest or smallest for equal parts.
func (s Sampler) restWeight(r Row) (low, high float64) {
	rest := r.rest()
	if rest == 0 {
		return 0, 0
	}
	power, top, last := 1/s.Temperature, r.Logprobs[0], r.Logprobs[len(r.Logprobs)-1]
	unit := math.Exp(-top * power)
	tied := rest * math.Exp(last*(power-1)) * unit // as if all were as likely as the last
	if power >= 1 {
		return 0, tied
	}
	spread := math.Pow(float64(r.Vocabulary-len(r.IDs)), 1-power) * math.Pow(rest, power) * unit
	return min(tied, spread), max(tied, spread)
}

// cutFirst keeps the TopK likeliest, of these as many as make TopP, and of these what reaches MinP.
func (s Sampler) cutFirst(r Row, sh *shape) {
	n := min(s.TopK, len(r.IDs))
	plain := make([]float64, n)
	for i := range plain {
		plain[i] = math.Exp(r.Logprobs[i] - r.Logprobs[0])
	}
	cut := func(share, ratio float64) int {
		k := n
		if s.TopP < 1 {
			k = min(nucleus(plain, 0, s.TopP+share), n)
		}
		for s.MinP > 0 && k > 1 && r.Logprobs[k-1]-r.Logprobs[0] < math.Log(s.MinP)+ratio {
			k--
		}
		return k
	}
	sh.kept, sh.fewest, sh.widest = cut(0, 0), cut(-nearShare, nearRatio), cut(nearShare, -nearRatio)
}

// nucleus is how many of the likeliest have the share of the sum of all weights and the rest: one more than there are if it takes the rest.
func nucleus(weights []float64, rest, share float64) int {
	total := rest
	for _, w := range weights {
		total += w
	}
	sum := 0.0
	for i, w := range weights {
		if sum += w; sum >= share*total {
			return i + 1
		}
	}
	if rest == 0 {
		return len(weights)
	}
	return len(weights) + 1
}

// central is the distribution itself: the chance of each name, and of the rest.
func (sh shape) central() (named []float64, rest float64) {
	named = make([]float64, len(sh.weights))
	if sh.kept > len(sh.weights) {
		rest = sh.low
		if sh.low == 0 {
			rest = sh.high / 2
		}
	}
	total := rest
	for i := range min(sh.kept, len(named)) {
		named[i] = sh.weights[i]
		total += sh.weights[i]
	}
	for i := range named {
		named[i] /= total
	}
	return named, rest / total
}
