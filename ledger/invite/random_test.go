package invite

import (
	"math/rand/v2"
	"testing"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"daulat/core/invite"
)

// player makes random moves, legal or not, and keeps its own books.
type player struct {
	*world
	r     *rand.Rand
	next  byte // key that no invite has
	moves map[string]int
	paid  map[string]int // payments of each invite
}

func (p *player) anyone() byte { return byte(1 + p.r.IntN(6)) }

func (p *player) some() byte { return byte(20 + p.r.IntN(int(p.next-20)+1)) }

func (p *player) count(move string, err error) {
	if err != nil {
		move += " refused"
	}
	p.moves[move]++
}

func (p *player) step() {
	p.ctx = p.ctx.WithEventManager(sdk.NewEventManager())
	a := p.anyone()
	switch p.r.IntN(8) {
	case 0, 1:
		k := p.some()
		if p.next < 250 && p.r.IntN(3) > 0 {
			k = p.next
			p.next++
		}
		p.count("create", p.create(p.account(a), k, p.r.Uint64N(1100), p.r.Uint64N(110)))
	case 2:
		p.count("revoke", p.revoke(p.account(a), p.some()))
	case 3:
		p.bank.blocked[string(raw(a))] = p.r.IntN(4) == 0
	case 4:
		m := redemption(p.account(a), p.some(), p.account(p.anyone()))
		m.Guest = p.account(p.anyone())
		p.count("carry", deliver(p.world, server{p.store}.Redeem, m))
	case 5:
		p.block(p.r.Uint64N(60))
	default: // mostly guests that are new
		guest := p.account(p.anyone())
		if p.r.IntN(3) == 0 {
			guest = p.account(byte(100 + p.r.IntN(100)))
		}
		p.count("redeem", p.redeem(p.account(a), p.some(), guest))
	}
	p.book()
}

func (p *player) book() {
	for _, e := range p.events("invite_ended") {
		p.paid[e["invite"]]++
		p.moves[e["state"]]++
	}
}

// TestRandomMoves plays thousands of moves; after each the whole state is
// audited, and in the end each grant has gone to one account, once.
func TestRandomMoves(t *testing.T) {
	moves := map[string]int{}
	for seed := range uint64(6) {
		p := &player{world: newWorld(t), r: rand.New(rand.NewPCG(seed, 2)), next: 20, moves: moves, paid: map[string]int{}}
		for n := byte(1); n <= 6; n++ {
			p.rich(n)
		}
		for range 600 {
			p.step()
		}
		clear(p.bank.blocked)
		for range 4 {
			p.block(Retry)
			p.book()
		}
		got, want := map[string]uint64{}, map[string]uint64{}
		n := 0
		p.check(p.store.invites.Walk(p.ctx, nil, func(_ []byte, i invite.Invite) (bool, error) {
			if n++; i.State == invite.Open || p.paid[i.Key.String()] != 1 {
				t.Fatalf("%+v has %d payments", i, p.paid[i.Key.String()])
			}
			want[i.Inviter] -= i.Grant // wraps, and back again
			want[i.Payee()] += i.Grant
			return false, nil
		}))
		for a := 1; a < 200; a++ {
			account := p.account(byte(a))
			if got[account] = p.has(byte(a)); a <= 6 {
				got[account] -= rich
			}
			if got[account] != want[account] {
				t.Fatalf("account %d moved by %d, not %d", a, int64(got[account]), int64(want[account]))
			}
		}
		if n < 20 {
			t.Fatalf("only %d invites", n)
		}
	}
	for _, m := range []string{"create", "create refused", "revoke", "revoke refused", "redeem", "redeem refused", "carry refused",
		"redeemed", "revoked", "expired"} {
		if moves[m] == 0 {
			t.Errorf("never played: %s (%v)", m, moves)
		}
	}
}
