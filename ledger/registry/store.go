package registry

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/collections/indexes"
	"cosmossdk.io/core/address"
	"cosmossdk.io/core/store"
	"github.com/cosmos/cosmos-sdk/codec"

	"daulat/core/canon"
	"daulat/core/match"
	pb "daulat/gen/registry"
	"daulat/ledger/record"
)

// Name is the module's name and store key.
const Name = "registry"

// offerKey is account and model.
type offerKey = collections.Pair[string, string]

type offerIndexes struct {
	Model *indexes.Multi[string, offerKey, pb.Offer]
}

func (i offerIndexes) IndexesList() []collections.Index[offerKey, pb.Offer] {
	return []collections.Index[offerKey, pb.Offer]{i.Model}
}

// Store holds the registry's state. Accounts, keys and IDs are stored in their
// one text form.
type Store struct {
	addresses address.Codec
	keyDelay  collections.Item[uint64] // seconds
	providers collections.Map[string, pb.Provider]
	owners    collections.Map[string, string] // identity key to account, of all that were ever bound
	revoked   collections.KeySet[string]      // identity keys
	offers    *collections.IndexedMap[offerKey, pb.Offer, offerIndexes]
	artifacts collections.Map[string, pb.Artifact]
}

// NewStore lays the registry's collections over a store.
func NewStore(service store.KVStoreService, cdc codec.Codec) *Store {
	b := collections.NewSchemaBuilder(service)
	text := collections.StringKey
	pair := collections.PairKeyCodec(text, text)
	s := &Store{
		addresses: cdc.InterfaceRegistry().SigningContext().AddressCodec(),
		providers: collections.NewMap(b, collections.NewPrefix(1), "providers", text, codec.CollValue[pb.Provider](cdc)),
		owners:    collections.NewMap(b, collections.NewPrefix(2), "key_owners", text, collections.StringValue),
		offers: collections.NewIndexedMap(b, collections.NewPrefix(3), "offers", pair, codec.CollValue[pb.Offer](cdc),
			offerIndexes{indexes.NewMulti(b, collections.NewPrefix(4), "offer_models", text, pair,
				func(_ offerKey, o pb.Offer) (string, error) { return o.Model, nil })}),
		artifacts: collections.NewMap(b, collections.NewPrefix(5), "artifacts", text, codec.CollValue[pb.Artifact](cdc)),
		revoked:   collections.NewKeySet(b, collections.NewPrefix(6), "revoked_keys", text),
		keyDelay:  collections.NewItem(b, collections.NewPrefix(7), "key_delay", collections.Uint64Value),
	}
	if _, err := b.Build(); err != nil {
		panic(err)
	}
	return s
}

// provider loads a provider, with its key as it stands now.
func (s *Store) provider(ctx context.Context, account string) (pb.Provider, match.Binding, error) {
	p, err := s.providers.Get(ctx, account)
	if err != nil {
		return p, match.Binding{}, err
	}
	b, err := parseBinding(p)
	if err != nil {
		return p, b, fmt.Errorf("provider %s: %w", account, err)
	}
	b = b.At(record.Time(ctx))
	return bind(p, b), b, nil
}

// Offers returns all offers in the order of account and model, each with the
// key that is in force. Those of providers without one are left out. Busy is
// the market's to fill.
func (s *Store) Offers(ctx context.Context) ([]match.Offer, error) {
	var (
		offers  []match.Offer
		account string
		key     canon.PublicKey
	)
	err := s.offers.Walk(ctx, nil, func(_ offerKey, o pb.Offer) (bool, error) {
		if o.Provider != account {
			_, b, err := s.provider(ctx, o.Provider)
			if err != nil {
				return true, fmt.Errorf("provider %s of an offer: %w", o.Provider, err)
			}
			account, key = o.Provider, b.Key
		}
		if key.IsZero() {
			return false, nil
		}
		offer, err := parseOffer(o)
		if err != nil {
			return true, err
		}
		offer.Key = key
		offers = append(offers, offer)
		return false, nil
	})
	return offers, err
}

// Revoked reports that an identity key was put out of force for good.
func (s *Store) Revoked(ctx context.Context, key canon.PublicKey) (bool, error) {
	return s.revoked.Has(ctx, keyText(key))
}

// offerCount is how many offers an account has.
func (s *Store) offerCount(ctx context.Context, account string) (n int, err error) {
	of := collections.NewPrefixedPairRange[string, string](account)
	err = s.offers.Walk(ctx, of, func(offerKey, pb.Offer) (bool, error) {
		n++
		return false, nil
	})
	return n, err
}
