package market

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/address"
	"cosmossdk.io/core/store"
	"github.com/cosmos/cosmos-sdk/codec"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/ledger/coins"
	"daulat/ledger/record"
)

// Name is the module's name, store key and account.
const Name = "market"

// Registry tells what providers offer, in an order that depends on state alone,
// and which of their identity keys no longer count.
type Registry interface {
	Offers(ctx context.Context) ([]match.Offer, error)
	Revoked(ctx context.Context, key canon.PublicKey) (bool, error)
}

// The kinds of things that have clocks.
const (
	clockOrder uint16 = iota
	clockSession
)

type (
	clockKey = collections.Triple[uint64, uint16, uint64] // block time in seconds, kind, ID
	partyKey = collections.Pair[string, uint64]           // account, ID

	complaintKey = collections.Pair[uint64, uint64] // session, sequence number
	accusedKey   = collections.Pair[string, complaintKey]
)

// Store holds the market's state. Orders, sessions and complaints are stored as
// the canonical bytes of their core types; all other collections can be rebuilt
// from them.
type Store struct {
	addresses address.Codec
	vault     coins.Vault
	registry  Registry

	windows  collections.Item[job.Windows] // of sessions that open from now on
	orders   collections.Map[uint64, job.Order]
	sessions collections.Map[uint64, job.Session] // under the ID of their order
	next     collections.Item[uint64]             // order ID

	complaints collections.Map[complaintKey, job.Complaint]

	clocks         collections.KeySet[clockKey]
	open           collections.KeySet[uint64]      // orders
	cursor         collections.Item[uint64]        // the open order that was cleared last
	busy           collections.Map[string, uint64] // open sessions by provider
	held           collections.Map[string, uint64] // open orders and sessions by consumer
	orderParties   collections.KeySet[partyKey]
	sessionParties collections.KeySet[partyKey]
	accused        collections.KeySet[accusedKey]        // provider first
	standings      collections.Map[string, job.Standing] // of providers; none is zero
}

// NewStore lays the market's collections over a store.
func NewStore(service store.KVStoreService, cdc codec.Codec, bank coins.Coins, registry Registry) *Store {
	b := collections.NewSchemaBuilder(service)
	id := collections.Uint64Key
	party := collections.PairKeyCodec(collections.StringKey, id)
	addresses := cdc.InterfaceRegistry().SigningContext().AddressCodec()
	s := &Store{
		addresses: addresses,
		vault:     coins.Vault{Module: Name, Coins: bank, Addresses: addresses},
		registry:  registry,
		windows:   collections.NewItem(b, collections.NewPrefix(0), "windows", record.Canonical[job.Windows]{}),
		orders:    collections.NewMap(b, collections.NewPrefix(1), "orders", id, record.Canonical[job.Order]{}),
		sessions:  collections.NewMap(b, collections.NewPrefix(2), "sessions", id, record.Canonical[job.Session]{}),
		clocks: collections.NewKeySet(b, collections.NewPrefix(3), "clocks",
			collections.TripleKeyCodec(id, collections.Uint16Key, id)),
		open:           collections.NewKeySet(b, collections.NewPrefix(4), "open_orders", id),
		orderParties:   collections.NewKeySet(b, collections.NewPrefix(5), "order_parties", party),
		sessionParties: collections.NewKeySet(b, collections.NewPrefix(6), "session_parties", party),
		busy:           collections.NewMap(b, collections.NewPrefix(7), "busy", collections.StringKey, collections.Uint64Value),
		next:           collections.NewItem(b, collections.NewPrefix(8), "next_order", collections.Uint64Value),
		cursor:         collections.NewItem(b, collections.NewPrefix(9), "cursor", collections.Uint64Value),
		complaints: collections.NewMap(b, collections.NewPrefix(10), "complaints",
			collections.PairKeyCodec(id, id), record.Canonical[job.Complaint]{}),
		accused: collections.NewKeySet(b, collections.NewPrefix(11), "accused",
			collections.PairKeyCodec(collections.StringKey, collections.PairKeyCodec(id, id))),
		held:      collections.NewMap(b, collections.NewPrefix(13), "held", collections.StringKey, collections.Uint64Value),
		standings: collections.NewMap(b, collections.NewPrefix(12), "standings", collections.StringKey, record.Canonical[job.Standing]{}),
	}
	if _, err := b.Build(); err != nil {
		panic(err)
	}
	return s
}

