package validator_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/ledger/client"
	ledgerinvite "daulat/ledger/invite"
)

const welcome = 5_000_000

// welcomed makes an invite of alice's with a key of that seed.
func welcomed(t *testing.T, alice *client.Client, seed byte) (canon.PrivateKey, uint64) {
	t.Helper()
	_, now, err := alice.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k, expires := ed25519Key(seed), uint64(now.Unix())+3600
	if err := alice.CreateInvite(t.Context(), k.Public(), welcome, expires); err != nil {
		t.Fatal(err)
	}
	return k, expires
}

func claimed(k canon.PrivateKey, guest string) canon.Signature {
	return k.Sign(invite.DomainRedeem, invite.Claim{Chain: chain, Key: k.Public(), Guest: guest})
}

// Somebody without coins gets an account, and uses it.
func TestInvites(t *testing.T) {
	v := network(t)
	ctx := t.Context()
	alice, bob, guest := as(t, v, aliceSeed), as(t, v, bobSeed), as(t, v, strangerSeed)
	k, expires := welcomed(t, alice, 0x61)

	i := must[invite.Invite](t)(reader(t, v).Invite(ctx, k.Public()))
	if i.State != invite.Open || i.Grant != welcome || i.Expires != expires || i.Inviter != alice.Account() {
		t.Fatalf("invite %+v", i)
	}
	if got := balance(t, alice, alice.Account()); got != fortune-welcome {
		t.Fatalf("alice has %d", got)
	}
	if record := must[[]byte](t)(alice.InviteRecord(ctx, k.Public())); !bytes.Equal(record, canon.MustMarshal(i)) {
		t.Fatal("typed answer and stored record differ")
	}

	// Bob can carry the claim and not change it, nor take the grant himself.
	var refusal *client.TxError
	for name, err := range map[string]error{
		"another guest":    bob.RedeemInvite(ctx, k.Public(), bob.Account(), claimed(k, guest.Account())),
		"another key":      bob.RedeemInvite(ctx, k.Public(), bob.Account(), claimed(session, bob.Account())),
		"a module account": bob.RedeemInvite(ctx, k.Public(), module(), claimed(k, module())),
		"revoked by bob":   bob.RevokeInvite(ctx, k.Public()),
		"same key again":   alice.CreateInvite(ctx, k.Public(), 1, expires),
		"no such invite":   bob.RedeemInvite(ctx, session.Public(), bob.Account(), claimed(session, bob.Account())),
		"vast grant":       alice.CreateInvite(ctx, session.Public(), fortune, expires),
	} {
		if !errors.As(err, &refusal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := guest.Send(ctx, bob.Account(), 1); !errors.Is(err, client.ErrNoAccount) {
		t.Fatalf("got %v", err)
	}
	if err := bob.RedeemInvite(ctx, k.Public(), guest.Account(), claimed(k, guest.Account())); err != nil {
		t.Fatal(err)
	}
	if got := balance(t, alice, guest.Account()); got != welcome {
		t.Fatalf("the guest has %d", got)
	}
	if err := guest.Send(ctx, bob.Account(), 1); err != nil {
		t.Fatal(err)
	}
	if err := bob.RedeemInvite(ctx, k.Public(), guest.Account(), claimed(k, guest.Account())); err == nil || !strings.Contains(err.Error(), invite.ErrSpent.Error()) {
		t.Fatalf("redeemed again: %v", err)
	}

	// An account is a guest once; the inviter takes back what nobody redeemed.
	second, _ := welcomed(t, alice, 0x62)
	if err := guest.RedeemInvite(ctx, second.Public(), guest.Account(), claimed(second, guest.Account())); err == nil || !strings.Contains(err.Error(), invite.ErrGuest.Error()) {
		t.Fatalf("a guest came twice: %v", err)
	}
	if err := alice.RevokeInvite(ctx, second.Public()); err != nil {
		t.Fatal(err)
	}
	if got := balance(t, alice, alice.Account()); got != fortune-welcome {
		t.Fatalf("alice has %d", got)
	}

	for party, n := range map[string]int{"": 2, alice.Account(): 2, bob.Account(): 0} {
		if all := must[[]invite.Invite](t)(alice.Invites(ctx, party)); len(all) != n {
			t.Errorf("%d invites of %q", len(all), party)
		}
	}
	shown := get(t, v, "/daulat/invite/v1/invites/"+k.Public().String(), 200)["invite"].(object)
	if shown["state"] != "redeemed" || shown["guest"] != guest.Account() || shown["grant"] != "5000000" || shown["expires"] != fmt.Sprint(expires) {
		t.Fatalf("REST shows %v", shown)
	}
	if list := get(t, v, "/daulat/invite/v1/invites?inviter="+alice.Account(), 200)["invites"].([]any); len(list) != 2 {
		t.Fatalf("REST lists %v", list)
	}
	expect(t, "limits", get(t, v, "/daulat/invite/v1/params", 200),
		object{"params": object{"max_open": "64", "max_grant": "100000000", "max_life": "2592000"}})
	get(t, v, "/daulat/invite/v1/invites/"+session.Public().String(), 404)
	get(t, v, "/daulat/invite/v1/invites/first", 400)
	if l := must[invite.Limits](t)(alice.InviteLimits(ctx)); l != ledgerinvite.DefaultLimits {
		t.Fatalf("limits %+v", l)
	}
	for _, err := range []error{failure(alice.Invite(ctx, session.Public())), failure(alice.InviteRecord(ctx, session.Public()))} {
		if !errors.Is(err, client.ErrNotFound) {
			t.Fatalf("got %v", err)
		}
	}
}

// An invite that nobody redeems ends by itself.
func TestInviteExpires(t *testing.T) {
	v := network(t)
	ctx := t.Context()
	alice := as(t, v, aliceSeed)
	_, now, err := alice.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	k := ed25519Key(0x63)
	if err := alice.CreateInvite(ctx, k.Public(), welcome, uint64(now.Unix())+5); err != nil {
		t.Fatal(err)
	}
	height, _, err := alice.Status(ctx)
	for err == nil && must[invite.Invite](t)(alice.Invite(ctx, k.Public())).State != invite.Expired {
		height, err = alice.WaitBlock(ctx, height)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := balance(t, alice, alice.Account()); got != fortune {
		t.Fatalf("alice has %d", got)
	}
}

func module() string { return authtypes.NewModuleAddress(stakingtypes.BondedPoolName).String() }

func failure[T any](_ T, err error) error { return err }
