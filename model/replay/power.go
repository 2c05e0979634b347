package replay

import (
	"math"
	"math/rand/v2"
)

// power is a lower bound of the chance that the alternative's answers of this length are rejected, whichever of the samplers it
// has: at each token of the answer its own next token is drawn.
func power(bets []bet, samplers int, threshold float64) float64 {
	least := 1.0
	for s := range samplers {
		random := rand.New(rand.NewPCG(uint64(s), 0x7265706c6179))
		seen, sums := 0, make([]float64, samplers*samplers)
		for range Draws {
			if drawn(random, bets, s, sums, threshold) {
				seen++
			}
		}
		least = min(least, lowerBound(seen, Draws))
	}
	return least
}

// drawn draws one answer of the alternative with sampler s, and reports whether it is rejected against each sampler. sums has
// room for each game.
func drawn(random *rand.Rand, bets []bet, s int, sums []float64, threshold float64) bool {
	clear(sums)
	samplers := len(bets[0].chance)
	open := 1<<samplers - 1
	for i := range bets {
		o := pick(bets[i].chance[s], random.Float64())
		for g, won := range bets[i].wins[o*len(sums):][:len(sums)] {
			if sums[g] += won; sums[g] >= threshold {
				open &^= 1 << (g / samplers)
			}
		}
		if open == 0 {
			return true
		}
	}
	return false
}

func pick(chance []float64, at float64) int {
	for o, c := range chance {
		if at -= c; at < 0 {
			return o
		}
	}
	return len(chance) - 1
}

// lowerBound is a chance which, but in overconfidence of all cases, is not above the real one, if hits of n draws were: by Chernoff's bound
// the smallest p for which n·KL(hits/n ‖ p) ≤ ln(1/overconfidence).
func lowerBound(hits, n int) float64 {
	share, limit := float64(hits)/float64(n), math.Log(1/overconfidence)/float64(n)
	low, high := 0.0, share
	for range 60 {
		if p := (low + high) / 2; divergence(share, p) > limit {
			low = p
		} else {
			high = p
		}
	}
	return low
}

// divergence is KL(Bernoulli(a) ‖ Bernoulli(b)).
func divergence(a, b float64) float64 {
	term := func(x, y float64) float64 {
		if x == 0 {
			return 0
		}
		return x * math.Log(x/y)
	}
	return term(a, b) + term(1-a, 1-b)
}