// putOrder saves an order and what is derived from it. before is what the
// store holds, the zero order for a new one.
func (s *Store) putOrder(ctx context.Context, before, after job.Order) error {
	if before.ID == 0 {
		if err := s.orderParties.Set(ctx, collections.Join(after.Consumer, after.ID)); err != nil {
			return err
		}
	}
	if before.State != after.State {
		index := s.open.Remove
		if after.State == job.OrderOpen {
			index = s.open.Set
		}
		if err := index(ctx, after.ID); err != nil {
			return err
		}
		if err := shift(ctx, s.held, after.Consumer, before.State == job.OrderOpen, after.State == job.OrderOpen); err != nil {
			return err
		}
	}
	if err := s.moveClock(ctx, clockOrder, after.ID, orderDue(before), orderDue(after)); err != nil {
		return err
	}
	return s.orders.Set(ctx, after.ID, after)
}

// putSession saves a session and what is derived from it, like putOrder.
func (s *Store) putSession(ctx context.Context, before, after job.Session) error {
	if before.ID == 0 {
		for _, account := range []string{after.Consumer, after.Provider} {
			if err := s.sessionParties.Set(ctx, collections.Join(account, after.ID)); err != nil {
				return err
			}
		}
	}
	// A session that closes takes no more requests and holds no slot.
	was, is := before.State == job.SessionOpen, after.State == job.SessionOpen
	if err := shift(ctx, s.busy, after.Provider, was, is); err != nil {
		return err
	}
	if err := shift(ctx, s.held, after.Consumer, was, is); err != nil {
		return err
	}
	if err := s.moveStanding(ctx, &before, &after); err != nil {
		return err
	}
	if err := s.moveClock(ctx, clockSession, after.ID, before.Clock, after.Clock); err != nil {
		return err
	}
	return s.sessions.Set(ctx, after.ID, after)
}

// putComplaint saves a new complaint and what is derived from it.
func (s *Store) putComplaint(ctx context.Context, c job.Complaint) error {
	if err := s.accused.Set(ctx, collections.Join(c.Provider, collections.Join(c.Session, c.Seq))); err != nil {
		return err
	}
	standing, err := s.standing(ctx, c.Provider)
	if err != nil {
		return err
	}
	if err := s.standings.Set(ctx, c.Provider, standing.Accused()); err != nil {
		return err
	}
	return s.complaints.Set(ctx, collections.Join(c.Session, c.Seq), c)
}

// orderDue is the block time at which an order's state ends, 0 for never.
func orderDue(o job.Order) uint64 {
	if o.State != job.OrderOpen {
		return 0
	}
	return o.Expires
}

func (s *Store) moveClock(ctx context.Context, kind uint16, id, from, to uint64) error {
	if from == to {
		return nil
	}
	if from != 0 {
		if err := s.clocks.Remove(ctx, collections.Join3(from, kind, id)); err != nil {
			return err
		}
	}
	if to == 0 {
		return nil
	}
	return s.clocks.Set(ctx, collections.Join3(to, kind, id))
}

// shift counts what is open of an account.
func shift(ctx context.Context, counts collections.Map[string, uint64], account string, was, is bool) error {
	if was == is {
		return nil
	}
	n, err := record.OrZero(counts.Get(ctx, account))
	switch {
	case err != nil:
		return err
	case is:
		return counts.Set(ctx, account, n+1)
	case n <= 1:
		return counts.Remove(ctx, account)
	}
	return counts.Set(ctx, account, n-1)
}

func (s *Store) busyOf(ctx context.Context, provider string) (uint64, error) {
	return record.OrZero(s.busy.Get(ctx, provider))
}

func (s *Store) standing(ctx context.Context, provider string) (job.Standing, error) {
	t, err := s.standings.Get(ctx, provider)
	if errors.Is(err, collections.ErrNotFound) {
		return job.Standing{}, nil
	}
	return t, err
}

// moveStanding counts what a session's step means for its provider, which for
// most steps is nothing.
func (s *Store) moveStanding(ctx context.Context, before, after *job.Session) error {
	if none := (job.Standing{}); none.Moved(*before, *after) == none {
		return nil
	}
	t, err := s.standing(ctx, after.Provider)
	if err != nil {
		return err
	}
	return s.standings.Set(ctx, after.Provider, t.Moved(*before, *after))
}
