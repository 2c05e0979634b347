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
	"daulat/core/job"
	"daulat/core/match"
	pb "daulat/gen/registry"
)

// Name is the module's name and store key.
const Name = "registry"

// offerKey is account and model.
type offerKey = collections.Pair[string, string]

type providerIndexes struct {
	Key *indexes.Unique[string, string, pb.Provider] // identity key to account
}

func (i providerIndexes) IndexesList() []collections.Index[string, pb.Provider] {
	return []collections.Index[string, pb.Provider]{i.Key}
}

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
	providers *collections.IndexedMap[string, pb.Provider, providerIndexes]
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
		providers: collections.NewIndexedMap(b, collections.NewPrefix(1), "providers", text, codec.CollValue[pb.Provider](cdc),
			providerIndexes{indexes.NewUnique(b, collections.NewPrefix(2), "provider_keys", text, text,
				func(_ string, p pb.Provider) (string, error) { return p.Key, nil })}),
		offers: collections.NewIndexedMap(b, collections.NewPrefix(3), "offers", pair, codec.CollValue[pb.Offer](cdc),
			offerIndexes{indexes.NewMulti(b, collections.NewPrefix(4), "offer_models", text, pair,
				func(_ offerKey, o pb.Offer) (string, error) { return o.Model, nil })}),
		artifacts: collections.NewMap(b, collections.NewPrefix(5), "artifacts", text, codec.CollValue[pb.Artifact](cdc)),
	}
	if _, err := b.Build(); err != nil {
		panic(err)
	}
	return s
}

// Offers returns all offers in the order of account and model, each with its
// provider's present key. Busy is the market's to fill.
func (s *Store) Offers(ctx context.Context) ([]match.Offer, error) {
	var (
		offers  []match.Offer
		account string
		key     canon.PublicKey
	)
	err := s.offers.Walk(ctx, nil, func(_ offerKey, o pb.Offer) (bool, error) {
		if o.Provider != account {
			p, err := s.providers.Get(ctx, o.Provider)
			if err != nil {
				return true, fmt.Errorf("provider %s of an offer: %w", o.Provider, err)
			}
			if err := key.UnmarshalText([]byte(p.Key)); err != nil {
				return true, fmt.Errorf("provider %s: %w", o.Provider, err)
			}
			account = o.Provider
		}
		model, err := canon.ParseCID(o.Model)
		if err != nil {
			return true, err
		}
		offers = append(offers, match.Offer{Provider: account, Key: key, Model: model, Executor: o.Executor,
			Price:     job.Price{Input: o.InputPrice, Output: o.OutputPrice},
			Assurance: job.Assurance(o.Assurance), Slots: o.Slots})
		return false, nil
	})
	return offers, err
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
