package match_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
)

func policy() match.Policy {
	return match.Policy{Input: 256, Output: 256, Second: 20_000, Audits: true}
}

func proven(name string, price uint64) match.Candidate {
	return match.Candidate{Offer: offer(name, price), Standing: job.Standing{Sessions: 5}}
}

func fresh(name string, price uint64) match.Candidate {
	return match.Candidate{Offer: offer(name, price)}
}

func anyone(r *rand.Rand, name string) match.Candidate {
	c := match.Candidate{Offer: offer(name, 1+r.Uint64N(100)), Owner: fmt.Sprint("o", r.IntN(4)), Held: r.Uint64N(3), Asked: r.Uint64N(9)}
	if r.IntN(3) > 0 {
		sessions := r.Uint64N(20)
		c.Standing = job.Standing{Sessions: sessions, Unserved: r.Uint64N(sessions + 1), Complaints: r.Uint64N(3), Withheld: r.Uint64N(1000)}
	}
	if r.IntN(2) > 0 {
		c.Facts = match.Facts{Served: r.Uint64N(20), Failed: r.Uint64N(5), Latency: r.Uint64N(300), Pace: match.Pace{First: r.Uint64N(2000), Speed: r.Uint64N(50_000)}}
	}
	return c
}

func names(ranked []match.Ranked) (all []string) {
	for _, r := range ranked {
		all = append(all, r.Offer.Provider)
	}
	return all
}

func placeOf(ranked []match.Ranked, name string) int { return slices.Index(names(ranked), name) }

// The order is one whatever order the candidates came in.
func TestRankIsATotalOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		var all []match.Candidate
		for i := range 1 + r.IntN(12) {
			all = append(all, anyone(r, fmt.Sprint("p", i)))
		}
		p := policy()
		p.Newcomer, p.PerOwner, p.Spread, p.Lot = r.IntN(2) == 0, r.Uint64N(3), r.Uint64N(4), canon.Sum([]byte{byte(r.Int())})
		before := slices.Clone(all)
		first := match.Rank(order(1).Terms, all, p)
		if !reflect.DeepEqual(before, all) {
			t.Fatal("the candidates were changed")
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if second := match.Rank(order(1).Terms, all, p); !reflect.DeepEqual(first, second) {
			t.Fatalf("%v\n%v", names(first), names(second))
		}
		for i := range first {
			var other *match.Ranked
			if i > 0 {
				other = &first[i-1]
			}
			if first[i].Reason(other) == "" {
				t.Fatalf("no reason for %+v", first[i])
			}
		}
	}
}

// More of what is bad, all else equal, never gives a better place, and less of it
// never a worse one.
func TestRankIsMonotoneInEachFactor(t *testing.T) {
	worse := map[string]func(*match.Candidate){
		"price":          func(c *match.Candidate) { c.Offer.Price.Output += 7 },
		"input price":    func(c *match.Candidate) { c.Offer.Price.Input += 7 },
		"failures here":  func(c *match.Candidate) { c.Facts.Failed++ },
		"complaints":     func(c *match.Candidate) { c.Standing.Complaints++ },
		"unserved":       func(c *match.Candidate) { c.Standing.Unserved++; c.Standing.Sessions++ },
		"later":          func(c *match.Candidate) { c.Facts.First = max(c.Facts.First, 1_001+c.Facts.Latency) + 50 },
		"farther":        func(c *match.Candidate) { c.Facts.Latency += 50 },
		"slower":         func(c *match.Candidate) { c.Facts.Speed = min(10_000, max(2, c.Facts.Speed)) / 2 },
		"less at stake":  func(c *match.Candidate) { c.Standing.Withheld /= 2 },
		"one session on": func(c *match.Candidate) { c.Held++ },
	}
	r := rand.New(rand.NewPCG(7, 8))
	moved := map[string]int{}
	for range 3000 {
		all := []match.Candidate{anyone(r, "subject")}
		all[0].Standing.Sessions, all[0].Owner = all[0].Standing.Sessions+1, "alone" // who has none gets better known by failing
		for i := range 6 {
			all = append(all, anyone(r, fmt.Sprint("p", i)))
		}
		p := policy()
		p.PerOwner, p.Lot = r.Uint64N(3), canon.Sum([]byte{byte(r.Int())})
		at := placeOf(match.Rank(order(1).Terms, all, p), "subject")
		for name, change := range worse {
			changed := slices.Clone(all)
			change(&changed[0])
			now := placeOf(match.Rank(job.Terms{Version: 1, Model: model(1), Executor: "float/1", Assurance: job.Sampled,
				Ceiling: job.Price{Input: 1000, Output: 1000}}, changed, p), "subject")
			if now < at {
				t.Fatalf("%s: from %d to %d: %+v to %+v", name, at, now, all[0], changed[0])
			}
			if now > at {
				moved[name]++
			}
		}
	}
	for name := range worse {
		if moved[name] == 0 {
			t.Errorf("%s never mattered", name)
		}
	}
}

