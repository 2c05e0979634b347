// Package match decides which provider gets which order. All orders of a block
// clear in one batch, so nobody gains by being first within it, and an order
// that stays without a match learns which filter removed how many providers
// and who came nearest.
//
// Start at [Clear].
package match

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"daulat/core/canon"
	"daulat/core/job"
)

// DomainProvider is the domain of a provider's claim to its key.
const DomainProvider = "daulat/provider"

// Claim is what an identity key signs to become an account's: on another chain
// or for another account it counts for nothing.
type Claim struct {
	Chain   string `cbor:"chain"`
	Account string `cbor:"account"`
}

// Announcement is all that a provider wants the ledger to show of it.
type Announcement struct {
	Key       canon.PublicKey
	Proof     canon.Signature // Key's, over the Claim in DomainProvider
	Addresses []string
	Manifests [][]byte // and declarations, which stand in their place for declared models
	Offers    []Offer  // Provider, Key and Busy are the ledger's to say
}

// Offer is a provider's standing readiness to serve one model.
type Offer struct {
	Provider  string // account
	Key       canon.PublicKey
	Model     canon.CID
	Executor  string
	Price     job.Price
	Assurance job.Assurance // the highest it serves
	Slots     uint64        // sessions it can hold at once
	Busy      uint64        // sessions it holds now
}

// Limits of an offer.
const (
	MaxExecutor = 64 // bytes
	MaxSlots    = 1024
	// MaxPrice, in udlt per 1,000 tokens, keeps what 10¹⁰ tokens cost within 64
	// bits.
	MaxPrice = 1_000_000_000_000
)

// Validate reports what is wrong with what a provider states in an offer.
func (o Offer) Validate() error {
	switch {
	case o.Model.IsZero():
		return errors.New("offer: model is missing")
	case o.Executor == "" || len(o.Executor) > MaxExecutor || !canon.Plain(o.Executor):
		return fmt.Errorf("offer: executor must have 1 to %d bytes of plain text", MaxExecutor)
	case o.Price.Input > MaxPrice || o.Price.Output > MaxPrice:
		return fmt.Errorf("offer: price exceeds %d udlt per 1,000 tokens", uint64(MaxPrice))
	case o.Assurance > job.Proven:
		return fmt.Errorf("offer: assurance %d is unknown", uint64(o.Assurance))
	case o.Slots == 0 || o.Slots > MaxSlots:
		return fmt.Errorf("offer: slots must be 1 to %d", MaxSlots)
	}
	if err := job.Suits(o.Model, o.Executor, o.Assurance); err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	return nil
}

// Match is one decision.
type Match struct {
	Order uint64
	Offer Offer
}

// Miss is an order without a match, and why.
type Miss struct {
	Order       uint64
	Explanation string
}

// filter is one hard condition. passes decides; near says what the provider
// lacked, for the one that came furthest.
type filter struct {
	one    string // what one offer that it removes does
	many   string
	passes func(job.Terms, Offer) bool
	near   func(job.Terms, Offer) string
}

// filters in the order in which they are applied and explained.
var filters = []filter{
	{"serves another model", "serve another model", func(t job.Terms, o Offer) bool { return o.Model == t.Model },
		func(_ job.Terms, o Offer) string { return "serves " + o.Model.String() }},
	{"runs another executor", "run another executor", func(t job.Terms, o Offer) bool { return o.Executor == t.Executor },
		func(_ job.Terms, o Offer) string { return "runs " + o.Executor }},
	{"serves a lower assurance", "serve a lower assurance", func(t job.Terms, o Offer) bool { return o.Assurance >= t.Assurance },
		func(_ job.Terms, o Offer) string { return "serves up to " + o.Assurance.String() }},
	{"asks more than the price ceiling", "ask more than the price ceiling", func(t job.Terms, o Offer) bool { return o.Price.Within(t.Ceiling) },
		func(_ job.Terms, o Offer) string {
			return fmt.Sprintf("asks %d udlt in and %d udlt out per 1,000 tokens", o.Price.Input, o.Price.Output)
		}},
	{"is excluded by the order", "are excluded by the order", func(t job.Terms, o Offer) bool { return !slices.Contains(t.Excluded, o.Provider) },
		func(job.Terms, Offer) string { return "is excluded" }},
	{"is not one of those that the order names", "are not among those that the order names", func(t job.Terms, o Offer) bool { return !t.Only || slices.Contains(t.Preferred, o.Provider) },
		func(job.Terms, Offer) string { return "is another" }},
	{"has no free slot", "have no free slot", func(_ job.Terms, o Offer) bool { return o.Busy < o.Slots },
		func(_ job.Terms, o Offer) string { return fmt.Sprintf("has %d of %d slots in use", o.Busy, o.Slots) }},
}

// Bounds of the work in one batch.
const (
	MaxClear = 1000    // orders that are cleared
	MaxTries = 1 << 18 // pairs of order and offer that are looked at, as where all prices are equal
)

