// Package sample picks the next token from logits in pure integers, one sampler
// for every engine.
//
// Engines differ in how they compute logits; from there on all of them share
// these functions, so that the same logits, parameters and draw give the same
// token on any machine. The rules are normative in spec/sample.md, with golden
// vectors in spec/vectors/sample.json.
//
// Guarantees: no floating point after Fix; every result is exact and total (any
// int32 logits, any valid Params, any draw); Sampler allocates nothing once its
// buffer has grown; time is linear in the vocabulary.
//
// Start at Fix, Draw and Sampler.Pick.
package sample

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"lukechampine.com/blake3"
)

const (
	One            = 1 << 16   // 1.0 in Q16.16
	MaxTemperature = 128 * One // highest temperature, Q16.16
	Million        = 1_000_000 // TopP that keeps every token
	MaxTokens      = 1 << 22   // logits of one pick; keeps every mass below 2^63
)

// Params are the numbers that a consumer may choose.
type Params struct {
	Temperature uint32 // Q16.16; 0 takes the highest logit
	TopP        uint32 // parts per million of probability kept, Million = all
}

// Validate refuses parameters outside their ranges.
func (p Params) Validate() error {
	if p.Temperature > MaxTemperature {
		return fmt.Errorf("temperature %d/65536 is above %d", p.Temperature, MaxTemperature/One)
	}
	if p.TopP < 1 || p.TopP > Million {
		return fmt.Errorf("top_p of %d ppm is not in 1 to %d", p.TopP, Million)
	}
	return nil
}

// Fix converts logits to Q16.16, rounding to nearest even and saturating at the
// ends of int32. A NaN or an infinity is an error and leaves dst as it was.
func Fix(dst []int32, logits []float32) error {
	if len(dst) != len(logits) {
		return fmt.Errorf("%d logits do not fit %d places", len(logits), len(dst))
	}
	for i, x := range logits {
		if x-x != 0 {
			return fmt.Errorf("logit %d is not a finite number", i)
		}
	}
	for i, x := range logits {
		dst[i] = fix(x)
	}
	return nil
}

func fix(x float32) int32 {
	v := float64(x) * One // exact: a power of two
	if v >= math.MaxInt32 {
		return math.MaxInt32
	}
	if v <= math.MinInt32 {
		return math.MinInt32
	}
	floor := math.Floor(v)
	n := int32(floor)
	if rest := v - floor; rest > 0.5 || rest == 0.5 && n&1 == 1 {
		n++
	}
	return n
}

// Draw is the random number for one position of an answer: the first 8 bytes,
// little-endian, of BLAKE3-256("daulat/draw/1" ‖ seed ‖ request ‖ position).
// request is the hash of what the consumer signed; position counts generated
// tokens from 0 and is hashed as 8 bytes little-endian.
func Draw(seed, request [32]byte, position uint64) uint64 {
	const domain = "daulat/draw/1"
	var b [len(domain) + 32 + 32 + 8]byte
	n := copy(b[:], domain)
	n += copy(b[n:], seed[:])
	n += copy(b[n:], request[:])
	binary.LittleEndian.PutUint64(b[n:], position)
	sum := blake3.Sum256(b[:])
	return binary.LittleEndian.Uint64(sum[:])
}

// Sampler picks tokens and keeps the buffer between picks. The zero value is
// ready; it is not safe for concurrent use.
type Sampler struct {
	weights []uint64
}

// Pick is the token ID for logits (Q16.16, one per token ID) under valid params
// and a draw. It panics on invalid params and on no or too many logits, which
// the caller has checked when it loaded the model.
func (s *Sampler) Pick(logits []int32, p Params, draw uint64) uint32 {
	mustFit(logits)
	if err := p.Validate(); err != nil {
		panic("sample: " + err.Error())
	}
	best := argmax(logits)
	if p.Temperature == 0 {
		return best
	}
	total := s.weigh(logits, logits[best], p.Temperature)
	least, mass := uint64(1), total
	if p.TopP < Million {
		least = threshold(s.weights, share(total, p.TopP))
		mass = massFrom(s.weights, least)
	}
	target, _ := bits.Mul64(draw, mass)
	return at(s.weights, least, target)
}

// Pick is Sampler.Pick with a buffer of its own.
func Pick(logits []int32, p Params, draw uint64) uint32 {
	var s Sampler
	return s.Pick(logits, p, draw)
}

func mustFit(logits []int32) {
	if len(logits) == 0 || len(logits) > MaxTokens {
		panic(errors.New("sample: number of logits is not in 1 to 2^22"))
	}
}

// argmax is the index of the highest logit, the lowest of equals.
func argmax(logits []int32) uint32 {
	best, top := 0, logits[0]
	for i, l := range logits {
		if l > top {
			best, top = i, l
		}
	}
	return uint32(best)
}

// distance is top − l, which needs all 32 bits.
func distance(top, l int32) uint32 { return uint32(top) - uint32(l) }

// weigh fills the buffer and returns the sum of all weights.
func (s *Sampler) weigh(logits []int32, top int32, temperature uint32) (total uint64) {
	if cap(s.weights) < len(logits) {
		s.weights = make([]uint64, len(logits))
	}
	s.weights = s.weights[:len(logits)]
	for i, l := range logits {
		w := weight(distance(top, l), temperature)
		s.weights[i] = w
		total += w
	}
	return total
}

// share is ⌈total·ppm / 10^6⌉.
func share(total uint64, ppm uint32) uint64 {
	hi, lo := bits.Mul64(total, uint64(ppm))
	lo, carry := bits.Add64(lo, Million-1, 0)
	q, _ := bits.Div64(hi+carry, lo, Million)
	return q
}

// threshold is the largest t for which the weights of at least t add up to need
// or more; 1 ≤ need ≤ their sum. It fixes t digit by digit from the top, each
// time by the masses of the weights that agree with the digits so far.
func threshold(weights []uint64, need uint64) uint64 {
	const digit, passes = 11, 4 // 44 bits, a weight has at most 41
	var t uint64
	for pass := passes - 1; pass >= 0; pass-- {
		shift := pass * digit
		var mass [1 << digit]uint64
		for _, w := range weights {
			if w>>(shift+digit) == t {
				mass[w>>shift&(1<<digit-1)] += w
			}
		}
		d := len(mass) - 1
		for mass[d] < need {
			need -= mass[d]
			d--
		}
		t = t<<digit | uint64(d)
	}
	return t
}

func massFrom(weights []uint64, least uint64) (mass uint64) {
	for _, w := range weights {
		if w >= least {
			mass += w
		}
	}
	return mass
}

// at is the token in whose stretch target lies when the kept weights are laid
// end to end in the order of token IDs; target is below their sum.
func at(weights []uint64, least, target uint64) uint32 {
	for i, w := range weights {
		if w < least {
			continue
		}
		if target < w {
			return uint32(i)
		}
		target -= w
	}
	panic("sample: target is not below the mass")
}
