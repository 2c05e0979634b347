package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
)

// config is one run.
type config struct {
	seed      uint64
	providers int
	load      int // orders placed in each block
	orders    int // in all
}

// What the world is like. Times are virtual.
const (
	chain     = "sim-1"
	blockTime = 500 // milliseconds
	homes     = 8
	slots     = 4
	answers   = 4 // requests of one session
	tokens    = 256
	deposit   = 1_000_000 // udlt of one session
	wallet    = 1 << 40   // udlt of one home
	probed    = 32        // providers that a home tries to reach before it orders
	maxTries  = 8         // orders for one session that is wanted
	churn     = 2_000     // blocks that a machine stays, or stays away, on average
)

var windows = job.Windows{Close: 10, Challenge: 120} // seconds; short, so that pay is released within a run

// kind is what a provider does.
type kind int

const (
	honest   kind = iota
	flaky         // fails in one answer of eight
	liar          // gives wrong answers in one session of two
	vanisher      // answers when it is reached, wins by its price, and never serves
	kinds
)

// shares of the kinds, in percent.
var shares = [kinds]int{60, 10, 5, 25}

type provider struct {
	kind  kind
	offer match.Offer
	key   canon.PrivateKey
	stand job.Standing
	first uint64 // milliseconds to the first token
	speed uint64 // tokens per 1,000 seconds
	away  bool
	flips int // block in which it leaves or comes back
}

// home orders.
type home struct {
	name      string
	key       canon.PrivateKey
	facts     map[string]match.Facts
	shunned   map[string]int // until which block
	sessions  uint64
	newcomers uint64
}

// wish is a session that a home wants, whoever serves it.
type wish struct {
	home   *home
	placed int // block of its first order
	tries  int
	since  int  // block in which its open order was placed
	wide   bool // that order is for anybody, as those that were chosen were busy
}

// event happens at the beginning of a block.
type event struct {
	block int
	do    func() error
}

// world is all of it.
type world struct {
	config
	rand      *rand.Rand
	block     int
	providers []*provider
	named     map[string]*provider
	homes     []*home
	wallets   map[string]uint64
	orders    map[uint64]*wish // open
	open      map[uint64]job.Order
	sessions  map[uint64]job.Session
	events    map[int][]event
	next      uint64
	left      int // wishes to come
	busy      int // wishes under way
	cursor    uint64
	stats     stats
}

func newWorld(c config) *world {
	w := &world{config: c, rand: rand.New(rand.NewPCG(c.seed, uint64(c.providers)<<16|uint64(c.load))), named: map[string]*provider{}, wallets: map[string]uint64{},
		orders: map[uint64]*wish{}, open: map[uint64]job.Order{}, sessions: map[uint64]job.Session{}, events: map[int][]event{}, next: 1, left: c.orders}
	for i := range c.providers {
		w.addProvider(i)
	}
	for i := range homes {
		h := &home{name: fmt.Sprintf("home%d", i), key: w.newKey(), facts: map[string]match.Facts{}, shunned: map[string]int{}}
		w.homes, w.wallets[h.name] = append(w.homes, h), wallet
	}
	return w
}

func (w *world) newKey() canon.PrivateKey {
	var seed [32]byte
	for i := 0; i < len(seed); i += 8 {
		binary.LittleEndian.PutUint64(seed[i:], w.rand.Uint64())
	}
	key, err := canon.KeyFromSeed(seed[:])
	if err != nil {
		panic(err) // 32 bytes are a seed
	}
	return key
}

