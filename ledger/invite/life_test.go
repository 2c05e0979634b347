package invite

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"

	"daulat/core/invite"
	pb "daulat/gen/invite"
)

// says reports whether err has a code and holds a sentence: what the ledger
// wraps for its clients loses the type.
func says(err, code, sentence error) bool {
	return errors.Is(err, code) && strings.Contains(err.Error(), sentence.Error())
}

func TestRedeem(t *testing.T) {
	w := newWorld(t)
	alice, carrier, guest := w.rich(1), w.rich(2), w.account(3)
	w.check(w.create(alice, 10, 700, 50))
	if e := w.events("invite_created"); len(e) != 1 || e[0]["inviter"] != alice || w.has(1) != rich-700 {
		t.Fatalf("events %v, alice has %d", e, w.has(1))
	}
	w.at(start + 49)
	// An account in capitals is the same account.
	m := redemption(carrier, 10, guest)
	m.Guest = strings.ToUpper(m.Guest)
	w.check(deliver(w, server{w.store}.Redeem, m))
	if e := w.events("invite_ended"); len(e) != 1 || e[0]["to"] != guest || e[0]["amount"] != "700" || e[0]["state"] != "redeemed" {
		t.Fatalf("events %v", e)
	}
	if i := w.invite(10); i.State != invite.Redeemed || i.Guest != guest || i.Ended != start+49 || w.has(3) != 700 {
		t.Fatalf("%+v, guest has %d", i, w.has(3))
	}
	w.block(1000)
	if w.has(3) != 700 || w.has(1) != rich-700 || w.has(2) != rich {
		t.Fatal("somebody was paid again")
	}
}

