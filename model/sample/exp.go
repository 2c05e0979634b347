package sample

import (
	"math/big"
	"math/bits"
)

const (
	weightBits = 40 // the highest logit weighs 2^40
	tableBits  = 12
	log2e      = 1_549_082_005 // log2(e)·2^30, rounded
)

// table[k] is 2^40·2^(−k/4096), rounded to nearest. It is built from integer
// square roots and multiplications alone; a test holds its hash.
var table = func() (t [1 << tableBits]uint64) {
	const precision = 192
	one := new(big.Int).Lsh(big.NewInt(1), precision)
	step := new(big.Int).Rsh(one, 1) // 2^(−1), halved in exponent tableBits times
	for range tableBits {
		step.Sqrt(step.Lsh(step, precision))
	}
	half := new(big.Int).Lsh(big.NewInt(1), precision-weightBits-1)
	power, rounded := new(big.Int).Set(one), new(big.Int)
	for k := range t {
		t[k] = rounded.Rsh(rounded.Add(power, half), precision-weightBits).Uint64()
		power.Rsh(power.Mul(power, step), precision)
	}
	return t
}()

// weight is 2^40·exp(−distance/temperature), both Q16.16, temperature not 0. It
// never grows with distance, and differs from the real value by at most
// 8.5·10⁻⁵ of it plus 1.
func weight(distance, temperature uint32) uint64 {
	t := uint64(temperature)
	x := uint64(distance) * log2e // exponent·temperature in 2^−30, < 2^63
	if x >= (weightBits+1)<<30*t {
		return 0
	}
	x = (x + t<<17) / (t << 18) // exponent in 2^−12, to nearest
	return table[x%(1<<tableBits)] >> (x >> tableBits)
}

// log2 is the binary logarithm of x > 0 in units of 2^−32, found by squaring. It
// is never above the real value, and less than 2^−31 below it.
func log2(x uint64) uint64 {
	whole := bits.Len64(x) - 1
	x <<= 63 - whole // in [1, 2), unit 2^−63
	result := uint64(whole)
	for range 32 {
		hi, lo := bits.Mul64(x, x) // in [1, 4), unit 2^−126
		if result <<= 1; hi>>63 == 1 {
			result |= 1
			x = hi
		} else {
			x = hi<<1 | lo>>63
		}
	}
	return result
}
