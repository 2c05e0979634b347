package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"daulat/compute/provider"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/ledger/client"
	"daulat/link/session"
	"daulat/ui/control"
)

// identity is one identity key of the home. The keyring holds them all: the
// first by the name of identityName, the second with -2 behind it, and so on.
// Which one counts, the ledger says.
type identity struct {
	name string
	key  canon.PrivateKey
}

const identityName = "identity"

// file is where the home keeps the addresses of the identity's peer.
func (i identity) file() string { return strings.Replace(i.name, identityName, "peer", 1) + ".json" }

func nthIdentity(n int) string {
	if n == 1 {
		return identityName
	}
	return fmt.Sprintf("%s-%d", identityName, n)
}

// identities are those that the home has, oldest first; the first is made if
// there is none.
func (t *tenant) identities() (all []identity, err error) {
	for n := 1; ; n++ {
		name := nthIdentity(n)
		held, err := t.keyring.Holds(name)
		if err != nil || n > 1 && !held {
			return all, err
		}
		key, err := t.key(name)
		if err != nil {
			return nil, err
		}
		all = append(all, identity{name, key})
	}
}

// choose is which identity the home's peer has: that in force, else that which
// is to take over, else the newest. Others are served beside it as long as
// sessions are open that began with them, or if one of them is to take over.
func choose(all []identity, known client.Provider, open []session.Record) (main identity, more []identity, err error) {
	at := map[canon.PublicKey]int{}
	for n, i := range all {
		at[i.key.Public()] = n
	}
	n, ok := at[known.Key]
	if !ok && !known.Key.IsZero() {
		return main, nil, fmt.Errorf("the ledger knows provider %s by identity key %s, which is not in this home's keyring", known.Account, known.Key)
	}
	if !ok {
		n, ok = at[known.NextKey]
	}
	if !ok {
		n = len(all) - 1
	}
	wanted := map[canon.PublicKey]bool{known.NextKey: true}
	for _, r := range open {
		wanted[r.Session.ProviderKey] = true
	}
	for i, id := range all {
		if i != n && wanted[id.key.Public()] {
			more = append(more, id)
		}
	}
	return all[n], more, nil
}

func over(s job.SessionState) bool { return s == job.SessionSettled || s == job.SessionReleased }

// Keys implements control.Operations.
func (o operations) Keys(ctx context.Context) ([]control.Key, error) {
	wallet := o.wallet.Account()
	keys := []control.Key{{Name: walletKey, Kind: "account", Key: wallet, Account: wallet, State: control.KeyInForce}}
	ledger, known, err := o.sold(ctx)
	if err == nil {
		var sellers []control.Key
		sellers, err = o.sellerKeys(ledger.Account(), known)
		keys = append(keys, sellers...)
	}
	if err != nil && !errors.Is(err, errOnlyAsks) {
		return nil, err
	}
	key, err := o.key("session")
	if err != nil {
		return nil, err
	}
	return append(keys, control.Key{Name: "session", Kind: "session", Key: key.Public().String(), Account: wallet, State: control.KeyLocal}), nil
}

// sold is the provider of this home and its account: the one that serves now, or
// that of a guest who served before and is the ledger's provider still.
func (o operations) sold(ctx context.Context) (account, client.Provider, error) {
	ledger := o.ledger
	if !o.sells() {
		ledger = o.wallet
	}
	known, err := ledger.Provider(ctx, ledger.Account())
	if errors.Is(err, client.ErrNotFound) && !o.sells() {
		err = control.WrongInput{Err: errOnlyAsks}
	}
	return ledger, known, err
}

// sellerKeys are the provider's account, if the wallet is another one, and its
// identity keys, oldest first.
func (o operations) sellerKeys(seller string, known client.Provider) (keys []control.Key, err error) {
	if seller != o.wallet.Account() {
		keys = append(keys, control.Key{Name: providerKey, Kind: "account", Key: seller, Account: seller, State: control.KeyInForce})
	}
	all, err := o.identities()
	for _, i := range all {
		keys = append(keys, keyOf(i, known))
	}
	return keys, err
}

// sells reports whether a provider runs here; a guest only asks.
func (o operations) sells() bool { return o.provider != nil }

// errOnlyAsks says that a home has no identity key at work.
var errOnlyAsks = errors.New("this home only asks here: an identity key is at work where answers are sold")

