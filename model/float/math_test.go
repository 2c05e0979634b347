package float

import (
	"math"
	"testing"
)

func near(t *testing.T, name string, x, got, want, tolerance float64) {
	t.Helper()
	if e := math.Abs(got - want); !(e <= tolerance*max(math.Abs(want), 1e-300)) {
		t.Errorf("%s(%g) = %g, want %g, relative error %g", name, x, got, want, e/math.Abs(want))
	}
}

func TestExp(t *testing.T) {
	for x := -707.9; x < 709; x += 0.0917 {
		near(t, "exp", x, exp(x), math.Exp(x), 1e-14)
	}
	for x, want := range map[float64]float64{0: 1, -709: 0, math.Inf(-1): 0, -1e300: 0} {
		if got := exp(x); got != want {
			t.Errorf("exp(%g) = %g, want %g", x, got, want)
		}
	}
	if got := exp(math.Inf(1)); got != exp(709) {
		t.Errorf("exp(∞) = %g", got)
	}
	if got := exp(math.NaN()); got == got {
		t.Errorf("exp(NaN) = %g", got)
	}
}

func TestLogAndPow(t *testing.T) {
	for x := 1.0; x < 1e12; x *= 1.0137 {
		if got, want := log(x), math.Log(x); math.Abs(got-want) > 1e-15*max(1, want) {
			t.Errorf("log(%g) = %g, want %g", x, got, want)
		}
	}
	for _, base := range []float64{1, 10000, 100000, 500000, 1e12} {
		for i := range 64 {
			x := -float64(i) / 64
			near(t, "pow", x, pow(base, x), math.Pow(base, x), 1e-13)
		}
	}
}

func TestSincos(t *testing.T) {
	for _, step := range []float64{0.00391, math.Pi / 4, 97.31, maxContext / 64} {
		for i := range 4096 {
			x := float64(i) * step
			if x > maxContext {
				break
			}
			sin, cos := sincos(x)
			if e := max(math.Abs(sin-math.Sin(x)), math.Abs(cos-math.Cos(x))); e > 1e-15 {
				t.Fatalf("sincos(%g) = %g, %g, off by %g", x, sin, cos, e)
			}
		}
	}
	if sin, cos := sincos(0); sin != 0 || cos != 1 {
		t.Errorf("sincos(0) = %g, %g", sin, cos)
	}
}

func TestSilu(t *testing.T) {
	for x := -80.0; x < 80; x += 0.031 {
		y := float64(float32(x))
		near(t, "silu", y, float64(silu(float32(x))), y/(1+math.Exp(-y)), 4e-7)
	}
	for _, x := range []float32{float32(math.Inf(-1)), float32(math.NaN())} {
		if finite([]float32{silu(x)}) {
			t.Errorf("silu(%g) hides that it is not finite", x)
		}
	}
}

func TestExpf(t *testing.T) {
	for x := -87.0; x < 88; x += 0.00317 {
		y := float32(x)
		near(t, "expf", x, float64(expf(y)), math.Exp(float64(y)), 2.4e-7)
	}
	for x, want := range map[float32]float32{0: 1, -87.5: 0, -math.MaxFloat32: 0, minusInfinity: 0, math.MaxFloat32: expf(88)} {
		if got := expf(x); got != want {
			t.Errorf("expf(%g) = %g, want %g", x, got, want)
		}
	}
	if got := expf(float32(math.NaN())); got == got {
		t.Errorf("expf(NaN) = %g", got)
	}
}

func TestFinite(t *testing.T) {
	v := []float32{0, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32}
	if !finite(v) {
		t.Errorf("%g is finite", v)
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if finite(append(v, float32(x))) {
			t.Errorf("%g passes", x)
		}
	}
}