// A thousand fresh offers at price 1 come behind everybody who has served, in all
// sessions but the newcomers' turns, which are one in sixteen; and an owner with a
// thousand accounts draws in them as one.
func TestFreshOffersTakeTheirShareAlone(t *testing.T) {
	all := []match.Candidate{proven("honest", 90), fresh("newcomer", 50)}
	for i := range 1000 {
		c := fresh(fmt.Sprint("sybil", i), 1)
		c.Owner = "one machine"
		all = append(all, c)
	}
	won := map[string]uint64{}
	const sessions = 320
	for i := range uint64(sessions) {
		p := policy()
		p.Newcomer, p.Lot = match.Turn(won["newcomer"]+won["one machine"], i), canon.Sum([]byte(fmt.Sprint(i)))
		first := match.Rank(order(1).Terms, all, p)[0]
		won[first.Owner]++
	}
	fresh := won["newcomer"] + won["one machine"]
	if fresh != sessions/match.NewcomerShare || won["honest"] != sessions-fresh {
		t.Fatalf("%v", won)
	}
	if won["newcomer"] < fresh/4 || won["one machine"] < fresh/4 {
		t.Fatalf("one of two fresh owners starves: %v", won)
	}
}

func TestTurnIsABoundedShare(t *testing.T) {
	var newcomers uint64
	for all := range uint64(10_000) {
		if match.Turn(newcomers, all) {
			newcomers++
		}
		if newcomers*match.NewcomerShare > all+1 {
			t.Fatalf("%d newcomers in %d sessions", newcomers, all+1)
		}
	}
	if newcomers != 10_000/match.NewcomerShare {
		t.Fatalf("%d newcomers", newcomers)
	}
}

// Who served all that it was asked is less known than others, and does not fail.
func TestLittleKnownIsNotFailing(t *testing.T) {
	known, young, fails := proven("known", 50), proven("young", 50), proven("fails", 50)
	known.Facts = match.Facts{Served: 90, Pace: match.Pace{First: 300, Speed: 40_000}}
	young.Facts, fails.Facts = known.Facts, known.Facts
	young.Facts.Served, young.Standing.Sessions = 1, 0
	fails.Facts.Served, fails.Facts.Failed = 60, 30
	ranked := match.Rank(order(1).Terms, []match.Candidate{known, young, fails}, policy())
	for _, r := range ranked {
		want := map[string]string{"known": "costs about the same", "young": "less known, so a risk of 17 % is assumed", "fails": "fails more: 33 % expected"}[r.Offer.Provider]
		if got := r.Reason(&ranked[0]); got != want {
			t.Errorf("%s: %q, want %q", r.Offer.Provider, got, want)
		}
	}
}

func TestRankByHand(t *testing.T) {
	failing := proven("failing", 1)
	failing.Facts.Failed = 30
	slow, fast := proven("slow", 50), proven("fast", 60)
	slow.Facts, fast.Facts = match.Facts{Served: 9, Pace: match.Pace{First: 300, Speed: 2_000}}, match.Facts{Served: 9, Pace: match.Pace{First: 300, Speed: 40_000}}
	liar := proven("liar", 50)
	liar.Standing.Complaints = 1
	p := policy()
	terms := order(1).Terms
	terms.Excluded = []string{"excluded"}
	ranked := match.Rank(terms, []match.Candidate{failing, fresh("fresh", 1), slow, fast, liar, proven("excluded", 1), proven("beyond", 101)}, p)
	if got := names(ranked); !slices.Equal(got, []string{"fast", "slow", "fresh", "liar", "failing"}) {
		t.Fatal(got)
	}
	why := map[string]string{}
	for i, r := range ranked {
		if i == 0 {
			why[r.Offer.Provider] = r.Reason(nil)
		} else {
			why[r.Offer.Provider] = r.Reason(&ranked[0])
		}
	}
	for name, want := range map[string]string{"fast": "costs the least, price, waiting and failures together", "slow": "slower: 2.0 tokens/s",
		"fresh": "no history yet", "failing": "fails: 30 of 30 here, 0 of 5 on the ledger", "liar": "fails: 0 of 0 here, 1 of 5 on the ledger"} {
		if why[name] != want {
			t.Errorf("%s: %q", name, why[name])
		}
	}
	if got := names(match.Shortlist(ranked)); !slices.Equal(got, []string{"fast", "slow"}) {
		t.Errorf("shortlist: %v", got)
	}
	if got := names(match.Shortlist(ranked[2:])); !slices.Equal(got, []string{"fresh", "liar", "failing"}) {
		t.Errorf("shortlist of those without history: %v", got)
	}
	p.Newcomer = true
	if got := names(match.Shortlist(match.Rank(terms, []match.Candidate{slow, fast, fresh("fresh", 1)}, p))); !slices.Equal(got, []string{"fresh", "fast", "slow"}) {
		t.Errorf("shortlist of a newcomer's turn: %v", got)
	}
	p.Newcomer = false
	terms.Preferred = []string{"fresh", "slow"}
	if got := names(match.Rank(terms, []match.Candidate{fast, slow, fresh("fresh", 1)}, p)); !slices.Equal(got, []string{"fresh", "slow", "fast"}) {
		t.Errorf("preferred: %v", got)
	}
	p.PerOwner = 1
	fast.Held = 1
	terms.Preferred = nil
	if got := names(match.Rank(terms, []match.Candidate{fast, slow}, p)); !slices.Equal(got, []string{"slow", "fast"}) {
		t.Errorf("spread: %v", got)
	}
}

