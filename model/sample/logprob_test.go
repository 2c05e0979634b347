package sample

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// realNLL is what NLL should be, in nat, by floating point.
func realNLL(logits []int32, token uint32) float64 {
	top := float64(logits[argmax(logits)])
	var sum float64
	for _, l := range logits {
		sum += math.Exp((float64(l) - top) / One)
	}
	return (top-float64(logits[token]))/One + math.Log(sum)
}

const nllBound = 1e-4 // as spec/sample.md states it

func checkNLL(t *testing.T, logits []int32) (worst float64) {
	t.Helper()
	d := Distribute(logits)
	for token := range logits {
		got, want := float64(d.NLL(uint32(token)))/One, realNLL(logits, uint32(token))
		if want >= math.MaxUint32/float64(One) {
			if d.NLL(uint32(token)) != math.MaxUint32 {
				t.Fatalf("token %d of %v has %v, not the highest value", token, logits, got)
			}
			continue
		}
		if worst = max(worst, math.Abs(got-want)); worst > nllBound {
			t.Fatalf("token %d of %v has %v, not %v", token, logits, got, want)
		}
	}
	return worst
}

func TestNLLIsTheLogarithm(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	worst := 0.0
	for range 5000 {
		logits := make([]int32, 1+r.IntN(50))
		for i := range logits {
			logits[i] = int32(r.Uint32()) >> (8 + r.IntN(16))
		}
		worst = max(worst, checkNLL(t, logits))
	}
	if worst < nllBound/3 {
		t.Errorf("worst error seen is %v: the stated bound is not tight", worst)
	}
	checkNLL(t, []int32{math.MaxInt32, math.MinInt32, math.MaxInt32})
	checkNLL(t, []int32{math.MaxInt32, math.MinInt32, math.MinInt32 + 1})
}

// The most equal tokens there may be have the largest sum.
func TestNLLOfTheLargestVocabulary(t *testing.T) {
	want := uint32(math.Round(22 * math.Ln2 * One))
	if got := Distribute(make([]int32, MaxTokens)).NLL(7); got != want {
		t.Errorf("one of 2^22 equal tokens has %d, not %d", got, want)
	}
	if got := Distribute([]int32{5}).NLL(0); got != 0 {
		t.Errorf("the only token has %d", got)
	}
}

func TestLog2(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for i := range 100_000 {
		x := max(1, r.Uint64()>>r.IntN(64))
		if i < 64 {
			x = 1 << i
		}
		got, want := float64(log2(x))/(1<<32), math.Log2(float64(x))
		if got > want+1e-13 || got < want-1.0/(1<<31) {
			t.Fatalf("log2(%d) = %v, not %v", x, got, want)
		}
		if bits.OnesCount64(x) == 1 && log2(x) != uint64(bits.Len64(x)-1)<<32 {
			t.Fatalf("log2(%d) is not whole", x)
		}
	}
}

// sorted is the likeliest tokens by sorting all.
func sorted(logits []int32, n int) []uint32 {
	ids := make([]uint32, len(logits))
	for i := range ids {
		ids[i] = uint32(i)
	}
	slices.SortStableFunc(ids, func(a, b uint32) int { return cmp.Compare(logits[b], logits[a]) })
	return ids[:min(n, len(ids))]
}

func TestLikeliestEqualsSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for range 20_000 {
		logits, n := someLogits(r, 1+r.IntN(40)), r.IntN(22)
		if got, want := Distribute(logits).Likeliest(n), sorted(logits, n); !slices.Equal(got, want) {
			t.Fatalf("the likeliest %d of %v are %v, not %v", n, logits, got, want)
		}
	}
}

func FuzzDistribution(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 0, 0, 2, 0}, 1)
	f.Add([]byte{255, 255, 255, 127, 0, 0, 0, 128, 0, 0, 0, 128}, 20)
	f.Fuzz(func(t *testing.T, raw []byte, n int) {
		if len(raw) < 4 || len(raw) > 400 || n < 0 {
			return
		}
		var logits []int32
		for ; len(raw) >= 4; raw = raw[4:] {
			logits = append(logits, int32(binary.LittleEndian.Uint32(raw)))
		}
		checkNLL(t, logits)
		d := Distribute(logits)
		best := d.Likeliest(n)
		if !slices.Equal(best, sorted(logits, n)) {
			t.Fatalf("the likeliest %d of %v are %v", n, logits, best)
		}
		if !slices.IsSortedFunc(best, func(a, b uint32) int { return cmp.Compare(d.NLL(a), d.NLL(b)) }) {
			t.Fatalf("%v of %v are not in order", best, logits)
		}
	})
}

func BenchmarkDistribute(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	logits := make([]int32, 49152)
	for i := range logits {
		logits[i] = int32(r.NormFloat64() * 3 * One)
	}
	for b.Loop() {
		Distribute(logits).Likeliest(20)
	}
}
