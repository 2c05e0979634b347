package float

import "math"

// The functions that the standard library computes differently on different machines, written from + − × ÷
// and casts in float64. Every product is converted explicitly, which forbids the compiler to fuse it with an
// addition. The order of operations is normative (spec/float.md); the errors are far below a float32's.

const (
	ln2High = 6.93147180369123816490e-01 // 32 bits, so that its product with an exponent is exact
	ln2Low  = 1.90821492927058770002e-10
	log2E   = 1.4426950408889634
)

// exp is e^x with a relative error below 1e-14: 0 below −708, e^709 above 709, NaN for NaN.
func exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x < -708:
		return 0
	case x > 709:
		x = 709
	}
	k := math.Floor(float64(x*log2E) + 0.5)
	r := x - float64(k*ln2High) - float64(k*ln2Low) // |r| ≤ ln 2 / 2
	// Taylor to r^11, even and odd powers apart.
	q := float64(r * r)
	even := float64(q*(1.0/3628800)) + 1.0/40320
	even = float64(q*even) + 1.0/720
	even = float64(q*even) + 1.0/24
	even = float64(q*even) + 0.5
	even = float64(q*even) + 1
	odd := float64(q*(1.0/39916800)) + 1.0/362880
	odd = float64(q*odd) + 1.0/5040
	odd = float64(q*odd) + 1.0/120
	odd = float64(q*odd) + 1.0/6
	odd = float64(q*odd) + 1
	scale := math.Float64frombits(uint64(int64(k)+1023) << 52) // −1021 ≤ k ≤ 1023
	return float64((even + float64(r*odd)) * scale)
}

// log is the natural logarithm of a positive normal number.
func log(x float64) float64 {
	b := math.Float64bits(x)
	k := int64(b>>52) - 1023
	m := math.Float64frombits(b&(1<<52-1) | 1023<<52)
	if m > 1.4142135623730951 {
		m = float64(m / 2)
		k++
	}
	s := (m - 1) / (m + 1) // |s| < 0.172; log m = 2 (s + s³/3 + s⁵/5 + …)
	q := float64(s * s)
	sum := 0.0
	for i := 21; i >= 1; i -= 2 {
		sum = float64(q*sum) + 1/float64(i)
	}
	e := float64(k)
	return float64(e*ln2High) + (float64(e*ln2Low) + float64(float64(2*s)*sum))
}

// pow is base^x for a positive normal base.
func pow(base, x float64) float64 { return exp(float64(x * log(base))) }

const (
	halfPiHigh = 1.57079632673412561417e+00 // 33 bits, so that its product with a quadrant below 2^20 is exact
	halfPiLow  = 6.07710050650619224932e-11
	twoByPi    = 0.6366197723675814
)

// sincos returns sine and cosine of an angle in [0, 2^20] radians.
func sincos(x float64) (sin, cos float64) {
	k := math.Floor(float64(x*twoByPi) + 0.5)
	r := x - float64(k*halfPiHigh) - float64(k*halfPiLow) // |r| ≤ π/4
	q := float64(r * r)
	s, c := 0.0, 0.0
	for i := len(sineTerms) - 1; i >= 0; i-- {
		s = float64(q*s) + sineTerms[i]
		c = float64(q*c) + cosineTerms[i]
	}
	s = float64(r * s)
	switch int64(k) & 3 {
	case 0:
		return s, c
	case 1:
		return c, -s
	case 2:
		return -s, -c
	default:
		return -c, s
	}
}

// Taylor: ±1/(2i+1)! and ±1/(2i)!.
var (
	sineTerms = [...]float64{1, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800,
		1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000}
	cosineTerms = [...]float64{1, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800,
		1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000}
)

// expf is e^x in float32 throughout, within two units of the last place, in a form that vector code repeats
// exactly: 0 below −87, e^88 above 88, NaN for NaN.
func expf(x float32) float32 {
	switch {
	case x != x:
		return x
	case x < expfTable[0][0]:
		return 0
	case x > expfTable[1][0]:
		x = expfTable[1][0]
	}
	k := float32(math.Floor(float64(float32(x*expfTable[2][0]) + expfTable[3][0])))
	r := x - float32(k*expfTable[4][0]) - float32(k*expfTable[5][0]) // |r| ≤ ln 2 / 2
	p := expfTable[6][0]
	for i := 7; i <= 13; i++ {
		p = float32(r*p) + expfTable[i][0]
	}
	return float32(p * math.Float32frombits(uint32(int32(k)+127)<<23)) // −126 ≤ k ≤ 127
}

// expfTable holds expf's constants, each as often as a register of 256 bits has lanes.
var expfTable = func() (table [15][8]float32) {
	for i, c := range [...]float32{
		-87, 88, 1.44269504, 0.5,
		0.693359375, -2.12194440e-4, // ln 2 in two parts; the first has 9 bits, so that its product with k is exact
		1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1, // Taylor
		math.Float32frombits(127),
	} {
		for lane := range table[i] {
			table[i][lane] = c
		}
	}
	return table
}()

// minusInfinity is a score that gets no weight.
var minusInfinity = math.Float32frombits(0xff800000)

// silu is x / (1 + e^−x).
func silu(x float32) float32 { return x / (1 + expf(-x)) }

// finite reports whether no element is NaN or infinite.
func finite(v []float32) bool {
	bad := false
	for _, x := range v {
		if x-x != 0 {
			bad = true
		}
	}
	return !bad
}
