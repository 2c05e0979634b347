package sample

import "math"

const ln2 = 46_516_320 // ln(2)·2^26, rounded

// Distribution is what the model gives each token at one position, at
// temperature 1 and before top-p, whatever the token was drawn with.
type Distribution struct {
	logits []int32 // Q16.16, one per token ID
	top    int32
	total  uint64 // ln of the sum of all weights over the highest, unit 2^−16
}

// Distribute reads logits, which must not change while the result is used. It
// panics on no or too many of them, as Pick does.
func Distribute(logits []int32) Distribution {
	mustFit(logits)
	top := logits[argmax(logits)]
	var total uint64
	for _, l := range logits {
		total += weight(distance(top, l), One)
	}
	return Distribution{logits, top, lnOverTop(total)}
}

// lnOverTop is ln(total/2^40) in units of 2^−16, to nearest, for 2^40 ≤ total < 2^63.
func lnOverTop(total uint64) uint64 {
	return ((log2(total)-weightBits<<32)*ln2 + 1<<41) >> 42
}

// NLL is −ln of the token's probability, in units of 2^−16 nat, and 2^32 − 1
// where that is exceeded; below, it differs from the real value by at most 10^−4 nat.
func (d Distribution) NLL(token uint32) uint32 {
	return uint32(min(uint64(distance(d.top, d.logits[token]))+d.total, math.MaxUint32))
}

// Likeliest is the n likeliest tokens, or all if there are fewer, in falling
// order; of equals the lower ID comes first. Time grows with n·(vocabulary) at worst.
func (d Distribution) Likeliest(n int) []uint32 {
	n = min(n, len(d.logits))
	best := make([]uint32, 0, n)
	for id, l := range d.logits {
		at := len(best)
		for at > 0 && d.logits[best[at-1]] < l {
			at--
		}
		if at == n {
			continue
		}
		if len(best) < n {
			best = append(best, 0)
		}
		copy(best[at+1:], best[at:])
		best[at] = uint32(id)
	}
	return best
}
