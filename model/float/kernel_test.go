package float

import (
	"math"
	"math/rand/v2"
	"testing"

	"daulat/model/gguf"
)

// awkward numbers: zeros of both signs, subnormals, numbers whose products are subnormal or round.
func awkward(random *rand.Rand) float32 {
	special := []float32{0, float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32,
		1e-40, -1e-39, 1e-20, -3e-20, 1, -1, 1 + 1.0/(1<<23), 16777216, -16777215}
	if random.IntN(4) == 0 {
		return special[random.IntN(len(special))]
	}
	return float32(math.Ldexp(random.Float64()*2-1, random.IntN(40)-20))
}

func fill(random *rand.Rand, n, padded int) []float32 {
	v := make([]float32, padded)
	for i := range n {
		v[i] = awkward(random)
	}
	return v
}

// reference is the specification of a dot product, word by word.
func reference(a, b []float32) float32 {
	var s [16]float32
	for i := range a {
		s[i%16] = s[i%16] + float32(a[i]*b[i])
	}
	for _, half := range []int{8, 4, 2, 1} {
		for k := 0; k < half; k++ {
			s[k] = s[k] + s[k+half]
		}
	}
	return s[0]
}

func sameBits(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }

func TestDot(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := 1; n <= 100; n++ {
		a, b := fill(random, n, roundUp(n, lanes)), fill(random, n, roundUp(n, lanes))
		if got, want := dot(a, b), reference(a[:n], b[:n]); !sameBits(got, want) {
			t.Fatalf("%d elements: %x, want %x", n, got, want)
		}
		ones := make([]float32, n)
		for i := range ones {
			ones[i] = 1
		}
		if got, want := sum(a), reference(a[:n], ones); !sameBits(got, want) {
			t.Fatalf("sum of %d: %x, want %x", n, got, want)
		}
	}
}

func TestDotOrderShows(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	a, b := make([]float32, 96), make([]float32, 96)
	for i := range a {
		a[i], b[i] = random.Float32(), random.Float32()
	}
	sequential := float32(0)
	for i := range a {
		sequential += float32(a[i] * b[i])
	}
	if sameBits(sequential, dot(a, b)) {
		t.Fatal("these numbers do not tell one order from another")
	}
}

// TestKernels forces every kernel this machine has and compares it with the specification.
func TestKernels(t *testing.T) {
	for _, k := range available {
		t.Run(k.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(7, 8))
			for n := 1; n <= 100; n++ {
				for cols := 1; cols <= 9; cols++ {
					compareDots(t, random, &k, n, tile*(1+random.IntN(3)), cols)
				}
				compareWeights(t, random, &k, n, random.IntN(40))
				compareSoftmax(t, random, &k, n)
				compareGate(t, random, &k, n)
			}
		})
	}
}

func compareDots(t *testing.T, random *rand.Rand, k *kernel, n, rows, cols int) {
	t.Helper()
	padded := roundUp(n, lanes)
	ws, xs, ds := padded+lanes*random.IntN(2), padded+random.IntN(5), rows+random.IntN(3)
	w, x := make([]float32, rows*ws), make([]float32, cols*xs)
	for r := range rows {
		copy(w[r*ws:], fill(random, n, n))
	}
	for c := range cols {
		copy(x[c*xs:], fill(random, n, n))
	}
	dst := make([]float32, cols*ds+8)
	mark := float32(12345)
	for i := range dst {
		dst[i] = mark
	}
	k.dots(dst, ds, w, ws, rows, x, xs, cols, padded)
	for i, got := range dst {
		want := mark
		if c, r := i/ds, i%ds; c < cols && r < rows {
			want = reference(w[r*ws:][:n], x[c*xs:][:n])
		}
		if !sameBits(got, want) {
			t.Fatalf("%d elements, %d rows, %d columns: place %d is %x, want %x", n, rows, cols, i, got, want)
		}
	}
}