// Who carries a redemption can't turn it to another account, ledger or invite.
func TestForgedInvite(t *testing.T) {
	w := newWorld(t)
	alice, thief, guest := w.rich(1), w.rich(2), w.account(3)
	w.check(w.create(alice, 10, 700, 50))
	w.check(w.create(alice, 11, 500, 50))
	elsewhere := invite.Claim{Chain: "other", Key: key(10).Public(), Guest: thief}
	for name, change := range map[string]func(*pb.MsgRedeem){
		"another guest":  func(m *pb.MsgRedeem) { m.Guest = thief },
		"another invite": func(m *pb.MsgRedeem) { m.Key = key(11).Public().String() },
		"another key": func(m *pb.MsgRedeem) {
			*m = *redemption(thief, 12, thief)
			m.Key = key(10).Public().String()
		},
		"another ledger": func(m *pb.MsgRedeem) {
			sig := key(10).Sign(invite.DomainRedeem, elsewhere)
			m.Guest, m.Proof = thief, sig[:]
		},
		"another purpose": func(m *pb.MsgRedeem) {
			sig := key(10).Sign("daulat/voucher", invite.Claim{Chain: chainID, Key: key(10).Public(), Guest: guest})
			m.Proof = sig[:]
		},
		"altered proof": func(m *pb.MsgRedeem) { m.Proof[0]++ },
	} {
		m := redemption(thief, 10, guest)
		change(m)
		if err := deliver(w, server{w.store}.Redeem, m); !errors.Is(err, sdkerrors.ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*pb.MsgRedeem){
		"no proof":    func(m *pb.MsgRedeem) { m.Proof = nil },
		"long proof":  func(m *pb.MsgRedeem) { m.Proof = append(m.Proof, 0) },
		"no key":      func(m *pb.MsgRedeem) { m.Key = "" },
		"zero key":    func(m *pb.MsgRedeem) { m.Key = strings.Repeat("0", 64) },
		"no sender":   func(m *pb.MsgRedeem) { m.Sender = "" },
		"no guest":    func(m *pb.MsgRedeem) { m.Guest = "" },
		"other chain": func(m *pb.MsgRedeem) { m.Guest = "daulat1" + m.Guest[7:] },
	} {
		m := redemption(thief, 10, guest)
		change(m)
		if err := deliver(w, server{w.store}.Redeem, m); !errors.Is(err, sdkerrors.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.redeem(thief, 12, thief); !errors.Is(err, sdkerrors.ErrNotFound) {
		t.Errorf("no such invite: %v", err)
	}
	w.check(w.redeem(thief, 10, guest))
	w.check(w.redeem(thief, 11, thief))
	if w.has(3) != 700 || w.has(2) != rich+500 {
		t.Fatal("the grants went elsewhere")
	}
}

func TestSpentInvite(t *testing.T) {
	w := newWorld(t)
	alice := w.rich(1)
	for k := byte(10); k < 13; k++ {
		w.check(w.create(alice, k, 700, 50))
	}
	w.check(w.redeem(alice, 10, w.account(3)))
	w.check(w.revoke(alice, 11))
	if err := w.revoke(w.rich(2), 12); !says(err, sdkerrors.ErrUnauthorized, invite.ErrStranger) {
		t.Errorf("revoked by another: %v", err)
	}
	for name, c := range map[string]struct{ got, want error }{
		"redeem again":         {w.redeem(alice, 10, w.account(4)), invite.ErrSpent},
		"redeem again, same":   {w.redeem(alice, 10, w.account(3)), invite.ErrSpent},
		"redeem when revoked":  {w.redeem(alice, 11, w.account(4)), invite.ErrRevoked},
		"revoke when redeemed": {w.revoke(alice, 10), invite.ErrSpent},
		"revoke again":         {w.revoke(alice, 11), invite.ErrRevoked},
		"redeem one's own":     {w.redeem(alice, 12, alice), invite.ErrOwn},
		"spent key again":      {w.create(alice, 10, 1, 1), invite.ErrKey},
		"revoked key again":    {w.create(alice, 11, 1, 1), invite.ErrKey},
		"open key again":       {w.create(w.rich(2), 12, 1, 1), invite.ErrKey},
	} {
		if !says(c.got, sdkerrors.ErrInvalidRequest, c.want) {
			t.Errorf("%s: %v", name, c.got)
		}
	}
	if w.has(3) != 700 || w.has(4) != 0 || w.has(1) != rich-1400 {
		t.Fatal("money moved")
	}
}

func TestExpiredInvite(t *testing.T) {
	w := newWorld(t)
	alice := w.rich(1)
	w.check(w.create(alice, 10, 700, 50))
	w.check(w.create(alice, 11, 500, 60))
	w.at(start + 50) // the block's messages come before its end
	if err := w.redeem(alice, 10, w.account(3)); !says(err, sdkerrors.ErrInvalidRequest, invite.ErrExpired) {
		t.Fatalf("got %v", err)
	}
	w.block(0)
	if i := w.invite(10); i.State != invite.Expired || w.has(1) != rich-500 {
		t.Fatalf("%+v, alice has %d", i, w.has(1))
	}
	if i := w.invite(11); i.State != invite.Open {
		t.Fatalf("ended early: %+v", i)
	}
	if err := w.redeem(alice, 10, w.account(3)); !says(err, sdkerrors.ErrInvalidRequest, invite.ErrExpired) {
		t.Fatalf("got %v", err)
	}
	w.block(10)
	if w.has(1) != rich {
		t.Fatalf("alice has %d", w.has(1))
	}
}

// Nobody takes more than a welcome: not one account, and not one inviter.
func TestGuestOnce(t *testing.T) {
	w := newWorld(t)
	alice, bob, guest := w.rich(1), w.rich(2), w.account(3)
	w.check(w.create(alice, 10, 700, 50))
	w.check(w.create(bob, 11, 500, 50))
	w.check(w.redeem(alice, 10, guest))
	if err := w.redeem(alice, 11, guest); !says(err, sdkerrors.ErrInvalidRequest, invite.ErrGuest) {
		t.Fatalf("got %v", err)
	}
	m := redemption(alice, 11, guest)
	m.Guest = strings.ToUpper(m.Guest)
	if err := deliver(w, server{w.store}.Redeem, m); !says(err, sdkerrors.ErrInvalidRequest, invite.ErrGuest) {
		t.Fatalf("in capitals: %v", err)
	}
	if w.has(3) != 700 || w.invite(11).State != invite.Open {
		t.Fatal("a guest came twice")
	}
}

func TestOpenInvitesAreBounded(t *testing.T) {
	w := newWorld(t)
	alice := w.rich(1)
	for k := byte(10); k < 13; k++ {
		w.check(w.create(alice, k, 1, 50))
	}
	full := func(k byte) {
		t.Helper()
		if err := w.create(alice, k, 1, 50); !says(err, sdkerrors.ErrInvalidRequest, invite.ErrTooMany) {
			t.Fatalf("got %v", err)
		}
		w.check(w.create(w.rich(2), k, 1, 1)) // others have room
		w.block(1)
	}
	full(20)
	w.check(w.revoke(alice, 10))
	w.check(w.create(alice, 13, 1, 50))
	full(21)
	w.check(w.redeem(alice, 11, w.account(3)))
	w.check(w.create(alice, 14, 1, 50))
	full(22)
	w.block(100)
	for k := byte(15); k < 18; k++ {
		w.check(w.create(alice, k, 1, 50))
	}
	full(23)
}

func TestGrantsAreBounded(t *testing.T) {
	w := newWorld(t)
	alice := w.rich(1)
	for name, c := range map[string]struct {
		grant, life uint64
		want        error
	}{
		"nothing": {0, 1, invite.ErrGrant}, "too much": {1001, 1, invite.ErrGrant}, "all there is": {^uint64(0), 1, invite.ErrGrant},
		"at once": {1, 0, invite.ErrLife}, "too long": {1, 101, invite.ErrLife}, "in the past": {1, ^uint64(0), invite.ErrLife},
		"for ever": {1, ^uint64(0) - start, invite.ErrLife},
	} {
		if err := w.create(alice, 10, c.grant, c.life); !says(err, sdkerrors.ErrInvalidRequest, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.check(w.bank.balances.Set(w.ctx, string(raw(2)), 999))
	if err := w.create(w.account(2), 10, 1000, 1); err == nil {
		t.Error("a grant without coins is locked")
	}
	w.check(w.create(alice, 10, 1000, 100))
}

// Module accounts take no grants, and the invite stays for another guest.
func TestBlockedGuest(t *testing.T) {
	w := newWorld(t)
	alice, module := w.rich(1), w.account(9)
	w.bank.blocked[string(raw(9))] = true
	w.check(w.create(alice, 10, 700, 50))
	if err := w.redeem(alice, 10, module); !errors.Is(err, sdkerrors.ErrUnauthorized) {
		t.Fatalf("got %v", err)
	}
	if i := w.invite(10); i.State != invite.Open {
		t.Fatalf("%+v", i)
	}
	w.check(w.redeem(alice, 10, w.account(3)))
}

// A refund that fails holds up nothing and is tried again.
func TestFailedRefundWaits(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.rich(1), w.rich(2)
	w.check(w.create(alice, 10, 700, 50))
	w.check(w.create(alice, 12, 70, 50))
	w.check(w.create(bob, 11, 500, 50))
	w.bank.blocked[string(raw(1))] = true
	w.block(50)
	if e := w.events("clock_failed"); len(e) != 2 || w.has(2) != rich || w.invite(10).State != invite.Open {
		t.Fatalf("events %v, bob has %d", e, w.has(2))
	}
	w.block(Retry - 1)
	clear(w.bank.blocked)
	w.check(w.revoke(alice, 12)) // its clock is put off, and then stands for nothing
	w.block(1)
	if w.has(1) != rich || w.invite(10).State != invite.Expired || w.invite(12).State != invite.Revoked || len(w.events("clock_failed")) != 0 {
		t.Fatalf("alice has %d", w.has(1))
	}
}

// What is over in one block waits for the next, oldest first.
func TestTicksAreBounded(t *testing.T) {
	w := newWorld(t)
	g := &pb.GenesisState{Params: pb.Params{MaxOpen: 3, MaxGrant: 1000, MaxLife: 100}}
	const total = 2*MaxTicks + 7
	alice := w.rich(1)
	for n := range uint64(total) {
		g.Invites = append(g.Invites, pb.Invite{Key: fmt.Sprintf("%064x", total-n), Inviter: alice, Grant: 1, Expires: start + 1 + n, State: "open", Made: start})
	}
	w = emptyWorld(t)
	w.check(w.bank.balances.Set(w.ctx, string(moduleAccount()), total))
	w.check(w.store.load(w.ctx, g))
	w.at(start + total)
	for left := total; left > 0; {
		w.block(1)
		done := min(left, MaxTicks)
		e := w.events("invite_ended")
		if len(e) != done || e[0]["invite"] != fmt.Sprintf("%064x", left) {
			t.Fatalf("%d ended, %v first", len(e), e[0])
		}
		left -= done
	}
	if w.has(1) != total {
		t.Fatalf("alice has %d", w.has(1))
	}
}
