package match

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/verify"
)

// Candidate is an offer and what is known of who made it.
type Candidate struct {
	Offer    Offer
	Standing job.Standing // as the ledger saw it
	Facts    Facts        // as this home saw it
	Owner    string       // who is behind it, as far as that shows; by default the provider's account
	Held     uint64       // sessions of this home that the owner serves now
	Asked    uint64       // number of the last request of this home that the owner was put; 0: none yet
	Addrs    []string     // where it is reached; nobody is judged by them
}

// Policy is what a home wants of providers.
type Policy struct {
	Input, Output uint64 // tokens of the request that costs are compared for
	Second        uint64 // what a second of waiting is worth, in 10⁻³ udlt
	Audits        bool   // the home runs drawn answers again, which costs it what they cost
	PerOwner      uint64 // sessions that one owner shall serve at a time; 0: any number
	Spread        uint64 // owners that requests go round, one after the other; 0: they don't
	// Newcomer says that one of those without history comes first: [Turn] says when.
	Newcomer bool
	Lot      canon.Hash // draws it, and between equals
}

// NewcomerShare is how much of a home's sessions goes to providers without
// history, where others have one: one part in so many. It is what a home pays to
// get to know providers, and all that any number of fresh accounts can take.
const NewcomerShare = 16

// Turn reports that the next session is a newcomer's, after newcomers of all
// sessions were.
func Turn(newcomers, all uint64) bool { return newcomers < (all+1)/NewcomerShare }

// Tier is the first thing by which candidates are ordered.
type Tier uint64

// The tiers, the best first.
const (
	Known   Tier = iota // served somebody, and fails in less than half of all cases
	Fresh               // nothing is known
	Failing             // fails in half of all cases or more
)

// Ranked is a candidate with its place, and what placed it. All that it costs is in
// 10⁻³ udlt, for one request as the policy says.
type Ranked struct {
	Candidate
	Tier     Tier
	Full     bool   // its owner serves as many of this home's sessions as it shall
	Turn     bool   // it comes first as a newcomer's turn
	FailRate uint64 // expected, in parts per million
	Price    uint64
	Audit    uint64 // the expected cost of running answers again
	Wait     uint64 // what waiting for the answer is worth
	Loss     uint64 // what waiting for those that fail is worth
	wanted   int    // place in the order's preferences
	pinned   bool   // the order names who alone may serve, it among them
	round    bool   // its owner is one of those that requests go round
	lot      canon.Hash
}

// Cost is all that an answer is expected to cost.
func (r Ranked) Cost() uint64 { return sum(sum(r.Price, r.Audit), sum(r.Wait, r.Loss)) }

// What is assumed until it is measured, and the weights of evidence. They are
// judgements, not measurements: the tests hold only that more of what is bad never
// places a provider better.
const (
	assumedFirst = 1_000  // milliseconds to the first token
	assumedSpeed = 10_000 // tokens per 1,000 seconds: a laptop with a model of a few 10⁹ weights
	lostToOne    = 4_000  // milliseconds that a provider costs which wins and never serves: patience and two blocks

	ownWeight    = 4 // one answer that this home waited for counts as so many sessions on the ledger,
	ledgerTrials = 8 // of which no more than so many count: two accounts of one owner can make as many as they like
	lieWeight    = 4 // a complaint counts as so many sessions of which nothing came
)

// Rank orders the candidates that pass the filters of t, the best first: those that
// t prefers as it lists them; those whose owners are not full; those of the round, the one
// that was asked longest ago first; by tier; by expected cost, roughly; by lot. In a newcomer's turn one fresh candidate, drawn among owners and not
// among accounts, comes before all but the preferred.
//
// The cost of one request is
//
//	price · (1 + a) + second · (first + output/speed + 4 s · f/(1−f))
//
// with the audit rate a of [verify.AuditRate] for the provider's stake, and the
// expected failure rate f by the rule of succession (Laplace), (bad+1)/(trials+2),
// over what the home saw, four times, and at most eight sessions of the ledger.
// f/(1−f) is how many failures come before a success.
func Rank(t job.Terms, all []Candidate, p Policy) []Ranked {
	var ranked []Ranked
	for _, c := range all {
		if Unfit(t, c.Offer) == "" {
			ranked = append(ranked, p.judge(t, c))
		}
	}
	if p.Newcomer {
		p.favour(ranked)
	}
	if p.Spread > 0 {
		p.goRound(ranked)
	}
	slices.SortFunc(ranked, compare)
	return ranked
}