func keyOf(i identity, known client.Provider) control.Key {
	public := i.key.Public()
	k := control.Key{Name: identityName, Kind: "identity", Key: public.String(), Account: known.Account, State: control.KeyFormer}
	switch public {
	case known.Key:
		k.State = control.KeyInForce
	case known.NextKey:
		from := time.Unix(int64(known.KeyFrom), 0).UTC()
		k.State, k.From = control.KeyNext, &from
	}
	return k
}

// RotateKey implements control.Operations.
func (o operations) RotateKey(ctx context.Context, name string) (control.Key, error) {
	if err := rotatable(name); err != nil {
		return control.Key{}, err
	}
	o.keys.Lock()
	defer o.keys.Unlock()
	ledger, _, err := o.sold(ctx)
	if err != nil {
		return control.Key{}, err
	}
	return o.rotate(ctx, ledger, ledger.RotateKey)
}

// RevokeKey implements control.Operations. A rotation begins with it, unless one is
// under way, so that the provider comes back by itself.
func (o operations) RevokeKey(ctx context.Context, name string) (control.Key, error) {
	if err := rotatable(name); err != nil {
		return control.Key{}, err
	}
	o.keys.Lock()
	defer o.keys.Unlock()
	ledger, known, err := o.sold(ctx)
	if err != nil {
		return control.Key{}, err
	}
	if known.Key.IsZero() {
		return control.Key{}, match.ErrNoKey
	}
	if known.NextKey.IsZero() {
		return o.rotate(ctx, ledger, ledger.ReplaceKey)
	}
	if err := ledger.RevokeKey(ctx); err != nil {
		return control.Key{}, err
	}
	return o.nextKey(ctx, ledger)
}

// rotatable says why other keys than the identity of a provider stay.
func rotatable(name string) error {
	switch name {
	case identityName:
		return nil
	case walletKey, providerKey, operatorKey:
		return control.WrongInput{Err: fmt.Errorf("key %s is an account, and its address is its key: it can't be rotated or revoked; send its coins to another account", name)}
	case "session":
		return control.WrongInput{Err: errors.New("the ledger binds no session key: each order names its own, up to its escrow, so there is nothing to rotate or revoke")}
	}
	return control.WrongInput{Err: fmt.Errorf("no key is called %q: see daulat key ls", name)}
}

// rotate has the ledger hear of a fresh key by tell. A provider that runs serves with it
// before that, so that no order is matched with a key that nobody answers for; one
// that does not run begins with it.
func (o operations) rotate(ctx context.Context, ledger account, tell func(context.Context, canon.PublicKey, canon.Signature) error) (control.Key, error) {
	all, err := o.identities()
	if err != nil {
		return control.Key{}, err
	}
	fresh := identity{name: nthIdentity(len(all) + 1)}
	if fresh.key, err = o.key(fresh.name); err != nil {
		return control.Key{}, err
	}
	if o.sells() {
		if err := o.accept(ctx, fresh); err != nil {
			return control.Key{}, err
		}
	}
	proof := fresh.key.Sign(match.DomainProvider, match.Claim{Chain: ledger.ChainID(), Account: ledger.Account()})
	if err := tell(ctx, fresh.key.Public(), proof); err != nil {
		return control.Key{}, err
	}
	return o.nextKey(ctx, ledger)
}

// accept has the provider serve with another identity besides.
func (o operations) accept(ctx context.Context, i identity) error {
	peer, err := o.link(i, "")
	if err != nil {
		return err
	}
	return o.provider.Accept(ctx, provider.Identity{Key: i.key, Link: peer})
}

// nextKey is the identity key that takes over next, or that just did.
func (o operations) nextKey(ctx context.Context, ledger account) (control.Key, error) {
	known, err := ledger.Provider(ctx, ledger.Account())
	if err != nil {
		return control.Key{}, err
	}
	all, err := o.identities()
	if err != nil {
		return control.Key{}, err
	}
	for _, i := range all {
		if public := i.key.Public(); public == known.NextKey || known.NextKey.IsZero() && public == known.Key {
			return keyOf(i, known), nil
		}
	}
	return control.Key{}, fmt.Errorf("the next identity key of %s is not in this home's keyring", known.Account)
}
