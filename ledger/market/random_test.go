package market

import (
	"fmt"
	"math/rand/v2"
	"testing"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"daulat/core/job"
	pb "daulat/gen/market"
	"daulat/ledger/record"
)

// history is what was signed and paid for one session or order.
type history struct {
	promised uint64 // the most that a voucher promises
	entries  []pb.Entry
	seq      uint64
	paid     map[string][]string // payee to amounts
}

// player makes random moves, legal or not, and keeps its own books.
type player struct {
	*world
	r         *rand.Rand
	consumers []actor
	providers []actor
	jobs      map[uint64]*history
	last      uint64            // order ID
	dead      map[uint64]uint64 // sessions whose provider key is revoked, and what was due before
	moves     map[string]int
}

func newPlayer(t *testing.T, seed uint64) *player {
	p := &player{world: newWorld(t), r: rand.New(rand.NewPCG(seed, 1)), jobs: map[uint64]*history{}, dead: map[uint64]uint64{}, moves: map[string]int{}}
	for n := byte(1); n <= 3; n++ {
		p.consumers = append(p.consumers, p.actor(n))
		p.providers = append(p.providers, p.actor(n+10))
	}
	for i, provider := range p.providers {
		p.offer(provider, 100+50*uint64(i), 4)
	}
	return p
}

func (p *player) anyone() actor {
	all := append(append([]actor(nil), p.consumers...), p.providers...)
	return all[p.r.IntN(len(all))]
}

func (p *player) someJob() uint64 { return p.r.Uint64N(p.last + 2) }

func (p *player) count(move string, err error) {
	if err != nil {
		move += " refused"
	}
	p.moves[move]++
}

func (p *player) place() {
	t := testTerms()
	t.Escrow = 100 + p.r.Uint64N(1000)
	t.Step = 1 + p.r.Uint64N(t.Escrow)
	t.OutputCeiling = 90 + p.r.Uint64N(200)
	t.Patience, t.Duration = 1+p.r.Uint64N(4000), 1+p.r.Uint64N(20_000)
	id, err := p.world.place(p.consumers[p.r.IntN(len(p.consumers))], t)
	p.check(err)
	p.last, p.jobs[id] = id, &history{paid: map[string][]string{}}
	p.count("place", nil)
}

// entry makes a pair for a session: mostly honest, sometimes an old one, a
// repeated one or a forged one.
func (p *player) entry() pb.Entry {
	id := p.someJob()
	s, err := p.store.session(p.ctx, id)
	if err != nil {
		return pb.Entry{Session: id}
	}
	h := p.jobs[id]
	if n := len(h.entries); n > 0 && p.r.IntN(3) == 0 {
		return h.entries[p.r.IntN(n)]
	}
	h.seq += p.r.Uint64N(3)
	amount := p.r.Uint64N(2 * s.Terms.Escrow)
	voucher := amount - min(amount, p.r.Uint64N(5))
	e := wireEntry(pair(p.byAccount(s.Provider), p.byAccount(s.Consumer), id, h.seq, amount, voucher, p.r.IntN(8) == 0), p.r.IntN(4) == 0)
	if p.r.IntN(4) == 0 {
		bad := forgeries(p.byAccount(s.Provider), p.byAccount(s.Consumer), id, id+1)
		return bad[[]string{"other chain", "other session", "raised voucher", "raised receipt", "signed by provider"}[p.r.IntN(5)]]
	}
	h.promised = max(h.promised, voucher)
	h.entries = append(h.entries, e)
	return e
}

func (p *player) byAccount(account string) actor {
	for _, a := range append(append([]actor(nil), p.consumers...), p.providers...) {
		if a.account == account {
			return a
		}
	}
	p.t.Fatalf("account %s is unknown", account)
	return actor{}
}

func (p *player) settleSome() {
	var batch []pb.Entry
	for range 1 + p.r.IntN(4) {
		batch = append(batch, p.entry())
	}
	for _, r := range p.settle(p.anyone(), batch...) {
		p.moves["entry "+r.State+" "+fmt.Sprint(r.Error == "")]++
	}
}

// revoke puts the cheapest provider's key out of force, once.
func (p *player) revoke() {
	liar := p.providers[0]
	if p.registry.revoked[liar.key.Public()] {
		return
	}
	p.world.revoke(liar)
	for id := uint64(1); id <= p.last; id++ {
		if s, err := p.store.session(p.ctx, id); err == nil && s.Provider == liar.account {
			p.dead[id] = due(s)
		}
	}
	p.count("revoke", nil)
}