func compareWeights(t *testing.T, random *rand.Rand, k *kernel, n, positions int) {
	t.Helper()
	width := roundUp(n, lanes)
	p, v := fill(random, positions, positions), fill(random, positions*width, positions*width)
	start := fill(random, width, width)
	got := append([]float32(nil), start...)
	k.accumulate(got, p, v)
	for d := range got {
		want := start[d]
		for t := range p {
			want = want + float32(p[t]*v[t*width+d])
		}
		if !sameBits(got[d], want) {
			t.Fatalf("%d positions of width %d: element %d is %x, want %x", positions, width, d, got[d], want)
		}
	}
}

// compareSoftmax follows the specification in steps of its own.
func compareSoftmax(t *testing.T, random *rand.Rand, k *kernel, n int) {
	t.Helper()
	scale := float32(math.Ldexp(random.Float64(), random.IntN(12)-10))
	want, got := fill(random, n, n), make([]float32, roundUp(n, lanes))
	for i := range got {
		got[i] = minusInfinity
	}
	copy(got, want)
	ones, top := make([]float32, n), float32(-math.MaxFloat32)
	for i := range want {
		want[i] = float32(want[i] * scale)
		top, ones[i] = max(top, want[i]), 1
	}
	for i := range want {
		want[i] = expf(want[i] - top)
	}
	total := reference(want, ones)
	k.weights(got, scale)
	for i, x := range got {
		w := float32(0)
		if i < n {
			w = want[i] / total
		}
		if !sameBits(x, w) {
			t.Fatalf("softmax of %d: element %d is %x, want %x", n, i, x, w)
		}
	}
	got[random.IntN(len(got))] = float32(math.NaN())
	k.weights(got, scale)
	for i, x := range got {
		if x == x {
			t.Fatalf("softmax of %d hides a NaN: element %d is %g", n, i, x)
		}
	}
}

func compareGate(t *testing.T, random *rand.Rand, k *kernel, n int) {
	t.Helper()
	g, u, dst := fill(random, n, n), fill(random, n, n), make([]float32, n)
	for i := range g {
		if random.IntN(2) == 0 {
			g[i] = float32(random.NormFloat64() * 40) // where exp is neither 0 nor 1
		}
	}
	k.activate(dst, g, u)
	for i, x := range dst {
		if want := float32(g[i] / (1 + expf(-g[i])) * u[i]); !sameBits(x, want) {
			t.Fatalf("gate of %d: element %d, %g and %g, is %x, want %x", n, i, g[i], u[i], x, want)
		}
	}
	i := random.IntN(n)
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		g[i], u[i] = float32(x), 1
		if k.activate(dst, g, u); finite(dst[i : i+1]) {
			t.Fatalf("gate of %d hides %g", n, x)
		}
	}
}

// TestKernelBounds: what would make assembly read or write outside its arguments panics first.
func TestKernelBounds(t *testing.T) {
	v := func(n int) []float32 { return make([]float32, n) }
	for _, k := range available {
		for name, call := range map[string]func(){
			"short weights": func() { k.dots(v(4), 4, v(63), 16, 4, v(16), 16, 1, 16) },
			"short input":   func() { k.dots(v(4), 4, v(64), 16, 4, v(15), 16, 1, 16) },
			"short output":  func() { k.dots(v(3), 4, v(64), 16, 4, v(16), 16, 1, 16) },
			"odd rows":      func() { k.dots(v(5), 5, v(80), 16, 5, v(16), 16, 1, 16) },
			"odd length":    func() { k.dots(v(4), 4, v(80), 17, 4, v(17), 17, 1, 17) },
			"short values":  func() { k.accumulate(v(16), v(2), v(31)) },
			"odd width":     func() { k.accumulate(v(15), v(1), v(15)) },
			"odd scores":    func() { k.weights(v(17), 1) },
			"short row":     func() { k.dequantise(gguf.Q4_1, v(64), make([]byte, 39)) },
			"short block":   func() { k.dequantise(gguf.Q8_0, v(48), make([]byte, 51)) },
			"half a block":  func() { k.dequantise(gguf.Q8_0, v(48), make([]byte, 34)) },
			"short gate":    func() { k.activate(v(32), v(32), v(16)) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: %s passes", k.name, name)
					}
				}()
				call()
			}()
		}
	}
}
