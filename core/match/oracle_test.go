package match_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
)

// plainly is the rule of spec/job.md word for word: every order looks at every
// offer.
func plainly(orders []job.Order, offers []match.Offer, salt canon.Hash) map[uint64]string {
	won := map[uint64]string{}
	busy := map[string]uint64{}
	for _, o := range offers {
		busy[o.Provider] = o.Busy
	}
	for _, o := range slices.SortedFunc(slices.Values(orders), func(a, b job.Order) int { return cmp.Compare(a.ID, b.ID) }) {
		t := o.Terms
		pass := func(f match.Offer) bool {
			return f.Model == t.Model && f.Executor == t.Executor && f.Assurance >= t.Assurance && f.Price.Within(t.Ceiling) &&
				!slices.Contains(t.Excluded, f.Provider) && (!t.Only || slices.Contains(t.Preferred, f.Provider)) && busy[f.Provider] < f.Slots
		}
		wanted := func(f match.Offer) int {
			if i := slices.Index(t.Preferred, f.Provider); i >= 0 {
				return i
			}
			return len(t.Preferred)
		}
		draw := func(f match.Offer) string {
			l := canon.Sum(append(binary.BigEndian.AppendUint64(salt[:], o.ID), f.Key[:]...))
			return string(l[:])
		}
		left := slices.DeleteFunc(slices.Clone(offers), func(f match.Offer) bool { return !pass(f) })
		if len(left) == 0 {
			continue
		}
		win := slices.MinFunc(left, func(a, b match.Offer) int {
			return cmp.Or(cmp.Compare(wanted(a), wanted(b)), cmp.Compare(a.Price.Output, b.Price.Output),
				cmp.Compare(a.Price.Input, b.Price.Input), cmp.Compare(draw(a), draw(b)))
		})
		won[o.ID] = win.Provider
		busy[win.Provider]++
	}
	return won
}

func some(r *rand.Rand, from []string) (all []string) {
	for _, i := range r.Perm(len(from))[:r.IntN(4)] {
		all = append(all, from[i])
	}
	return all
}

// The indexed clearing decides as the plain one does, preferences, pins and
// exclusions included.
func TestClearDecidesAsThePlainRuleDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	names := []string{"p0", "p1", "p2", "p3", "p4", "p5", "p6"}
	pinned, missed := 0, 0
	for range 2000 {
		var offers []match.Offer
		for _, name := range names[:1+r.IntN(len(names))] {
			for m := range byte(1 + r.IntN(2)) {
				o := offer(name, 1+r.Uint64N(3))
				o.Price.Input, o.Model, o.Slots, o.Busy = 1+r.Uint64N(2), model(1+m), 3, r.Uint64N(3)
				o.Assurance = job.Assurance(r.IntN(3))
				if len(offers) > 0 && offers[len(offers)-1].Provider == name {
					o.Busy = offers[len(offers)-1].Busy
				}
				offers = append(offers, o)
			}
		}
		var orders []job.Order
		for i := range 1 + r.IntN(8) {
			o := order(uint64(i + 1))
			o.Terms.Model, o.Terms.Ceiling.Output = model(byte(1+r.IntN(2))), 1+r.Uint64N(3)
			o.Terms.Excluded, o.Terms.Preferred = some(r, names), some(r, names)
			o.Terms.Only = len(o.Terms.Preferred) > 0 && r.IntN(3) == 0
			if o.Terms.Only {
				pinned++
			}
			orders = append(orders, o)
		}
		salt := canon.Sum([]byte(fmt.Sprint(r.Uint64())))
		want := plainly(orders, offers, salt)
		matches, misses := match.Clear(orders, offers, salt)
		got := map[uint64]string{}
		for _, m := range matches {
			got[m.Order] = m.Offer.Provider
		}
		if missed += len(misses); !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\n%v\n%+v\n%+v", got, want, orders, offers)
		}
	}
	if pinned < 100 || missed < 100 {
		t.Fatalf("only %d pins and %d misses", pinned, missed)
	}
}

func TestPreferenceAndPin(t *testing.T) {
	o := order(1)
	o.Terms.Preferred = []string{"gone", "dear", "middle"}
	offers := []match.Offer{offer("cheap", 10), offer("middle", 50), offer("dear", 90)}
	if got := winner(t, o, offers...); got != "dear" {
		t.Errorf("%s won", got)
	}
	offers[2].Busy = 1
	if got := winner(t, o, offers...); got != "middle" {
		t.Errorf("%s won", got)
	}
	o.Terms.Preferred = []string{"gone"}
	if got := winner(t, o, offers...); got != "cheap" {
		t.Errorf("%s won", got)
	}
	o.Terms.Only = true
	matches, misses := match.Clear([]job.Order{o}, offers[:2], canon.Hash{})
	if len(matches) != 0 || misses[0].Explanation != "of 2 offers 2 are not among those that the order names; nearest: cheap is another" {
		t.Errorf("%+v %+v", matches, misses)
	}
}