func (w *world) addProvider(i int) {
	p := &provider{key: w.newKey(), first: 100 + w.rand.Uint64N(900), speed: 5_000 + w.rand.Uint64N(45_000), flips: w.rand.IntN(2 * churn)}
	at := i % 100
	for at >= shares[p.kind] {
		at -= shares[p.kind]
		p.kind++
	}
	price := job.Price{Input: 150 + w.rand.Uint64N(100), Output: 800 + w.rand.Uint64N(400)}
	switch p.kind {
	case vanisher:
		price = job.Price{Input: 1, Output: 1}
	case honest, flaky: // most have sold before
		if w.rand.IntN(4) > 0 {
			p.stand = job.Standing{Sessions: 1 + w.rand.Uint64N(20)}
		}
		if p.kind == flaky {
			p.stand.Unserved = p.stand.Sessions / 4
		}
	}
	name := fmt.Sprintf("p%05d", i)
	p.offer = match.Offer{Provider: name, Key: p.key.Public(), Model: model, Executor: "float/1", Price: price, Assurance: job.Sampled, Slots: slots}
	w.providers, w.named[name] = append(w.providers, p), p
}

var model = canon.NewCID(canon.DagCBOR, canon.Sum([]byte("model")))

// now is block time in seconds.
func (w *world) now() uint64 { return 1_000 + uint64(w.block)*blockTime/1000 }

// at has do done after so many milliseconds.
func (w *world) after(ms uint64, do func() error) {
	b := w.block + 1 + int(ms/blockTime)
	w.events[b] = append(w.events[b], event{b, do})
}

// run lets blocks pass until every wish is served or given up, and all is settled.
func (w *world) run() (row, error) {
	for w.left > 0 || w.busy > 0 || len(w.events) > 0 {
		w.block++
		if err := w.step(); err != nil {
			return row{}, fmt.Errorf("block %d: %w", w.block, err)
		}
	}
	return w.row(), w.conserved()
}

func (w *world) step() error {
	for _, p := range w.providers {
		if p.flips <= w.block {
			p.away, p.flips = !p.away, w.block+1+w.rand.IntN(2*churn)
		}
	}
	for _, e := range w.events[w.block] {
		if err := e.do(); err != nil {
			return err
		}
	}
	delete(w.events, w.block)
	for range min(w.load, w.left) {
		w.left--
		w.busy++
		if err := w.order(&wish{home: w.homes[w.rand.IntN(len(w.homes))], placed: w.block}); err != nil {
			return err
		}
	}
	return w.clear()
}

// order places the next order of a wish.
func (w *world) order(x *wish) error {
	if x.tries++; x.tries > maxTries {
		w.stats.unserved++
		w.busy--
		return nil
	}
	terms := job.Terms{Version: canon.Version, Kind: job.Inference, Executor: "float/1", Model: model, Assurance: job.Sampled, Privacy: job.Open,
		Ceiling: job.Price{Input: 2_000, Output: 10_000}, Escrow: deposit, Step: deposit / 8, Patience: 60, Duration: 3600}
	terms.Preferred = w.choose(x.home, terms)
	terms.Only = len(terms.Preferred) > 0 && !x.wide
	x.since = w.block
	o, err := job.Place(w.next, x.home.name, x.home.key.Public(), terms, w.now())
	if err != nil {
		return err
	}
	w.next++
	w.wallets[x.home.name] -= deposit
	w.orders[o.ID], w.open[o.ID] = x, o
	w.stats.operations++
	return nil
}

// choose is what a home does before it orders: rank, reach the best, prefer those.
func (w *world) choose(h *home, terms job.Terms) (preferred []string) {
	policy := match.Policy{Input: tokens, Output: tokens, Second: tokens * (terms.Ceiling.Input + terms.Ceiling.Output) / 50, Audits: true,
		Newcomer: match.Turn(h.newcomers, h.sessions), Lot: canon.Sum(binary.BigEndian.AppendUint64([]byte(h.name), h.sessions))}
	all := make([]match.Candidate, 0, len(w.providers))
	for _, p := range w.providers {
		if h.shunned[p.offer.Provider] <= w.block {
			all = append(all, match.Candidate{Offer: p.offer, Standing: p.stand, Facts: h.facts[p.offer.Provider]})
		}
	}
	begun := time.Now()
	ranked := match.Rank(terms, all, policy)
	w.stats.rank = append(w.stats.rank, time.Since(begun))
	var there []match.Ranked
	for _, r := range ranked[:min(len(ranked), probed)] {
		if name := r.Offer.Provider; w.named[name].away {
			h.facts[name] = h.facts[name].Broke()
		} else {
			there = append(there, r)
		}
	}
	for _, r := range match.Shortlist(there) {
		if r.Turn {
			h.newcomers++
		}
		preferred = append(preferred, r.Offer.Provider)
	}
	h.sessions++
	return preferred
}

