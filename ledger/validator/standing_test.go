package validator_test

import (
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/ledger/client"
)

// What the ledger remembers of a provider: complaints, pay, and its keys.
func TestComplaintsStandingAndKeys(t *testing.T) {
	v := network(t)
	ctx := t.Context()
	alice, bob := as(t, v, aliceSeed), as(t, v, bobSeed)
	enter(t, v, alice, bob)
	_, model := manifest(t)
	id := must[uint64](t)(alice.PlaceOrder(ctx, session.Public(), ask(model)))

	newest := pair(id, 3, 40_000, true)
	lie := receipt.Signed{Receipt: newest.Receipt, Signature: newest.ReceiptSignature}
	evidence := canon.Sum([]byte("evidence"))
	if err := bob.Complain(ctx, id, 2, lie, evidence); err == nil || !strings.Contains(err.Error(), job.ErrStranger.Error()) {
		t.Fatalf("the provider complained: %v", err)
	}
	if err := alice.Complain(ctx, id, 2, lie, evidence); err != nil {
		t.Fatal(err)
	}
	all := must[[]job.Complaint](t)(bob.Complaints(ctx, bob.Account()))
	if len(all) != 1 || all[0].Check(chain, must[job.Session](t)(bob.Session(ctx, id))) != nil || all[0].Receipt != lie ||
		all[0].Evidence != evidence || all[0].Seq != 2 || all[0].Filed == 0 {
		t.Fatalf("complaints %+v", all)
	}
	if none := must[[]job.Complaint](t)(bob.Complaints(ctx, alice.Account())); len(none) != 0 {
		t.Fatalf("complaints %+v", none)
	}

	if r := must[[]error](t)(bob.Settle(ctx, []client.Settlement{{Entry: newest}})); r[0] != nil {
		t.Fatal(r[0])
	}
	// The window is short: pay may be out already.
	got := must[client.Standing](t)(alice.Standing(ctx, bob.Account()))
	if got.Withheld+got.Released != 40_000 || got.Sessions != 1 || got.Requests != 3 || got.Complaints != 1 {
		t.Fatalf("standing %+v", got)
	}
	stake := must[uint64](t)(alice.Stake(ctx, bob.Account()))
	if got = must[client.Standing](t)(alice.Standing(ctx, bob.Account())); stake != 40_000 && got.Released != 40_000 {
		t.Fatalf("stake %d with %+v", stake, got)
	}
	height, _, err := alice.Status(ctx)
	for err == nil && must[client.Standing](t)(alice.Standing(ctx, bob.Account())).Released == 0 {
		height, err = alice.WaitBlock(ctx, height)
	}
	if err != nil {
		t.Fatal(err)
	}
	if stake := must[uint64](t)(alice.Stake(ctx, bob.Account())); stake != 0 {
		t.Fatalf("stake %d after the pay is out", stake)
	}

	next := ed25519Key(0x53)
	proof := next.Sign(match.DomainProvider, match.Claim{Chain: chain, Account: bob.Account()})
	if err := bob.RotateKey(ctx, next.Public(), proof); err != nil {
		t.Fatal(err)
	}
	if p := must[client.Provider](t)(alice.Provider(ctx, bob.Account())); p.Key != identity.Public() || p.NextKey != next.Public() || p.KeyFrom == 0 {
		t.Fatalf("provider %+v", p)
	}
	next = ed25519Key(0x54)
	proof = next.Sign(match.DomainProvider, match.Claim{Chain: chain, Account: bob.Account()})
	if err := bob.ReplaceKey(ctx, next.Public(), proof); err != nil {
		t.Fatal(err)
	}
	if p := must[client.Provider](t)(alice.Provider(ctx, bob.Account())); !p.Key.IsZero() || p.NextKey != next.Public() {
		t.Fatalf("provider %+v", p)
	}
	unserved := must[uint64](t)(alice.PlaceOrder(ctx, session.Public(), ask(model)))
	if o := must[job.Order](t)(alice.Order(ctx, unserved)); o.State != job.OrderOpen || o.Explanation == "" {
		t.Fatalf("order %+v", o)
	}
}
