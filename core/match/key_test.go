package match_test

import (
	"errors"
	"fmt"
	"testing"

	"daulat/core/canon"
	"daulat/core/match"
)

const delay = 2

// entry is what happened to a binding, for the oracle: a rotation to a key, or
// a revocation (no key), at a time.
type entry struct {
	to canon.PublicKey
	at uint64
}

// inForce derives the key in force at a time from the whole history, in the
// words of the rule: the last rotation that was not taken back or replaced
// within the delay, unless a revocation came after it took force.
func inForce(start canon.PublicKey, history []entry, now uint64) canon.PublicKey {
	key := start
	for i, e := range history {
		if e.to.IsZero() {
			if before := inForce(start, history[:i], e.at); before == key {
				key = canon.PublicKey{}
			}
			continue
		}
		since := e.at // of the unbroken run of rotations to this key
		for j := i - 1; j >= 0; j-- {
			if history[j].to.IsZero() {
				continue
			}
			if history[j].to != e.to || inForce(start, history[:j+1], e.at) == e.to {
				break
			}
			since = history[j].at
		}
		replaced := now + 1
		for _, later := range history[i+1:] {
			if !later.to.IsZero() && later.to != e.to {
				replaced = later.at
				break
			}
		}
		if until := since + delay; until <= now && until <= replaced && inForce(start, history[:i], e.at) != e.to {
			key = e.to
			for _, later := range history[i+1:] {
				if later.to.IsZero() && later.at >= until {
					key = canon.PublicKey{}
				}
			}
		}
	}
	return key
}

// Every sequence of rotations to three keys, revocations and waits, up to six
// moves: the binding says what its history says, whether or not it is written
// down as it stands after each move, and at any later time.
func TestEveryHistoryOfKeys(t *testing.T) {
	keys := []canon.PublicKey{{1}, {2}, {3}}
	const depth = 6
	count := 0
	var walk func(eager, lazy match.Binding, history []entry, now uint64, left int)
	walk = func(eager, lazy match.Binding, history []entry, now uint64, left int) {
		count++
		for later := now; later <= now+2*delay; later++ {
			want := inForce(keys[0], history, later)
			if lazy.At(later).Key != want || eager.At(later).Key != want {
				t.Fatalf("%v at %d: in force %v and %v, not %v", history, later, lazy.At(later).Key[0], eager.At(later).Key[0], want[0])
			}
			if b := lazy.At(later); b.At(later) != b || b.At(later+delay) != lazy.At(later+delay) {
				t.Fatalf("%v: how it stands at %d does not stand", history, later)
			}
		}
		if left == 0 {
			return
		}
		walk(eager.At(now+1), lazy, history, now+1, left-1)
		for _, k := range keys {
			e, err1 := eager.Rotate(k, now, delay)
			l, err2 := lazy.Rotate(k, now, delay)
			if err1 != nil || err2 != nil || e != l {
				t.Fatalf("%v, rotate to %d: %+v %v, %+v %v", history, k[0], e, err1, l, err2)
			}
			if again, err := l.Rotate(k, now+1, delay); err != nil || again != l.At(now+1) {
				t.Fatalf("%v: the same rotation again is not without effect", history)
			}
			walk(e, l, append(history[:len(history):len(history)], entry{k, now}), now, left-1)
		}
		before := lazy.At(now).Key
		e, _, err1 := eager.Revoke(now)
		l, revoked, err2 := lazy.Revoke(now)
		if before.IsZero() {
			if !errors.Is(err1, match.ErrNoKey) || !errors.Is(err2, match.ErrNoKey) {
				t.Fatalf("%v: revoked nothing: %v, %v", history, err1, err2)
			}
			return
		}
		if err1 != nil || err2 != nil || e != l || revoked != before || !l.At(now).Key.IsZero() {
			t.Fatalf("%v, revoke: %+v %v, %+v %v", history, e, err1, l, err2)
		}
		walk(e, l, append(history[:len(history):len(history)], entry{at: now}), now, left-1)
	}
	start := match.Binding{Key: keys[0]}
	walk(start, start, nil, 10, depth)
	if count < 5000 {
		t.Fatalf("only %d histories", count)
	}
}

func TestRotationsByHand(t *testing.T) {
	a, b, c := canon.PublicKey{1}, canon.PublicKey{2}, canon.PublicKey{3}
	start := match.Binding{Key: a}
	must := func(b match.Binding, err error) match.Binding {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	rotated := must(start.Rotate(b, 100, 60))
	revoked, _, err := rotated.Revoke(110)
	if err != nil {
		t.Fatal(err)
	}
	none := match.Binding{}
	for name, x := range map[string]struct{ got, want match.Binding }{
		"waits":                     {rotated.At(159), match.Binding{Key: a, Next: b, From: 160}},
		"takes over":                {rotated.At(160), match.Binding{Key: b}},
		"replaced by another":       {must(rotated.Rotate(c, 120, 60)), match.Binding{Key: a, Next: c, From: 180}},
		"taken back":                {must(rotated.Rotate(a, 120, 60)), start},
		"too late to take back":     {must(rotated.Rotate(a, 160, 60)), match.Binding{Key: b, Next: a, From: 220}},
		"no delay":                  {must(start.Rotate(b, 100, 0)), match.Binding{Key: b}},
		"a rotation survives":       {revoked, match.Binding{Next: b, From: 160}},
		"a revocation is no detour": {must(none.Rotate(c, 100, 60)), match.Binding{Next: c, From: 160}},
	} {
		if x.got != x.want {
			t.Errorf("%s: %+v, want %+v", name, x.got, x.want)
		}
	}
	if got, err := rotated.Rotate(canon.PublicKey{}, 100, 60); err == nil || got != rotated {
		t.Errorf("no key: %+v, %v", got, err)
	}
}

func TestOfferValidate(t *testing.T) {
	good := match.Offer{Model: canon.NewCID(canon.DagCBOR, canon.Hash{1}), Executor: "float/1", Slots: 1}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for i, spoil := range []func(*match.Offer){
		func(o *match.Offer) { o.Model = canon.CID{} },
		func(o *match.Offer) { o.Model = canon.NewCID(canon.Raw, canon.Hash{1}) },
		func(o *match.Offer) { o.Executor = "" },
		func(o *match.Offer) { o.Executor = fmt.Sprintf("%065d", 0) },
		func(o *match.Offer) { o.Executor = "\xff" },
		func(o *match.Offer) { o.Executor = "float/1\x1b[2J" },
		func(o *match.Offer) { o.Executor = "\u202eloat/1" },
		func(o *match.Offer) { o.Price.Input = match.MaxPrice + 1 },
		func(o *match.Offer) { o.Price.Output = match.MaxPrice + 1 },
		func(o *match.Offer) { o.Assurance = 5 },
		func(o *match.Offer) { o.Slots = 0 },
		func(o *match.Offer) { o.Slots = match.MaxSlots + 1 },
	} {
		o := good
		spoil(&o)
		if o.Validate() == nil {
			t.Errorf("number %d was taken: %+v", i, o)
		}
	}
}
