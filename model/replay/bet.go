package replay

import "math"

// A bet is on what comes at one token, fixed before it is known. A win is the logarithm of what a stake is multiplied by. Game
// s·n+a of n² is against a server that has the reference and sampler s, and for one that has the alternative and sampler a: any
// server that draws by s within the tolerance expects a factor of at most 1, so over an answer the product is at best a fair game for it.
//
// The outcomes are the tokens that both rows name, and as the last one all else.
type bet struct {
	wins   []float64   // [outcome][game]
	chance [][]float64 // [sampler][outcome], under the alternative
	got    int         // outcome that the answer has
}

// caps are the most that a token may multiply a stake by, before it is made fair. A small one pays little for the tolerance,
// a large one wins more with what the reference cannot give.
var caps = []float64{1, 1.02, 1.05, 1.1, 1.2, 1.35, 1.6, 2, 3, 5, 10, 25, 50}

func newBet(kind Kind, samplers []Sampler, reference, alternative Row, token uint32) bet {
	c := align(reference, alternative)
	n := len(samplers)
	b := bet{got: c.outcome(token), wins: make([]float64, c.size()*n*n)}
	for _, s := range samplers {
		b.chance = append(b.chance, c.alternative(kind, s, reference, alternative))
	}
	for i, s := range samplers {
		null := c.null(s, reference)
		for j := range samplers {
			wins, _ := null.best(b.chance[j])
			for o, w := range wins {
				b.wins[o*n*n+i*n+j] = w
			}
		}
	}
	return b
}

// common is the outcomes of two rows.
type common struct {
	names map[uint32]int
	place []int // outcome of each token that the reference names
}

func align(reference, alternative Row) common {
	c := common{names: map[uint32]int{}, place: make([]int, len(reference.IDs))}
	known := make(map[uint32]bool, len(alternative.IDs))
	for _, id := range alternative.IDs {
		known[id] = true
	}
	for _, id := range reference.IDs {
		if known[id] {
			c.names[id] = len(c.names)
		}
	}
	for i, id := range reference.IDs {
		c.place[i] = c.outcome(id)
	}
	return c
}

// size is how many outcomes there are.
func (c common) size() int { return len(c.names) + 1 }

// outcome of a token: its own, or the last.
func (c common) outcome(id uint32) int {
	if o, ok := c.names[id]; ok {
		return o
	}
	return len(c.names)
}

// gather is a row's distribution over the outcomes.
func (c common) gather(r Row, sh shape) []float64 {
	out := make([]float64, c.size())
	named, rest := sh.central()
	for i, id := range r.IDs {
		out[c.outcome(id)] += named[i]
	}
	out[len(c.names)] += rest
	return out
}

// alternative is what comes if a server has the alternative, and sampler s.
func (c common) alternative(kind Kind, s Sampler, reference, alternative Row) []float64 {
	switch kind {
	case Other:
		return spread(c.gather(reference, s.see(reference)), len(reference.IDs) >= reference.Vocabulary)
	case OtherSampler:
		return c.gather(alternative, s.other().see(alternative))
	}
	return c.gather(alternative, s.see(alternative))
}

// spread is half of ours, and half for what ours would hardly give: all names alike, and as much as all of these for the rest.
func spread(ours []float64, complete bool) []float64 {
	out, names := make([]float64, len(ours)), len(ours)-1
	for o, c := range ours {
		out[o] = c / 2
		switch {
		case o == names && !complete:
			out[o] += 0.25
		case o < names && complete:
			out[o] += 0.5 / float64(names)
		case o < names:
			out[o] += 0.25 / float64(names)
		}
	}
	return out
}

// null is what an honest server with one sampler may give.
type null struct {
	common
	shape  shape
	ours   []float64 // as the reference has it
	near   []bool    // outcomes that an honest server's sampler may keep
	greedy bool
}

func (c common) null(s Sampler, reference Row) null {
	h := null{common: c, shape: s.see(reference), near: make([]bool, c.size()), greedy: s.Temperature == 0}
	h.ours = c.gather(reference, h.shape)
	for i := range min(h.shape.widest, len(c.place)) {
		h.near[c.place[i]] = true
	}
	if h.shape.widest > len(c.place) {
		h.near[len(c.names)] = true
	}
	return h
}

// best is the wins of that cap with which most is won if theirs is true, and how much that is; nothing, where no cap wins.
func (h null) best(theirs []float64) (wins []float64, gain float64) {
	ratios, most := h.ratios(theirs), 0.0
	wins = make([]float64, len(ratios))
	chance, logs, total := make([]float64, len(ratios)), make([]float64, len(ratios)), 0.0
	for o, r := range ratios {
		chance[o] = (1-Tolerance)*theirs[o] + Tolerance*h.ours[o]
		logs[o] = math.Log(r)
		total += chance[o]
	}
	for _, limit := range caps {
		got, top := -total*math.Log(h.fair(ratios, limit)), math.Log(limit)
		for o, c := range chance {
			if c > 0 {
				got += c * min(logs[o], top)
			}
		}
		if got > gain {
			gain, most = got, limit
		}
	}
	if gain == 0 {
		return wins, 0
	}
	fair := math.Log(h.fair(ratios, most))
	for o, l := range logs {
		wins[o] = min(l, math.Log(most)) - fair
	}
	return wins, gain
}

// ratios say how much likelier each outcome is under the alternative, which gives some honest tokens too. What no honest server
// keeps is infinitely so.
func (h null) ratios(theirs []float64) []float64 {
	out := make([]float64, len(theirs))
	for o := range out {
		switch {
		case !h.near[o]:
			out[o] = math.Inf(1)
		case h.greedy || h.ours[o] == 0: // it may be the likeliest, or just within the cut
			out[o] = 1
		default:
			out[o] = (1-Tolerance)*theirs[o]/h.ours[o] + Tolerance
		}
	}
	return out
}

// fair is the most that any honest server expects of the ratios up to a limit: whichever cut it makes, and whatever it gives
// instead of so much as the tolerance is.
func (h null) fair(ratios []float64, limit float64) float64 {
	low, high := limit, 0.0
	for _, r := range ratios {
		low, high = min(low, r), max(high, min(r, limit))
	}
	return h.expected(ratios, limit) + Tolerance*(high-low)
}

func (h null) expected(ratios []float64, limit float64) (most float64) {
	sum, total := 0.0, 0.0
	for i := range min(h.shape.widest, len(h.place)) {
		r, w := min(ratios[h.place[i]], limit), h.shape.weights[i]
		sum, total = sum+w*r, total+w
		switch {
		case h.greedy:
			most = max(most, r)
		case i+1 >= h.shape.fewest:
			most = max(most, sum/total)
		}
	}
	if h.shape.widest > len(h.place) {
		r := min(ratios[len(h.names)], limit)
		for _, w := range []float64{h.shape.low, h.shape.high} {
			most = max(most, (sum+w*r)/(total+w))
		}
	}
	return most
}