// due is what a session's newest pair is worth.
func due(s job.Session) uint64 {
	if s.Claim == nil {
		return 0
	}
	return s.Claim.Due()
}

func (p *player) step() {
	p.ctx = p.ctx.WithEventManager(sdk.NewEventManager())
	switch p.r.IntN(12) {
	case 0, 1:
		if p.last < 60 {
			p.place()
		}
	case 2:
		_, err := deliver(p.world, server{p.store}.CancelOrder, &pb.MsgCancelOrder{Consumer: p.anyone().account, Order: p.someJob()})
		p.count("cancel", err)
	case 3:
		_, err := deliver(p.world, server{p.store}.TopUp, &pb.MsgTopUp{Consumer: p.anyone().account, Session: p.someJob(), Amount: p.r.Uint64N(500)})
		p.count("top up", err)
	case 4:
		_, err := deliver(p.world, server{p.store}.CloseSession, &pb.MsgCloseSession{Sender: p.anyone().account, Session: p.someJob()})
		p.count("close", err)
	case 5:
		a := p.anyone()
		p.bank.blocked[string(a.raw)] = p.r.IntN(4) == 0
	case 8:
		s, err := p.store.session(p.ctx, p.someJob())
		if err == nil {
			err = p.complain(accusation(p.anyone(), p.byAccount(s.Provider), s.ID, p.r.Uint64N(4)))
		}
		p.count("complain", err)
	case 6, 7:
		p.block(p.r.Uint64N(5000))
	default:
		if p.settleSome(); p.r.IntN(60) == 0 {
			p.revoke()
		}
	}
	p.book()
}

// book notes the payments of the last step.
func (p *player) book() {
	for _, e := range p.events("payment") {
		var id uint64
		if _, err := fmt.Sscan(e["job"], &id); err != nil {
			p.t.Fatal(err)
		}
		p.jobs[id].paid[e["to"]] = append(p.jobs[id].paid[e["to"]], e["amount"])
	}
}

// settled checks the books of every job: refunded once, paid once, and no more
// than was promised.
func (p *player) settled() {
	total := uint64(0)
	for id := uint64(1); id <= p.last; id++ {
		o, h := p.order(id), p.jobs[id]
		if o.State != job.OrderMatched {
			want := fmt.Sprint([]string{record.Number(o.Terms.Escrow)})
			if o.State == job.OrderOpen || fmt.Sprint(h.paid[o.Consumer]) != want || len(h.paid) != 1 {
				p.t.Fatalf("order %d is %s, payments %v", id, o.State, h.paid)
			}
			continue
		}
		s := p.session(id)
		a := s.Escrow
		if s.State != job.SessionReleased || a.Deposited != a.Paid+a.Refunded || a.Paid > h.promised {
			p.t.Fatalf("session %d: %+v, promised %d", id, s, h.promised)
		}
		if worth, dead := p.dead[id]; dead && due(s) != worth {
			p.t.Fatalf("session %d was worth %d when its key was revoked, and then %+v", id, worth, *s.Claim)
		}
		if s.Claim != nil && a.Paid != min(s.Claim.Due(), a.Deposited) {
			p.t.Fatalf("session %d was paid %d for %+v", id, a.Paid, *s.Claim)
		}
		for account, amount := range map[string]uint64{s.Provider: a.Paid, s.Consumer: a.Refunded} {
			want := "[]"
			if amount > 0 {
				want = fmt.Sprint([]string{record.Number(amount)})
			}
			if got := fmt.Sprint(h.paid[account]); got != want {
				p.t.Fatalf("session %d paid %s %s instead of %s", id, account, got, want)
			}
		}
		total += a.Paid
	}
	if total == 0 {
		p.t.Fatal("nobody was paid: the moves are too weak")
	}
}

// TestRandomMoves plays thousands of moves; after each the whole state is
// audited, and when all clocks have run out every job was paid at most once.
func TestRandomMoves(t *testing.T) {
	moves := map[string]int{}
	for seed := range uint64(8) {
		p := newPlayer(t, seed)
		p.moves = moves
		for range 500 {
			p.step()
		}
		clear(p.bank.blocked)
		for range 40 {
			p.block(50_000)
			p.book()
		}
		p.settled()
	}
	for _, m := range []string{"place", "cancel", "cancel refused", "top up", "top up refused", "close", "close refused", "complain", "complain refused", "revoke",
		"entry open true", "entry open false", "entry closing true", "entry settled true", "entry released false"} {
		if moves[m] == 0 {
			t.Errorf("never played: %s (%v)", m, moves)
		}
	}
}