// Batch is how many orders one batch clears against so many offers.
func Batch(offers int) int { return min(MaxClear, max(1, MaxTries/max(1, offers))) }

// Clear matches orders, in the order of their IDs, with the offers that pass every
// filter: the order's preferred accounts first, as it lists them, then by price,
// the cheapest first. What is still equal is drawn by salt, which is a hash that
// no party of the batch chose alone. A slot taken in the batch is taken for the
// orders after it.
func Clear(orders []job.Order, offers []Offer, salt canon.Hash) ([]Match, []Miss) {
	orders = slices.SortedFunc(slices.Values(orders), func(a, b job.Order) int { return cmp.Compare(a.ID, b.ID) })
	b := newBook(offers)
	var matches []Match
	var misses []Miss
	for _, o := range orders {
		i := b.best(o, salt)
		if i < 0 {
			misses = append(misses, Miss{Order: o.ID, Explanation: b.explain(o.Terms)})
			continue
		}
		matches = append(matches, Match{Order: o.ID, Offer: b.offers[i]})
		for _, j := range b.of[b.offers[i].Provider] { // slots belong to the provider, not to the model
			b.offers[j].Busy++
		}
	}
	return matches, misses
}

// book holds the offers of a batch so that an order looks at few of them.
type book struct {
	offers []Offer
	of     map[string][]int // by provider, the cheapest first
	shelf  map[shelf][]int  // by what is served, the cheapest first
}

type shelf struct {
	model    canon.CID
	executor string
}

func newBook(offers []Offer) *book {
	b := &book{offers: slices.Clone(offers), of: map[string][]int{}, shelf: map[shelf][]int{}}
	order := make([]int, len(offers))
	for i := range offers {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return byPrice(offers[i], offers[j]) })
	for _, i := range order {
		at := shelf{offers[i].Model, offers[i].Executor}
		b.shelf[at] = append(b.shelf[at], i)
		b.of[offers[i].Provider] = append(b.of[offers[i].Provider], i)
	}
	return b
}

// best returns the index of the offer that wins o, or -1 if none does.
func (b *book) best(o job.Order, salt canon.Hash) int {
	for _, account := range o.Terms.Preferred {
		if i := b.cheapest(o, b.of[account], salt); i >= 0 {
			return i
		}
	}
	return b.cheapest(o, b.shelf[shelf{o.Terms.Model, o.Terms.Executor}], salt)
}

// cheapest returns the one of among, which are by price, that passes and wins, or
// -1. No lot is drawn where the price decides.
func (b *book) cheapest(o job.Order, among []int, salt canon.Hash) int {
	win, drawn := -1, canon.Hash{}
	for _, i := range among {
		if win >= 0 && byPrice(b.offers[win], b.offers[i]) != 0 {
			break
		}
		if firstFailing(o.Terms, b.offers[i]) < len(filters) {
			continue
		}
		if win < 0 {
			win = i
			continue
		}
		if drawn.IsZero() {
			drawn = lot(o.ID, b.offers[win], salt)
		}
		if l := lot(o.ID, b.offers[i], salt); bytes.Compare(l[:], drawn[:]) < 0 {
			win, drawn = i, l
		}
	}
	return win
}

// explain says which filter removed how many, and who came furthest.
func (b *book) explain(t job.Terms) string {
	removed := make([]int, len(filters))
	nearest, depth := -1, -1
	for i, offer := range b.offers {
		f := firstFailing(t, offer)
		removed[f]++
		if f > depth {
			nearest, depth = i, f
		}
	}
	return explain(t, b.offers, removed, nearest, depth)
}

func firstFailing(t job.Terms, o Offer) int {
	for i, f := range filters {
		if !f.passes(t, o) {
			return i
		}
	}
	return len(filters)
}

// byPrice compares by output price, which most of an answer costs, then by input
// price.
func byPrice(a, b Offer) int {
	if c := cmp.Compare(a.Price.Output, b.Price.Output); c != 0 {
		return c
	}
	return cmp.Compare(a.Price.Input, b.Price.Input)
}

func lot(order uint64, o Offer, salt canon.Hash) canon.Hash {
	buf := append(salt[:], binary.BigEndian.AppendUint64(nil, order)...)
	return canon.Sum(append(buf, o.Key[:]...))
}

func explain(t job.Terms, offers []Offer, removed []int, nearest, depth int) string {
	if len(offers) == 0 {
		return "no provider offers anything yet"
	}
	var parts []string
	for i, n := range removed {
		switch {
		case n == 1 && len(offers) == 1:
			parts = append(parts, "the only offer "+filters[i].one)
		case n == 1:
			parts = append(parts, "1 "+filters[i].one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, filters[i].many))
		}
	}
	text := strings.Join(parts, ", ")
	if len(offers) > 1 {
		text = fmt.Sprintf("of %d offers %s", len(offers), text)
	}
	near := offers[nearest]
	return fmt.Sprintf("%s; nearest: %s %s", text, near.Provider, filters[depth].near(t, near))
}