// clear matches what is open, as many orders as a block takes.
func (w *world) clear() error {
	if len(w.open) == 0 {
		return nil
	}
	var batch []job.Order
	for _, o := range w.open {
		batch = append(batch, o)
	}
	// In a circle, as on the ledger, so that none waits behind those that nobody serves.
	slices.SortFunc(batch, func(a, b job.Order) int { return cmp.Compare(a.ID-w.cursor-1, b.ID-w.cursor-1) })
	batch = batch[:min(len(batch), match.Batch(len(w.providers)))]
	w.cursor = batch[len(batch)-1].ID
	offers := make([]match.Offer, 0, len(w.providers))
	for _, p := range w.providers {
		offers = append(offers, p.offer)
	}
	begun := time.Now()
	matches, misses := match.Clear(batch, offers, canon.Sum(binary.BigEndian.AppendUint64(nil, uint64(w.block))))
	w.stats.clear = append(w.stats.clear, time.Since(begun))
	w.stats.misses += len(misses)
	for _, m := range matches {
		if err := w.begin(w.open[m.Order], m.Offer); err != nil {
			return err
		}
	}
	for _, m := range misses {
		if err := w.widen(m.Order); err != nil {
			return err
		}
	}
	return nil
}

// widen takes an order back that those who were chosen are too busy for, after a
// second, and orders from anybody.
func (w *world) widen(id uint64) error {
	x := w.orders[id]
	if x.wide || w.block-x.since < 1000/blockTime {
		return nil
	}
	if _, err := w.open[id].Cancel(x.home.name); err != nil {
		return err
	}
	delete(w.open, id)
	delete(w.orders, id)
	w.wallets[x.home.name] += deposit
	w.stats.operations++
	x.wide = true
	return w.order(x)
}

func (w *world) begin(o job.Order, f match.Offer) error {
	_, s, err := o.Match(job.Party{Account: f.Provider, Key: f.Key, Price: f.Price}, w.now())
	if err != nil {
		return err
	}
	x, p := w.orders[o.ID], w.named[f.Provider]
	x.wide = false
	delete(w.open, o.ID)
	delete(w.orders, o.ID)
	p.offer.Busy++
	w.stats.sessions[p.kind]++
	w.sessions[o.ID] = s.Freeze(windows)
	return w.serve(x, p, o.ID)
}

// conserved accounts for every coin.
func (w *world) conserved() error {
	var sum uint64
	for _, udlt := range w.wallets {
		sum += udlt
	}
	for _, s := range w.sessions {
		if !s.Escrow.Balanced() || s.State != job.SessionReleased {
			return fmt.Errorf("session %d ends %s with %+v", s.ID, s.State, s.Escrow)
		}
	}
	if sum != homes*wallet {
		return fmt.Errorf("%d udlt are left of %d", sum, uint64(homes)*wallet)
	}
	if len(w.open) > 0 {
		return errors.New("orders are left open")
	}
	return nil
}

// transcript stands for an answer: what is signed is real, what it says is not.
func transcript(s job.Session, seq uint64, wrong bool) receipt.Leaf {
	r := receipt.Request{Version: canon.Version, Key: s.SessionKey, Counter: s.ID<<8 | seq, Model: s.Terms.Model, Tokens: make([]uint32, tokens),
		Params: receipt.Params{MaxTokens: tokens, TopP: receipt.MaxTopP}}
	a := receipt.Answer{Tokens: make([]uint32, tokens), Finish: receipt.FinishLength}
	if wrong {
		a.Tokens[tokens/2] = 1
	}
	return receipt.NewLeaf(receipt.Ask{Chain: chain, Session: s.ID, Seq: seq, Request: r.Hash()}, r, a)
}