// Shortlist is whom an order should name, of those that can be reached: the best, and
// nobody without a good history, but in a newcomer's turn, in a round or if pinned, as
// long as there is one who has it. Else where those are busy the orders would go to whoever asks least.
func Shortlist(ranked []Ranked) (short []Ranked) {
	good := func(r Ranked) bool { return (r.Tier == Known || r.round || r.pinned) && !r.Full }
	known := slices.ContainsFunc(ranked, good)
	for _, r := range ranked {
		if !known || good(r) || r.Turn {
			short = append(short, r)
		}
	}
	return short[:min(len(short), job.MaxPreferred)]
}

// Unfit says which filter of t keeps an offer out, or nothing if none does.
func Unfit(t job.Terms, o Offer) string {
	if i := firstFailing(t, o); i < len(filters) {
		return filters[i].one
	}
	return ""
}

func compare(a, b Ranked) int {
	return cmp.Or(cmp.Compare(a.wanted, b.wanted), before(a.Turn, b.Turn), before(b.Full, a.Full),
		cmp.Compare(a.since(), b.since()), cmp.Compare(a.Tier, b.Tier),
		cmp.Compare(coarse(a.Cost()), coarse(b.Cost())), bytes.Compare(a.lot[:], b.lot[:]), cmp.Compare(a.Offer.Provider, b.Offer.Provider))
}

// coarse keeps the four highest bits of a cost and where they stand. Costs that lie
// within one part in sixteen to one in eight count as equal, and the lot decides: else
// all homes would order from the same few, and none of them is known so exactly.
func coarse(cost uint64) uint64 {
	n := bits.Len64(cost)
	if n <= 4 {
		return cost
	}
	return uint64(n)<<4 | cost>>(n-4)
}

