package invite_test

import (
	"bytes"
	"errors"
	"testing"

	"daulat/core/canon"
	"daulat/core/invite"
)

const (
	chain    = "test-chain"
	inviter  = "inviter"
	guest    = "guest"
	other    = "other"
	stranger = "stranger"

	grant = 10
	total = 100
	made  = 5
	life  = 4
)

var limits = invite.Limits{MaxOpen: 2, MaxGrant: grant, MaxLife: life}

func key(b byte) canon.PrivateKey {
	k, err := canon.KeyFromSeed(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		panic(err)
	}
	return k
}

func open(t testing.TB) invite.Invite {
	t.Helper()
	i, err := invite.Make(key(1).Public(), inviter, grant, made+life, made, limits)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// world is an invite, what time it is, and who has how much.
type world struct {
	now     uint64
	invite  invite.Invite
	wallets [4]uint64 // of accounts, in their order
	paid    int       // payments made
}

var accounts = []string{inviter, guest, other, stranger}

// step moves the invite on as the ledger would: it pays the payee of a state
// that has one and that is new.
func (w *world) step(next invite.Invite) {
	if next.Payee() != "" && w.invite.Payee() == "" {
		for n, name := range accounts {
			if name == next.Payee() {
				w.wallets[n] += next.Grant
				w.paid++
			}
		}
	}
	w.invite = next
}

type event struct {
	name string
	do   func(*world) (refused error)
}

func events() []event {
	all := []event{
		{"time passes", func(w *world) error { w.now++; return nil }},
		{"tick", func(w *world) error {
			next, _ := w.invite.Tick(w.now)
			w.step(next)
			return nil
		}},
	}
	for _, name := range accounts {
		all = append(all,
			event{name + " is guest", func(w *world) error {
				next, err := w.invite.Redeem(name, w.now)
				w.step(next)
				return err
			}},
			event{name + " revokes", func(w *world) error {
				next, err := w.invite.Revoke(name, w.now)
				w.step(next)
				return err
			}})
	}
	return all
}

// explore visits every state that some order of the events leads to.
func explore(t *testing.T, from world, visit func(world)) (states int) {
	t.Helper()
	const end = made + life + 3
	seen := map[world]bool{}
	var walk func(world)
	walk = func(w world) {
		if seen[w] {
			return
		}
		seen[w] = true
		visit(w)
		for _, e := range events() {
			next := w
			err := e.do(&next)
			if err != nil && next != w {
				t.Fatalf("%s was refused with %v and changed %+v", e.name, err, w)
			}
			if next.now <= end {
				walk(next)
			}
		}
	}
	walk(from)
	return len(seen)
}

func TestEveryInterleavingEndsAndConservesMoney(t *testing.T) {
	start := world{now: made, invite: open(t), wallets: [4]uint64{total - grant}}
	ends := map[string]bool{}
	states := explore(t, start, func(w world) {
		i := w.invite
		if err := i.Validate(); err != nil {
			t.Fatalf("%+v: %v", w, err)
		}
		locked, sum := uint64(0), uint64(0)
		if i.State == invite.Open {
			locked = i.Grant
		}
		for _, n := range w.wallets {
			sum += n
		}
		if sum+locked != total {
			t.Fatalf("money is not conserved: %+v", w)
		}
		if (i.State == invite.Open) != (w.paid == 0) || w.paid > 1 {
			t.Fatalf("%d payments in %+v", w.paid, w)
		}
		switch i.State {
		case invite.Redeemed:
			if i.Guest == inviter || i.Ended >= i.Expires || w.wallets[0] != total-grant {
				t.Fatalf("wrongly redeemed: %+v", w)
			}
		case invite.Revoked, invite.Expired:
			if w.wallets[0] != total || i.State == invite.Expired && i.Ended < i.Expires {
				t.Fatalf("wrongly given back: %+v", w)
			}
		}
		ends[string(i.State)+" "+i.Guest] = true
		// Time alone ends it.
		w.now = max(w.now, i.Expires)
		next, _ := i.Tick(w.now)
		if w.step(next); w.invite.State == invite.Open || w.paid != 1 {
			t.Fatalf("time alone does not end %+v", w)
		}
	})
	for _, want := range []string{"open ", "redeemed guest", "redeemed other", "redeemed stranger", "revoked ", "expired "} {
		if !ends[want] {
			t.Errorf("never reached: %s", want)
		}
	}
	if len(ends) != 6 || states < 100 {
		t.Fatalf("%d states, ends %v", states, ends)
	}
	t.Logf("%d states", states)
}

func TestRefusals(t *testing.T) {
	redeem := func(i invite.Invite, who string, now uint64) error {
		_, err := i.Redeem(who, now)
		return err
	}
	revoke := func(i invite.Invite, who string) error {
		_, err := i.Revoke(who, made+1)
		return err
	}
	i := open(t)
	spent, err := i.Redeem(guest, made)
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := i.Revoke(inviter, made)
	if err != nil {
		t.Fatal(err)
	}
	expired, ok := i.Tick(made + life)
	if !ok {
		t.Fatal("it did not expire")
	}
	for name, c := range map[string]struct{ got, want error }{
		"redeem again":              {redeem(spent, other, made), invite.ErrSpent},
		"redeem again by the guest": {redeem(spent, guest, made), invite.ErrSpent},
		"redeem what is revoked":    {redeem(revoked, guest, made), invite.ErrRevoked},
		"redeem what has expired":   {redeem(expired, guest, made+life), invite.ErrExpired},
		"redeem before the tick":    {redeem(i, guest, made+life), invite.ErrExpired},
		"redeem one's own":          {redeem(i, inviter, made), invite.ErrOwn},
		"revoke what is spent":      {revoke(spent, inviter), invite.ErrSpent},
		"revoke again":              {revoke(revoked, inviter), invite.ErrRevoked},
		"revoke what has expired":   {revoke(expired, inviter), invite.ErrExpired},
		"revoke another's":          {revoke(i, stranger), invite.ErrStranger},
		"no room":                   {limits.Room(2), invite.ErrTooMany},
		"room":                      {limits.Room(1), nil},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v", name, c.got)
		}
	}
	if redeem(i, "", made) == nil || redeem(i, guest, made+life-1) != nil {
		t.Error("a guest without a name, or the last second, is judged wrongly")
	}
	lost := i
	lost.State = "lost"
	if redeem(lost, guest, made) == nil || revoke(lost, inviter) == nil {
		t.Error("an unknown state counts as open")
	}
}

