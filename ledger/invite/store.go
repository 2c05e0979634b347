package invite

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/address"
	"cosmossdk.io/core/store"
	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec"

	"daulat/core/invite"
	"daulat/ledger/coins"
	"daulat/ledger/record"
)

// Name is the module's name, store key and account.
const Name = "invite"

type (
	clockKey   = collections.Pair[uint64, []byte] // block time in seconds, the invite's key
	inviterKey = collections.Pair[string, []byte] // account, the invite's key
)

// Store holds the state of invites. An invite is stored as the canonical bytes
// of its core type, under the byte 1 and the 32 bytes of its key; the other
// collections can be rebuilt from invites.
type Store struct {
	addresses address.Codec
	vault     coins.Vault

	limits  collections.Item[invite.Limits] // of invites that are made from now on
	invites collections.Map[[]byte, invite.Invite]

	clocks   collections.KeySet[clockKey] // of open invites
	inviters collections.KeySet[inviterKey]
	open     collections.Map[string, uint64] // invites by inviter; none is zero
	guests   collections.Map[string, []byte] // account to the invite that it redeemed
}

// NewStore lays the collections of invites over a store.
func NewStore(service store.KVStoreService, cdc codec.Codec, bank coins.Coins) *Store {
	b := collections.NewSchemaBuilder(service)
	text, key := collections.StringKey, collections.BytesKey
	addresses := cdc.InterfaceRegistry().SigningContext().AddressCodec()
	s := &Store{
		addresses: addresses,
		vault:     coins.Vault{Module: Name, Coins: bank, Addresses: addresses},
		limits:    collections.NewItem(b, collections.NewPrefix(0), "limits", record.Canonical[invite.Limits]{}),
		invites:   collections.NewMap(b, collections.NewPrefix(1), "invites", key, record.Canonical[invite.Invite]{}),
		clocks:    collections.NewKeySet(b, collections.NewPrefix(2), "clocks", collections.PairKeyCodec(collections.Uint64Key, key)),
		inviters:  collections.NewKeySet(b, collections.NewPrefix(3), "inviters", collections.PairKeyCodec(text, key)),
		open:      collections.NewMap(b, collections.NewPrefix(4), "open", text, collections.Uint64Value),
		guests:    collections.NewMap(b, collections.NewPrefix(5), "guests", text, collections.BytesValue),
	}
	if _, err := b.Build(); err != nil {
		panic(err)
	}
	return s
}

// put saves an invite and what is derived from it. before is what the store
// holds, the zero invite for a new one.
func (s *Store) put(ctx context.Context, before, after invite.Invite) error {
	key := after.Key[:]
	if before.State == "" {
		if err := s.inviters.Set(ctx, collections.Join(after.Inviter, key)); err != nil {
			return err
		}
	}
	if was, is := before.State == invite.Open, after.State == invite.Open; was != is {
		if err := s.shift(ctx, after, is); err != nil {
			return err
		}
	}
	if before.Guest == "" && after.Guest != "" {
		if err := s.guests.Set(ctx, after.Guest, key); err != nil {
			return err
		}
	}
	return s.invites.Set(ctx, key, after)
}

// shift counts an invite as open or no longer open, and sets its clock.
func (s *Store) shift(ctx context.Context, i invite.Invite, opens bool) error {
	n, err := s.openOf(ctx, i.Inviter)
	if err != nil {
		return err
	}
	clock := collections.Join(i.Expires, i.Key[:])
	switch {
	case opens:
		if err := s.clocks.Set(ctx, clock); err != nil {
			return err
		}
		return s.open.Set(ctx, i.Inviter, n+1)
	case n <= 1:
		err = s.open.Remove(ctx, i.Inviter)
	default:
		err = s.open.Set(ctx, i.Inviter, n-1)
	}
	if err != nil {
		return err
	}
	return s.clocks.Remove(ctx, clock)
}

// openOf is how many invites an inviter has open.
func (s *Store) openOf(ctx context.Context, inviter string) (uint64, error) {
	n, err := s.open.Get(ctx, inviter)
	if errors.Is(err, collections.ErrNotFound) {
		return 0, nil
	}
	return n, err
}

// Conserved reports an error unless the module account holds exactly the grants
// of open invites. It reads everything: it is for tests and for a look from
// outside, not for each block.
func (s *Store) Conserved(ctx context.Context) error {
	owed := math.ZeroInt()
	err := s.invites.Walk(ctx, nil, func(_ []byte, i invite.Invite) (bool, error) {
		if i.State == invite.Open {
			owed = owed.Add(math.NewIntFromUint64(i.Grant))
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	return s.vault.Holds(ctx, owed)
}