// before puts true first.
func before(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// Full reports that c's owner serves as many sessions of the home as it may.
func (p Policy) Full(c Candidate) bool { return p.PerOwner > 0 && c.Held >= p.PerOwner }

func (p Policy) judge(t job.Terms, c Candidate) Ranked {
	c.Owner = cmp.Or(c.Owner, c.Offer.Provider)
	r := Ranked{Candidate: c, Full: p.Full(c), pinned: t.Only, wanted: slices.Index(t.Preferred, c.Offer.Provider),
		lot: canon.Sum(append(p.Lot[:], c.Offer.Provider...))}
	if r.wanted < 0 || t.Only && p.Spread > 0 { // those that alone may serve are whom to go round
		r.wanted = len(t.Preferred)
	}
	bad, trials := evidence(c)
	r.FailRate = mulDiv(bad+1, verify.Million, trials+2)
	switch {
	case trials == 0:
		r.Tier = Fresh
	case 2*r.FailRate >= verify.Million:
		r.Tier = Failing
	}
	r.Price = sum(mul(p.Input, c.Offer.Price.Input), mul(p.Output, c.Offer.Price.Output))
	if p.Audits {
		r.Audit = mulDiv(r.Price, verify.AuditRate(r.Price, verify.Million, r.Price, mul(c.Standing.Withheld, 1000)), verify.Million)
	}
	first := cmp.Or(c.Facts.First, sum(assumedFirst, c.Facts.Latency))
	r.Wait = mulDiv(p.Second, sum(first, mulDiv(p.Output, 1_000_000, cmp.Or(c.Facts.Speed, assumedSpeed))), 1000)
	r.Loss = mulDiv(mul(p.Second, lostToOne)/1000, r.FailRate, verify.Million-r.FailRate)
	return r
}

// evidence is what counts for and against a provider. What the ledger saw is
// scaled down to at most ledgerTrials, rounded against it.
func evidence(c Candidate) (bad, trials uint64) {
	s := c.Standing
	lies := mul(lieWeight, s.Complaints)
	ledger, against := sum(s.Sessions, lies), sum(min(s.Unserved, s.Sessions), lies)
	if ledger > ledgerTrials {
		against, ledger = ceilDiv(against, ledgerTrials, ledger), ledgerTrials
	}
	served, failed := min(c.Facts.Served, maxTrials), min(c.Facts.Failed, maxTrials)
	return ownWeight*failed + against, ownWeight*(served+failed) + ledger
}

// favour gives the turn to the best offer of one owner among those without
// history, whose lot is the lowest: a thousand accounts of one owner draw once.
func (p Policy) favour(ranked []Ranked) {
	chosen, drawn := -1, canon.Hash{}
	for i, r := range ranked {
		if r.Tier != Fresh || r.Full {
			continue
		}
		l := canon.Sum(append(p.Lot[:], r.Owner...))
		c := bytes.Compare(l[:], drawn[:])
		if chosen < 0 || c < 0 || c == 0 && compare(r, ranked[chosen]) < 0 {
			chosen, drawn = i, l
		}
	}
	if chosen >= 0 {
		ranked[chosen].Turn = true
	}
}

// goRound marks the owners that requests go round: those that were asked last, so many
// as the policy says, and, while they are fewer, all that were not asked yet. Nobody
// who is full, or fails, is among them.
func (p Policy) goRound(ranked []Ranked) {
	asked := map[string]uint64{}
	for i, r := range ranked {
		ranked[i].round = !r.Full && r.Tier != Failing
		if ranked[i].round && r.Asked > 0 {
			asked[r.Owner] = max(asked[r.Owner], r.Asked)
		}
	}
	numbers := slices.Sorted(maps.Values(asked))
	if uint64(len(numbers)) < p.Spread {
		return
	}
	first := numbers[uint64(len(numbers))-p.Spread]
	for i, r := range ranked {
		ranked[i].round = r.round && r.Asked >= first
	}
}

// since orders those of a round, and comes after them for all others.
func (r Ranked) since() uint64 {
	if r.round {
		return r.Asked
	}
	return math.MaxUint64
}

// Reason says in a few words what placed r behind other, which is the one before
// it, or first if there is none.
func (r Ranked) Reason(other *Ranked) string {
	switch {
	case r.Turn:
		return fmt.Sprintf("a newcomer's turn: one session in %d", NewcomerShare)
	case other == nil:
		return r.first()
	case r.wanted != other.wanted:
		return "less preferred"
	case r.Full != other.Full:
		return fmt.Sprintf("its owner serves %d sessions of this home already", r.Held)
	case r.since() != other.since():
		return "another owner's turn comes before"
	case r.Tier != other.Tier:
		return r.tier()
	}
	return r.dearer(*other)
}

func (r Ranked) first() string {
	if r.Tier == Known {
		return "costs the least, price, waiting and failures together"
	}
	return r.tier()
}

func (r Ranked) tier() string {
	if r.Tier == Failing {
		return fmt.Sprintf("fails: %d of %d here, %d of %d on the ledger", r.Facts.Failed, r.Facts.Served+r.Facts.Failed,
			r.Standing.Unserved+r.Standing.Complaints, r.Standing.Sessions)
	}
	return "no history yet"
}

// dearer names the part of the cost that is most above the other's.
func (r Ranked) dearer(o Ranked) string {
	parts := []struct {
		more uint64
		text string
	}{
		{above(r.Price, o.Price), "higher price"},
		{above(r.Audit, o.Audit), "less at stake, so audited more"},
		{above(r.Wait, o.Wait), r.slower(o)},
		{above(r.Loss, o.Loss), r.riskier()},
	}
	most := parts[0]
	for _, p := range parts[1:] {
		if p.more > most.more {
			most = p
		}
	}
	if most.more == 0 || coarse(r.Cost()) == coarse(o.Cost()) {
		return "costs about the same"
	}
	return most.text
}

// riskier says whether a risk was seen, or is what little evidence leaves.
func (r Ranked) riskier() string {
	risk := (r.FailRate + verify.Million/200) / (verify.Million / 100)
	if bad, _ := evidence(r.Candidate); bad == 0 {
		return fmt.Sprintf("less known, so a risk of %d %% is assumed", risk)
	}
	return fmt.Sprintf("fails more: %d %% expected", risk)
}

func (r Ranked) slower(o Ranked) string {
	if r.Facts.Speed == 0 {
		return "speed not measured yet"
	}
	if speed := r.Facts.Speed; speed < cmp.Or(o.Facts.Speed, assumedSpeed) {
		return fmt.Sprintf("slower: %d.%d tokens/s", speed/1000, speed%1000/100)
	}
	return fmt.Sprintf("later: %d ms to the first token", r.Facts.First)
}

func above(a, b uint64) uint64 { return a - min(a, b) }

func sum(a, b uint64) uint64 { return a + min(b, math.MaxUint64-a) }

func mul(a, b uint64) uint64 { return mulDiv(a, b, 1) }

// mulDiv is a·b/c rounded down, or the highest number if that is larger.
func mulDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return math.MaxUint64
	}
	q, _ := bits.Div64(hi, lo, c)
	return q
}

// ceilDiv is a·b/c rounded up, for a·b that fits.
func ceilDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	q, rest := bits.Div64(hi, lo, c)
	if rest > 0 {
		q++
	}
	return q
}
