package match_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
)

func order(id uint64) job.Order {
	return job.Order{ID: id, State: job.OrderOpen, Terms: job.Terms{Version: canon.Version, Kind: job.Inference, Executor: "float/1",
		Model: model(1), Assurance: job.Sampled, Ceiling: job.Price{Input: 100, Output: 100}}}
}

func model(n byte) canon.CID { return canon.NewCID(canon.DagCBOR, canon.Hash{n}) }

func offer(name string, price uint64) match.Offer {
	return match.Offer{Provider: name, Key: canon.PublicKey(canon.Sum([]byte(name))), Model: model(1), Executor: "float/1",
		Price: job.Price{Input: price, Output: price}, Assurance: job.Sampled, Slots: 1}
}

func winner(t *testing.T, o job.Order, offers ...match.Offer) string {
	t.Helper()
	matches, misses := match.Clear([]job.Order{o}, offers, canon.Hash{})
	if len(matches) != 1 || len(misses) != 0 {
		t.Fatalf("%d matches and %d misses", len(matches), len(misses))
	}
	return matches[0].Offer.Provider
}

func TestCheapestThatPassesWins(t *testing.T) {
	if got := winner(t, order(1), offer("dear", 90), offer("cheap", 10), offer("middle", 50)); got != "cheap" {
		t.Errorf("%s won", got)
	}
	full := offer("full", 1)
	full.Busy = 1
	if got := winner(t, order(1), full, offer("free", 90)); got != "free" {
		t.Errorf("%s won", got)
	}
	o := order(1)
	o.Terms.Excluded = []string{"cheap"}
	if got := winner(t, o, offer("cheap", 1), offer("dear", 90)); got != "dear" {
		t.Errorf("%s won", got)
	}
}

func TestMissesAreExplained(t *testing.T) {
	other, exec, low, dear, full := offer("a", 1), offer("b", 1), offer("c", 1), offer("d", 101), offer("e", 1)
	other.Model, exec.Executor, low.Assurance, full.Busy = model(2), "float/2", job.Metered, 1
	for name, c := range map[string]struct {
		offers []match.Offer
		want   []string
	}{
		"nobody":      {nil, []string{"no provider offers anything yet"}},
		"model":       {[]match.Offer{other}, []string{"the only offer serves another model", "nearest: a serves " + model(2).String()}},
		"executor":    {[]match.Offer{exec}, []string{"the only offer runs another executor", "nearest: b runs float/2"}},
		"assurance":   {[]match.Offer{low}, []string{"the only offer serves a lower assurance", "nearest: c serves up to A0"}},
		"price":       {[]match.Offer{dear}, []string{"the only offer asks more than the price ceiling", "nearest: d asks 101 udlt in and 101 udlt out"}},
		"slots":       {[]match.Offer{full}, []string{"the only offer has no free slot", "nearest: e has 1 of 1 slots in use"}},
		"all of them": {[]match.Offer{other, other, exec, low, dear}, []string{"of 5 offers 2 serve another model, 1 runs another executor, 1 serves a lower assurance, 1 asks more than the price ceiling", "nearest: d"}},
	} {
		_, misses := match.Clear([]job.Order{order(1)}, c.offers, canon.Hash{})
		if len(misses) != 1 {
			t.Fatalf("%s: %d misses", name, len(misses))
		}
		for _, want := range c.want {
			if !strings.Contains(misses[0].Explanation, want) {
				t.Errorf("%s: %q does not say %q", name, misses[0].Explanation, want)
			}
		}
	}
}

// A batch does not depend on the order in which orders and offers came, gives no
// slot twice, and leaves its arguments alone.
func TestClearIsOneBatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var orders []job.Order
		var offers []match.Offer
		for i := range 1 + r.IntN(12) {
			orders = append(orders, order(uint64(i+1)))
		}
		for i := range 1 + r.IntN(8) {
			o := offer(fmt.Sprint("p", i), 1+r.Uint64N(3))
			o.Slots = 1 + r.Uint64N(3)
			offers = append(offers, o)
			if r.IntN(2) == 0 { // the same machine under another price and model
				o.Model, o.Price.Output = model(2), 1
				offers = append(offers, o)
			}
		}
		before := slices.Clone(offers)
		matches, misses := match.Clear(orders, offers, canon.Hash{9})
		if !reflect.DeepEqual(before, offers) {
			t.Fatal("the offers were changed")
		}
		if len(matches)+len(misses) != len(orders) {
			t.Fatalf("%d orders gave %d matches and %d misses", len(orders), len(matches), len(misses))
		}
		used := map[string]uint64{}
		for _, m := range matches {
			if used[m.Offer.Provider]++; used[m.Offer.Provider] > m.Offer.Slots {
				t.Fatalf("%s got more sessions than slots", m.Offer.Provider)
			}
		}
		r.Shuffle(len(orders), func(i, j int) { orders[i], orders[j] = orders[j], orders[i] })
		again, _ := match.Clear(orders, offers, canon.Hash{9})
		for i := range matches {
			if matches[i].Order != again[i].Order || matches[i].Offer.Provider != again[i].Offer.Provider {
				t.Fatal("the result depends on the order of the orders")
			}
		}
	}
}

// Equal prices are drawn by a lot that changes with the salt and favours nobody.
func TestEqualPricesAreDrawn(t *testing.T) {
	offers := []match.Offer{offer("a", 5), offer("b", 5), offer("c", 5)}
	won := map[string]int{}
	for i := range 300 {
		matches, _ := match.Clear([]job.Order{order(1)}, offers, canon.Sum([]byte(fmt.Sprint(i))))
		won[matches[0].Offer.Provider]++
	}
	for _, o := range offers {
		if won[o.Provider] < 60 {
			t.Errorf("%s won %d of 300", o.Provider, won[o.Provider])
		}
	}
}
