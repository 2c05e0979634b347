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
	{"has no free slot", "have no free slot", func(_ job.Terms, o Offer) bool { return o.Busy < o.Slots },
		func(_ job.Terms, o Offer) string { return fmt.Sprintf("has %d of %d slots in use", o.Busy, o.Slots) }},
}

// Clear matches orders, in the order of their IDs, with the cheapest offers
// that pass every filter. Equal prices are drawn by salt, which is a hash that
// no party of the batch chose alone. A slot taken in the batch is taken for the
// orders after it.
func Clear(orders []job.Order, offers []Offer, salt canon.Hash) ([]Match, []Miss) {
	orders = slices.SortedFunc(slices.Values(orders), func(a, b job.Order) int { return cmp.Compare(a.ID, b.ID) })
	offers = slices.Clone(offers)
	var matches []Match
	var misses []Miss
	for _, o := range orders {
		i, why := best(o, offers, salt)
		if i < 0 {
			misses = append(misses, Miss{Order: o.ID, Explanation: why})
			continue
		}
		matches = append(matches, Match{Order: o.ID, Offer: offers[i]})
		taken := offers[i].Provider
		for j := range offers { // slots belong to the provider, not to the model
			if offers[j].Provider == taken {
				offers[j].Busy++
			}
		}
	}
	return matches, misses
}

// best returns the index of the offer that wins o, or -1 and why none does.
func best(o job.Order, offers []Offer, salt canon.Hash) (int, string) {
	win := -1
	removed := make([]int, len(filters))
	nearest, depth := -1, -1
	for i, offer := range offers {
		f := firstFailing(o.Terms, offer)
		if f == len(filters) {
			if win < 0 || better(o.ID, offer, offers[win], salt) {
				win = i
			}
			continue
		}
		removed[f]++
		if f > depth {
			nearest, depth = i, f
		}
	}
	if win >= 0 {
		return win, ""
	}
	return -1, explain(o.Terms, offers, removed, nearest, depth)
}

func firstFailing(t job.Terms, o Offer) int {
	for i, f := range filters {
		if !f.passes(t, o) {
			return i
		}
	}
	return len(filters)
}

// better orders offers by price, then by lot.
func better(order uint64, a, b Offer, salt canon.Hash) bool {
	if c := cmp.Compare(a.Price.Output, b.Price.Output); c != 0 {
		return c < 0
	}
	if c := cmp.Compare(a.Price.Input, b.Price.Input); c != 0 {
		return c < 0
	}
	la, lb := lot(order, a, salt), lot(order, b, salt)
	return bytes.Compare(la[:], lb[:]) < 0
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
