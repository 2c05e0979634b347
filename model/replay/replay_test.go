package replay

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// whole is a distribution over a vocabulary, at temperature 1.
type whole []float64

// newWhole has so many tokens; the spread is of their logits.
func newWhole(random *rand.Rand, vocabulary int, spread float64) whole {
	w, sum := make(whole, vocabulary), 0.0
	for i := range w {
		w[i] = math.Exp(spread * random.NormFloat64())
		sum += w[i]
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}

// near is w with some noise.
func (w whole) near(random *rand.Rand, noise float64) whole {
	out, sum := make(whole, len(w)), 0.0
	for i, p := range w {
		out[i] = p * math.Exp(noise*random.NormFloat64())
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func (w whole) sorted() []int {
	ids := make([]int, len(w))
	for i := range ids {
		ids[i] = i
	}
	slices.SortFunc(ids, func(a, b int) int { return cmp.Or(cmp.Compare(w[b], w[a]), a-b) })
	return ids
}

// row names the likeliest n.
func (w whole) row(n int) Row {
	r := Row{Vocabulary: len(w)}
	for _, id := range w.sorted()[:n] {
		r.IDs, r.Logprobs = append(r.IDs, uint32(id)), append(r.Logprobs, math.Log(w[id]))
	}
	return r
}

// sampled is what a server draws from, by the words of its documentation and not by the code under test.
func (w whole) sampled(s Sampler) []float64 {
	out, ids := make([]float64, len(w)), w.sorted()
	if s.Temperature == 0 {
		out[ids[0]] = 1
		return out
	}
	keep := len(w)
	hot := make([]float64, len(w))
	for i, p := range w {
		hot[i] = math.Pow(p, 1/s.Temperature)
	}
	cut := func(weights []float64) {
		sum, part := 0.0, 0.0
		for _, id := range ids[:keep] {
			sum += weights[id]
		}
		for i, id := range ids[:keep] {
			if part += weights[id]; part >= s.TopP*sum {
				keep = i + 1
				return
			}
		}
	}
	if s.TopK > 0 {
		keep = min(keep, s.TopK)
		cut(w)
		for s.MinP > 0 && w[ids[keep-1]] < s.MinP*w[ids[0]] {
			keep--
		}
	} else {
		cut(hot)
	}
	sum := 0.0
	for _, id := range ids[:keep] {
		out[id] = hot[id]
		sum += hot[id]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// An honest server expects no bet to win, whatever is named of its distribution, however it cuts, and though it gives within the
// tolerance what helps the bet most.
func TestBetsAreFair(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	won := 0
	for range 3000 {
		vocabulary := 45 + random.IntN(60)
		q := newWhole(random, vocabulary, 3*random.Float64())
		p := newWhole(random, vocabulary, 3*random.Float64())
		if random.IntN(2) == 0 {
			p = q.near(random, random.Float64())
		}
		named := 41 + random.IntN(vocabulary-41)
		kind := append(Kinds[:len(Kinds):len(Kinds)], Other)[random.IntN(6)]
		temperature := []float64{0, 0.3, 0.7, 1, 1.3, 2}[random.IntN(6)]
		topP := []float64{1, 1, 0.95, 0.5, 0.02}[random.IntN(5)]
		samplers := Samplers(temperature, topP)
		other := p.row(named - random.IntN(40))
		if kind == Other || kind == OtherSampler {
			other = q.row(named)
		}
		b, outcomes := newBet(kind, samplers, q.row(named), other, 0), align(q.row(named), other)
		for i, s := range samplers {
			honest := q.sampled(s)
			for j := range samplers {
				expected, most := 0.0, 0.0
				low := math.Inf(1)
				for id := range q {
					game := outcomes.outcome(uint32(id))*len(samplers)*len(samplers) + i*len(samplers) + j
					factor := math.Exp(b.wins[game])
					expected += honest[id] * factor
					most, low = max(most, factor), min(low, factor)
				}
				if expected+Tolerance*(most-low) > 1+1e-9 {
					t.Fatalf("%s at temperature %g, top-p %g, sampler %d: a stake grows by %g", kind, temperature, topP, i, expected+Tolerance*(most-low))
				}
				if most > 1.001 {
					won++
				}
			}
		}
	}
	if won < 1500 {
		t.Errorf("only %d bets could win at all", won)
	}
}

// scene is a reference and an alternative for n tokens.
type scene struct {
	q, p []whole
	Case
}

func newScene(random *rand.Rand, n int, noise, temperature float64) scene {
	s := scene{Case: Case{Temperature: temperature, TopP: 1, Alternatives: map[Kind][]Row{}}}
	for range n {
		q := newWhole(random, 60, 2)
		p := q.near(random, noise)
		s.q, s.p = append(s.q, q), append(s.p, p)
		s.Reference = append(s.Reference, q.row(50))
		for _, k := range Kinds[:4] {
			s.Alternatives[k] = append(s.Alternatives[k], p.row(50))
		}
	}
	return s
}

// answer draws from w by s; of the tolerance it gives what is likelier under than.
func (c *scene) answer(random *rand.Rand, w, than []whole, s Sampler) {
	c.Tokens = nil
	for i := range w {
		if than != nil && random.Float64() < Tolerance {
			best := 0
			for id := range w[i] {
				if than[i][id]/w[i][id] > than[i][best]/w[i][best] {
					best = id
				}
			}
			c.Tokens = append(c.Tokens, uint32(best))
			continue
		}
		c.Tokens = append(c.Tokens, uint32(pick(w[i].sampled(s), random.Float64())))
	}
}

// rejects reports that a test speaks against the answer, without measuring power.
func (c scene) rejects(kinds ...Kind) bool {
	samplers := Samplers(c.Temperature, c.TopP)
	for _, kind := range kinds {
		rows := c.Reference
		if kind == FourBit {
			rows = c.Alternatives[kind]
		}
		var bets []bet
		for i, token := range c.Tokens {
			bets = append(bets, newBet(kind, samplers, c.Reference[i], rows[i], token))
		}
		if statistic(bets, len(samplers)) >= threshold(len(samplers)) {
			return true
		}
	}
	return false
}

// Honest servers, each of the samplers', even if they use all of the tolerance against themselves.
func TestHonestAnswersFit(t *testing.T) {
	for _, temperature := range []float64{0, 1} {
		for s, sampler := range Samplers(temperature, 1) {
			rejected, tries := 0, 15
			for try := range tries {
				random := rand.New(rand.NewPCG(uint64(try), 3))
				c := newScene(random, 120, 0.5, temperature)
				c.answer(random, c.q, c.p, sampler)
				if c.rejects(FourBit, OtherSampler, Other) {
					rejected++
				}
			}
			if rejected > 0 { // a thousandth of them is expected
				t.Errorf("temperature %g, sampler %d: %d of %d honest answers were rejected", temperature, s, rejected, tries)
			}
		}
	}
}

// What the alternative gives is rejected as often as the power says, or more.
func TestPowerIsNotOverstated(t *testing.T) {
	for _, n := range []int{15, 40, 250} {
		random := rand.New(rand.NewPCG(uint64(n), 4))
		c := newScene(random, n, 0.7, 1)
		c.answer(random, c.p, nil, Sampler{Temperature: 1, TopP: 1})
		r, err := Judge(c.Case)
		if err != nil {
			t.Fatal(err)
		}
		test, _ := r.of(FourBit)
		seen, tries := 0, 60
		for range tries {
			c.answer(random, c.p, nil, Sampler{Temperature: 1, TopP: 1})
			if c.rejects(FourBit) {
				seen++
			}
		}
		if share := float64(seen) / float64(tries); share < test.Power-0.08 {
			t.Errorf("%d tokens: the power is said to be %.3f, and %.3f were seen", n, test.Power, share)
		}
		if n == 250 && test.Power < MinPower || n == 15 && test.Power > 0.5 {
			t.Errorf("%d tokens have a power of %.3f", n, test.Power)
		}
	}
}

// The bound is above the real chance in fewer than overconfidence of all cases, reckoned exactly.
func TestLowerBound(t *testing.T) {
	if got := lowerBound(Draws, Draws); got >= 0.9994 || got < MinPower {
		t.Errorf("all of the draws give %g", got)
	}
	for _, n := range []int{20, 400} {
		for _, p := range []float64{0.05, 0.5, 0.9, 0.99, 0.999} {
			above, mass := 0.0, math.Pow(1-p, float64(n))
			for hits := 0; hits <= n; hits++ {
				if lowerBound(hits, n) > p {
					above += mass
				}
				mass *= float64(n-hits) / float64(hits+1) * p / (1 - p)
			}
			if above > overconfidence {
				t.Errorf("%d draws at %g: the bound is too high in %g of cases", n, p, above)
			}
		}
	}
	if lowerBound(0, Draws) != 0 {
		t.Error("no hit gives some power")
	}
}

func TestOutcome(t *testing.T) {
	tests := func(change func(i int, t *Test)) Result {
		r := Result{Tokens: 50}
		for i, k := range append(Kinds[:len(Kinds):len(Kinds)], Other) {
			test := Test{Kind: k, Threshold: 9, Statistic: 8, Measured: k != Other, Power: MinPower}
			change(i, &test)
			r.Tests = append(r.Tests, test)
		}
		return r
	}
	for name, c := range map[string]struct {
		r       Result
		outcome Outcome
		why     string
	}{
		"all powers":         {tests(func(int, *Test) {}), Consistent, ""},
		"one power low":      {tests(func(i int, t *Test) { t.Power -= float64(i/3%2) * 0.0001 }), Inconclusive, "power against cut prompt is only 98.9 %"},
		"one not measured":   {tests(func(i int, t *Test) { t.Measured = t.Measured && i > 0 }), Inconclusive, "power against smaller is not measured"},
		"one rejects":        {tests(func(i int, t *Test) { t.Statistic += float64(i / 4 % 2) }), Disagree, ""},
		"no text":            {tests(func(i int, t *Test) {}), Inconclusive, "no text"},
		"rejects, low power": {tests(func(i int, t *Test) { t.Statistic, t.Power = 9, 0 }), Disagree, ""},
	} {
		if name == "no text" {
			c.r.Tokens = 0
		}
		if outcome, why := c.r.Outcome(); outcome != c.outcome || !strings.Contains(why, c.why) {
			t.Errorf("%s: %s, %q", name, outcome, why)
		}
	}
}

// Text that has nothing to do with the reference is found, though it is none of the alternatives'.
func TestOtherTextIsFound(t *testing.T) {
	for _, temperature := range []float64{0, 1} {
		random := rand.New(rand.NewPCG(5, 5))
		c := newScene(random, 60, 0.2, temperature)
		for k := range c.Alternatives {
			delete(c.Alternatives, k)
		}
		for range c.q {
			c.Tokens = append(c.Tokens, random.Uint32N(60))
		}
		r, err := Judge(c.Case)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.Tests, func(t Test) bool { return t.Kind == Other })
		if o, _ := r.Outcome(); o != Disagree || i < 0 || !r.Tests[i].Rejects() {
			t.Errorf("temperature %g: %s, %+v", temperature, o, r)
		}
	}
}

// A short answer, or one without an alternative, is inconclusive.
func TestShortAnswersAreInconclusive(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 6))
	for _, n := range []int{0, 1, 10} {
		c := newScene(random, n, 0.7, 1)
		c.answer(random, c.q, nil, Sampler{Temperature: 1, TopP: 1})
		r, err := Judge(c.Case)
		if err != nil {
			t.Fatal(err)
		}
		if o, why := r.Outcome(); o != Inconclusive || why == "" {
			t.Errorf("%d tokens: %s, %q", n, o, why)
		}
	}
}

func TestRowsRefuse(t *testing.T) {
	good := Row{IDs: []uint32{1, 2}, Logprobs: []float64{-0.7, -1}, Vocabulary: 10}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Row{
		"empty":            {Vocabulary: 10},
		"uneven":           {IDs: []uint32{1}, Logprobs: []float64{-1, -2}, Vocabulary: 10},
		"too many":         {IDs: make([]uint32, MaxRow+1), Logprobs: make([]float64, MaxRow+1), Vocabulary: 1000},
		"small vocabulary": {IDs: []uint32{1, 2}, Logprobs: []float64{-1, -2}, Vocabulary: 1},
		"positive":         {IDs: []uint32{1}, Logprobs: []float64{0.5}, Vocabulary: 10},
		"not a number":     {IDs: []uint32{1}, Logprobs: []float64{math.NaN()}, Vocabulary: 10},
		"infinite":         {IDs: []uint32{1, 2}, Logprobs: []float64{-1, math.Inf(-1)}, Vocabulary: 10},
		"unsorted":         {IDs: []uint32{1, 2}, Logprobs: []float64{-2, -1}, Vocabulary: 10},
		"twice":            {IDs: []uint32{1, 1}, Logprobs: []float64{-1, -2}, Vocabulary: 10},
		"too flat":         {IDs: []uint32{1, 2}, Logprobs: []float64{-800, -900}, Vocabulary: 10},
		"above one":        {IDs: []uint32{1, 2}, Logprobs: []float64{-0.1, -0.1}, Vocabulary: 10},
	} {
		if r.Check() == nil {
			t.Errorf("%s: %v was taken", name, r)
		}
	}
}

func TestJudgeRefuses(t *testing.T) {
	if _, err := Judge(Case{Tokens: make([]uint32, MaxTokens+1)}); err == nil {
		t.Error("too long an answer")
	}
	if _, err := Judge(Case{Tokens: []uint32{1, 2}, Reference: []Row{{}}}); err == nil {
		t.Error("a row is missing")
	}
}

// Whatever rows a stranger sends, the results are numbers.
func FuzzJudge(f *testing.F) {
	f.Add(-0.5, -1.0, -2.0, -0.1, -3.0, -700.0, 1.0, 0.9, uint8(2))
	f.Add(-2.3, -2.3, -1e300, -2.0, -2.0, -2.0, 0.01, 0.01, uint8(0))
	f.Add(-1.1, -1.1, -1.1, -0.0, -1e9, -1e9, 15.9, 1e-6, uint8(9))
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g, temperature, topP float64, token uint8) {
		reference := Row{IDs: []uint32{0, 1, 2}, Logprobs: []float64{a, b, c}, Vocabulary: 30}
		other := Row{IDs: []uint32{2, 7, 1}, Logprobs: []float64{d, e, g}, Vocabulary: 30}
		if reference.Check() != nil || other.Check() != nil || !(temperature == 0 || temperature > 1e-5 && temperature <= 16) || !(topP > 0 && topP <= 1) {
			return
		}
		r, err := Judge(Case{Tokens: []uint32{uint32(token)}, Temperature: temperature, TopP: topP, Reference: []Row{reference},
			Alternatives: map[Kind][]Row{Smaller: {other}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range r.Tests {
			if !(test.Statistic >= 0 && test.Statistic <= math.Log(1/Tolerance)) || !(test.Power >= 0 && test.Power < 1) {
				t.Errorf("%+v", test)
			}
		}
	})
}
