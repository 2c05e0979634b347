package sample

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"lukechampine.com/blake3"
)

func TestTableIsCorrectlyRounded(t *testing.T) {
	// t is nearest to 2^40·2^(−k/4096) exactly if
	// (2t−1)^4096·2^k < 2^(41·4096) < (2t+1)^4096·2^k.
	want := new(big.Int).Lsh(big.NewInt(1), 41*4096)
	side := func(k int, odd uint64) int {
		x := new(big.Int).Exp(new(big.Int).SetUint64(odd), big.NewInt(4096), nil)
		return x.Lsh(x, uint(k)).Cmp(want)
	}
	for k := 1; k < len(table); k += 127 {
		if side(k, 2*table[k]-1) >= 0 || side(k, 2*table[k]+1) <= 0 {
			t.Errorf("entry %d is not the nearest integer: %d", k, table[k])
		}
	}
	var b []byte
	for _, x := range table {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	const golden = "cd7bdd04391882ba21444197a7909bdfe47aa723606fa5d24425d506286cd802"
	if sum := blake3.Sum256(b); hex.EncodeToString(sum[:]) != golden {
		t.Errorf("table hash is %x", sum)
	}
}

func TestWeightErrorBound(t *testing.T) {
	worst := 0.0
	check := func(d, temperature uint32) {
		real := math.Ldexp(math.Exp(-float64(d)/float64(temperature)), weightBits)
		got := float64(weight(d, temperature))
		if math.Abs(got-real) > 8.5e-5*real+1 {
			t.Fatalf("weight(%d, %d) is %v, not %v", d, temperature, got, real)
		}
		if real > 1e9 {
			worst = max(worst, math.Abs(got-real)/real)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		temperature := 1 + uint32(r.Uint64N(MaxTemperature))>>r.IntN(23)
		check(r.Uint32()>>r.IntN(32), temperature)
		check(uint32(float64(temperature)*r.Float64()*30), temperature)
	}
	check(math.MaxUint32, MaxTemperature)
	check(math.MaxUint32, 1)
	check(0, 1)
	if worst < 8e-5 {
		t.Errorf("worst error seen is %v: the stated bound is not tight", worst)
	}
}

func TestWeightNeverGrows(t *testing.T) {
	for _, temperature := range []uint32{1, 3, 1000, One / 2, One, 3 * One, MaxTemperature} {
		last := weight(0, temperature)
		if last != 1<<weightBits {
			t.Fatalf("highest weight is %d", last)
		}
		end := uint64(temperature) * 30
		for d := uint64(0); d <= end && d <= math.MaxUint32; d += 1 + end/300_000 {
			w := weight(uint32(d), temperature)
			if w > last {
				t.Fatalf("temperature %d: weight grows at distance %d", temperature, d)
			}
			last = w
		}
		if temperature < MaxTemperature && weight(math.MaxUint32, temperature) != 0 {
			t.Errorf("temperature %d: the farthest token has weight", temperature)
		}
	}
}

func TestFix(t *testing.T) {
	inf := float32(math.Inf(1))
	for in, want := range map[float32]int32{
		0: 0, 1: One, -1: -One, 1.5: 3 << 15,
		0.5 / One: 0, 1.5 / One: 2, 2.5 / One: 2, -0.5 / One: 0, -1.5 / One: -2, -2.5 / One: -2,
		0.75 / One: 1, -0.75 / One: -1, 0.25 / One: 0, 1e-40: 0, -1e-40: 0,
		32767.998: 2147483520, 32768: math.MaxInt32, -32768: math.MinInt32, 1e30: math.MaxInt32,
		-1e30: math.MinInt32, math.MaxFloat32: math.MaxInt32,
	} {
		var got [1]int32
		if err := Fix(got[:], []float32{in}); err != nil || got[0] != want {
			t.Errorf("Fix(%v) = %d, %v, not %d", in, got[0], err, want)
		}
	}
	for _, bad := range []float32{inf, -inf, float32(math.NaN())} {
		dst := []int32{7, 7}
		if Fix(dst, []float32{1, bad}) == nil || dst[0] != 7 {
			t.Errorf("%v was taken, or changed the places: %v", bad, dst)
		}
	}
	if Fix(make([]int32, 1), make([]float32, 2)) == nil {
		t.Error("a wrong length was taken")
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 200_000 {
		x := math.Float32frombits(r.Uint32())
		if x-x != 0 {
			continue
		}
		want := max(math.MinInt32, min(math.MaxInt32, math.RoundToEven(float64(x)*65536)))
		if got := fix(x); got != int32(want) {
			t.Fatalf("fix(%v) = %d, not %v", x, got, want)
		}
	}
}

func TestParams(t *testing.T) {
	for _, p := range []Params{{0, 0}, {0, Million + 1}, {MaxTemperature + 1, 1}} {
		if p.Validate() == nil {
			t.Errorf("%v is valid", p)
		}
	}
	for _, p := range []Params{{0, Million}, {1, 1}, {MaxTemperature, Million}} {
		if err := p.Validate(); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
	for name, f := range map[string]func(){
		"no logits":  func() { Pick(nil, Params{0, Million}, 0) },
		"bad params": func() { Pick([]int32{1}, Params{One, 0}, 0) },
		"too many":   func() { Pick(make([]int32, MaxTokens+1), Params{0, Million}, 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// twin is the sampler by sorting and big integers.
func twin(logits []int32, p Params, draw uint64) uint32 {
	ids := make([]int, len(logits))
	for i := range ids {
		ids[i] = i
	}
	slices.SortStableFunc(ids, func(a, b int) int { return int(int64(logits[b]) - int64(logits[a])) })
	if p.Temperature == 0 {
		return uint32(ids[0])
	}
	top := int64(logits[ids[0]])
	weights := make([]int64, len(logits))
	total := new(big.Int)
	for i, l := range logits {
		weights[i] = int64(weight(uint32(top-int64(l)), p.Temperature))
		total.Add(total, big.NewInt(weights[i]))
	}
	// kept·10^6 ≥ total·TopP, ties of the last token kept too
	need := new(big.Int).Mul(total, big.NewInt(int64(p.TopP)))
	kept, last := new(big.Int), int64(-1)
	in := map[int]bool{}
	for _, id := range ids {
		if new(big.Int).Mul(kept, big.NewInt(Million)).Cmp(need) >= 0 && weights[id] != last {
			break
		}
		in[id], last = true, weights[id]
		kept.Add(kept, big.NewInt(last))
	}
	target := new(big.Int).Mul(new(big.Int).SetUint64(draw), kept)
	target.Rsh(target, 64)
	for id, w := range weights {
		if !in[id] {
			continue
		}
		if target.Sub(target, big.NewInt(w)).Sign() < 0 {
			return uint32(id)
		}
	}
	panic("no token")
}

// someLogits has ties, far outliers and long tails.
func someLogits(r *rand.Rand, n int) []int32 {
	logits := make([]int32, n)
	spread := r.IntN(32)
	for i := range logits {
		logits[i] = int32(r.Uint32()) >> spread
		if r.IntN(3) == 0 {
			logits[i] = logits[r.IntN(n)]
		}
		if r.IntN(50) == 0 {
			logits[i] = []int32{math.MinInt32, math.MaxInt32}[r.IntN(2)]
		}
	}
	return logits
}

func someParams(r *rand.Rand) Params {
	p := Params{uint32(r.Uint64N(MaxTemperature+1)) >> r.IntN(24), Million}
	if r.IntN(4) > 0 {
		p.TopP = 1 + uint32(r.IntN(Million))>>r.IntN(20)
	}
	if r.IntN(3) == 0 {
		p.TopP = Million - p.TopP + 1
	}
	return p
}

func TestPickEqualsSortingTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var s Sampler
	for range 30_000 {
		logits, p := someLogits(r, 1+r.IntN(40)), someParams(r)
		for _, draw := range []uint64{0, math.MaxUint64, r.Uint64()} {
			if got, want := s.Pick(logits, p, draw), twin(logits, p, draw); got != want {
				t.Fatalf("Pick(%v, %v, %d) = %d, not %d", logits, p, draw, got, want)
			}
		}
	}
}

// The set of draws that give a token is an interval; its ends are probed, so
// that its length is known exactly and must be the token's share of 2^64.
func TestEveryTokenGetsItsExactShare(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 3000 {
		logits, p := someLogits(r, 2+r.IntN(12)), someParams(r)
		if p.Temperature == 0 {
			continue
		}
		var s Sampler
		total := s.weigh(logits, logits[argmax(logits)], p.Temperature)
		least := threshold(s.weights, share(total, p.TopP))
		mass := massFrom(s.weights, least)
		var before uint64
		for id, w := range s.weights {
			if w < least || w == 0 {
				continue
			}
			first := ceilShare(before, mass)
			if got := Pick(logits, p, first); got != uint32(id) {
				t.Fatalf("%v %v: the first draw of token %d gives %d", logits, p, id, got)
			}
			if first > 0 && Pick(logits, p, first-1) >= uint32(id) {
				t.Fatalf("%v %v: token %d begins early", logits, p, id)
			}
			before += w
		}
		if before != mass {
			t.Fatalf("%v %v: kept weights add up to %d, not %d", logits, p, before, mass)
		}
	}
}

// ceilShare is ⌈before·2^64 / mass⌉ for before < mass.
func ceilShare(before, mass uint64) uint64 {
	q, rest := bits.Div64(before, 0, mass)
	if rest > 0 {
		q++
	}
	return q
}

func TestThresholdIsTheLargest(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 5000 {
		weights := make([]uint64, 1+r.IntN(20))
		var total uint64
		for i := range weights {
			weights[i] = r.Uint64N(1<<weightBits+1) >> r.IntN(41)
			if r.IntN(3) == 0 {
				weights[i] = weights[r.IntN(len(weights))]
			}
			total += weights[i]
		}
		if total == 0 {
			continue
		}
		need := 1 + r.Uint64N(total)
		got := threshold(weights, need)
		if massFrom(weights, got) < need || massFrom(weights, got+1) >= need {
			t.Fatalf("threshold(%v, %d) = %d", weights, need, got)
		}
	}
}

// The numbers are those of the worked example in spec/sample.md.
func TestWorkedExample(t *testing.T) {
	logits, p := []int32{0, 2 * One, -One, One}, Params{One, 900_000}
	var s Sampler
	total := s.weigh(logits, 2*One, One)
	if want := []uint64{148791582227, 1099511627776, 54739947503, 404506813372}; !slices.Equal(s.weights, want) {
		t.Errorf("weights are %v", s.weights)
	}
	need := share(total, p.TopP)
	if least := threshold(s.weights, need); need != 1536794973791 || least != 148791582227 {
		t.Errorf("need is %d, threshold %d", need, least)
	}
	if got := Pick(logits, p, 0xe000000000000000); got != 3 {
		t.Errorf("picked %d", got)
	}
	d := Distribute(logits)
	if log2(total) != 174526274978 || d.NLL(0) != 159921 || d.NLL(1) != 28849 || d.NLL(2) != 225457 || d.NLL(3) != 94385 {
		t.Errorf("log2 of %d is %d, and the best token has %d", total, log2(total), d.NLL(1))
	}
}

func TestGreedyTiesGoToTheLowestID(t *testing.T) {
	p := Params{0, Million}
	if got := Pick([]int32{-5, 9, 9, math.MinInt32}, p, math.MaxUint64); got != 1 {
		t.Errorf("got %d", got)
	}
	if got := Pick([]int32{math.MinInt32, math.MinInt32}, p, 0); got != 0 {
		t.Errorf("got %d", got)
	}
}

func TestTopPKeepsTies(t *testing.T) {
	// Three equal tokens: 1 ppm already keeps all of them.
	logits := []int32{4 * One, 0, 4 * One, 4 * One}
	seen := map[uint32]bool{}
	for _, draw := range []uint64{0, 1 << 63, math.MaxUint64} {
		seen[Pick(logits, Params{One, 1}, draw)] = true
	}
	if len(seen) != 3 || seen[1] {
		t.Errorf("picked %v", seen)
	}
}

func TestDraw(t *testing.T) {
	var seed, request [32]byte
	base := Draw(seed, request, 0)
	preimage := append([]byte("daulat/draw/1"), make([]byte, 72)...)
	if sum := blake3.Sum256(preimage); base != binary.LittleEndian.Uint64(sum[:]) {
		t.Error("draw is not the stated hash")
	}
	other := seed
	other[31] = 1
	for _, d := range []uint64{Draw(other, request, 0), Draw(seed, other, 0), Draw(seed, request, 1), Draw(seed, request, 1<<63)} {
		if d == base {
			t.Error("an input does not enter the draw")
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	logits := someLogits(rand.New(rand.NewPCG(1, 1)), 5000)
	var s Sampler
	p := Params{One, 900_000}
	s.Pick(logits, p, 1)
	if n := testing.AllocsPerRun(20, func() { s.Pick(logits, p, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPick(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	logits := make([]int32, 49152)
	for i := range logits {
		logits[i] = int32(r.NormFloat64() * 3 * One)
	}
	for name, p := range map[string]Params{"greedy": {0, Million}, "warm": {One, Million}, "nucleus": {One, 950_000}} {
		b.Run(name, func(b *testing.B) {
			var s Sampler
			for i := range b.N {
				s.Pick(logits, p, uint64(i)<<40)
			}
		})
	}
}

func FuzzPick(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 0, 0, 2, 0}, uint32(One), uint32(900_000), uint64(1<<63))
	f.Add([]byte{255, 255, 255, 127, 0, 0, 0, 128}, uint32(1), uint32(1), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, raw []byte, temperature, topP uint32, draw uint64) {
		p := Params{temperature, topP}
		if len(raw) < 4 || len(raw) > 400 || p.Validate() != nil {
			return
		}
		var logits []int32
		for ; len(raw) >= 4; raw = raw[4:] {
			logits = append(logits, int32(binary.LittleEndian.Uint32(raw)))
		}
		if got, want := Pick(logits, p, draw), twin(logits, p, draw); got != want {
			t.Fatalf("picked %d, not %d", got, want)
		}
	})
}