func TestMakeKeepsTheLimits(t *testing.T) {
	k := key(1).Public()
	for name, c := range map[string]struct {
		key            canon.PublicKey
		by             string
		grant, expires uint64
		want           error // nil: any
	}{
		"no key":        {canon.PublicKey{}, inviter, 1, made + 1, nil},
		"no inviter":    {k, "", 1, made + 1, nil},
		"nothing":       {k, inviter, 0, made + 1, invite.ErrGrant},
		"too much":      {k, inviter, grant + 1, made + 1, invite.ErrGrant},
		"at once":       {k, inviter, 1, made, invite.ErrLife},
		"in the past":   {k, inviter, 1, 0, invite.ErrLife},
		"too long":      {k, inviter, 1, made + life + 1, invite.ErrLife},
		"nearly always": {k, inviter, 1, ^uint64(0), invite.ErrLife},
	} {
		if i, err := invite.Make(c.key, c.by, c.grant, c.expires, made, limits); err == nil || i != (invite.Invite{}) ||
			c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, l := range map[string]invite.Limits{
		"none open": {0, 1, 1}, "no grant": {1, 0, 1}, "no life": {1, 1, 0}, "long life": {1, 1, invite.LongestLife + 1},
	} {
		if l.Validate() == nil {
			t.Errorf("%s: is valid", name)
		}
	}
	if err := limits.Validate(); err != nil {
		t.Error(err)
	}
}

func TestClaimBindsLedgerKeyAndGuest(t *testing.T) {
	k := key(1)
	c := invite.Claim{Chain: chain, Key: k.Public(), Guest: guest}
	proof := k.Sign(invite.DomainRedeem, c)
	if err := c.Check(proof); err != nil {
		t.Fatal(err)
	}
	for name, forged := range map[string]invite.Claim{
		"another ledger": {"other", k.Public(), guest},
		"another guest":  {chain, k.Public(), other},
		"another invite": {chain, key(2).Public(), guest},
	} {
		if err := forged.Check(proof); !errors.Is(err, canon.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Check(key(2).Sign(invite.DomainRedeem, c)); !errors.Is(err, canon.ErrSignature) {
		t.Errorf("signed by another key: %v", err)
	}
	if err := c.Check(k.Sign("daulat/voucher", c)); !errors.Is(err, canon.ErrSignature) {
		t.Errorf("signed for another purpose: %v", err)
	}
}

// Validate takes what the rules make, and nothing that is off by one field.
func TestValidate(t *testing.T) {
	i := open(t)
	spent, _ := i.Redeem(guest, made+1)
	revoked, _ := i.Revoke(inviter, made+life+1)
	expired, _ := i.Tick(made + life)
	for _, good := range []invite.Invite{i, spent, revoked, expired} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for name, bad := range map[string]invite.Invite{
		"version":           with(i, func(i *invite.Invite) { i.Version = 2 }),
		"no key":            with(i, func(i *invite.Invite) { i.Key = canon.PublicKey{} }),
		"no inviter":        with(i, func(i *invite.Invite) { i.Inviter = "" }),
		"no grant":          with(i, func(i *invite.Invite) { i.Grant = 0 }),
		"no life":           with(i, func(i *invite.Invite) { i.Expires = i.Made }),
		"long life":         with(i, func(i *invite.Invite) { i.Expires = ^uint64(0) }),
		"state":             with(i, func(i *invite.Invite) { i.State = "lost" }),
		"open with a guest": with(i, func(i *invite.Invite) { i.Guest = guest }),
		"open and ended":    with(i, func(i *invite.Invite) { i.Ended = made }),
		"spent by nobody":   with(spent, func(i *invite.Invite) { i.Guest = "" }),
		"spent by inviter":  with(spent, func(i *invite.Invite) { i.Guest = inviter }),
		"spent early":       with(spent, func(i *invite.Invite) { i.Ended = made - 1 }),
		"spent late":        with(spent, func(i *invite.Invite) { i.Ended = i.Expires }),
		"revoked by guest":  with(revoked, func(i *invite.Invite) { i.Guest = guest }),
		"revoked early":     with(revoked, func(i *invite.Invite) { i.Ended = made - 1 }),
		"expired for guest": with(expired, func(i *invite.Invite) { i.Guest = guest }),
		"expired early":     with(expired, func(i *invite.Invite) { i.Ended = i.Expires - 1 }),
	} {
		if bad.Validate() == nil {
			t.Errorf("%s: is valid", name)
		}
	}
}

func with(i invite.Invite, change func(*invite.Invite)) invite.Invite {
	change(&i)
	return i
}