// Requests go round so many owners, the one that was asked longest ago first, known or
// not; one that was not asked yet comes before while they are fewer, and behind when they
// are not. Who is full, fails or is excluded is none of them.
func TestRound(t *testing.T) {
	of := func(c match.Candidate, asked uint64) match.Candidate {
		c.Asked = asked
		return c
	}
	failing, full := of(proven("failing", 1), 1), of(proven("full", 1), 2)
	failing.Facts.Failed, full.Held = 30, 1
	all := []match.Candidate{of(proven("a", 1), 5), of(fresh("b", 90), 3), of(proven("c", 50), 4), proven("new", 10), failing, full, of(proven("not", 1), 1)}
	terms, p := order(1).Terms, policy()
	terms.Excluded, p.PerOwner = []string{"not"}, 1
	for spread, want := range map[uint64][]string{
		0: {"a", "new", "c", "b", "failing", "full"},
		2: {"c", "a", "new", "b", "failing", "full"},
		3: {"b", "c", "a", "new", "failing", "full"},
		4: {"new", "b", "c", "a", "failing", "full"},
	} {
		p.Spread = spread
		ranked := match.Rank(terms, all, p)
		if !slices.Equal(names(ranked), want) {
			t.Errorf("%d: %v", spread, names(ranked))
		}
		if got := slices.Contains(names(match.Shortlist(ranked)), "b"); got != (spread > 2) {
			t.Errorf("%d: who is not known is named: %v", spread, got)
		}
	}
	terms.Preferred, terms.Only, p.Spread = []string{"a", "b"}, true, 4
	if got := names(match.Rank(terms, all, p)); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("those that alone may serve: %v", got)
	}
}

// Facts follow what is measured and stay bounded.
func TestFacts(t *testing.T) {
	var f match.Facts
	for range 1000 {
		f = f.Answered(200, 1000, 11).Reached(3)
	}
	if f.Served > 64 || f.Answers != 64 || f.First != 200 || f.Speed != 10_000 || f.Latency != 3 {
		t.Fatalf("%+v", f)
	}
	for range 100 {
		f = f.Answered(900, 2000, 11)
	}
	if f.First != 900 || f.Speed != 5_000 {
		t.Fatalf("%+v", f)
	}
	for range 200 {
		f = f.Broke()
	}
	if f.Served > 8 || f.Failed < 32 || f.Failed > 64 {
		t.Fatalf("%+v", f)
	}
	if aged := f.Aged(10); aged.Failed != 0 || aged.Served != f.Served {
		t.Fatalf("%+v", aged)
	}
}

// Amounts of any size neither wrap nor divide by zero.
func FuzzRank(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(3), uint64(4), uint64(5), uint64(6))
	f.Add(^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0))
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g uint64) {
		x := match.Candidate{Offer: offer("x", 1), Standing: job.Standing{Sessions: a, Unserved: b, Complaints: c, Withheld: d},
			Facts: match.Facts{Served: b, Failed: c, Latency: d, Pace: match.Pace{First: e, Speed: g}}, Held: e}
		x.Offer.Price = job.Price{Input: a % (match.MaxPrice + 1), Output: b % (match.MaxPrice + 1)}
		terms := order(1).Terms
		terms.Ceiling = job.Price{Input: match.MaxPrice, Output: match.MaxPrice}
		p := match.Policy{Input: c, Output: d, Second: e, Audits: true, PerOwner: g}
		r := match.Rank(terms, []match.Candidate{x, fresh("y", 1)}, p)
		if len(r) != 2 || r[0].FailRate >= 1_000_000 || r[1].FailRate >= 1_000_000 {
			t.Fatalf("%+v", r)
		}
		_ = r[1].Reason(&r[0])
	})
}
