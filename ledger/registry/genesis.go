package registry

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"cosmossdk.io/collections"

	pb "daulat/gen/registry"
	"daulat/ledger/record"
)

// DefaultKeyDelay is how long a new identity key waits on a new chain, in
// seconds; MaxKeyDelay is the longest that a chain can ask for.
const (
	DefaultKeyDelay = 60
	MaxKeyDelay     = 30 * 24 * 3600
)

// load writes a genesis state into an empty store. Key claims are not proved
// again: the state that is handed over vouches for them.
func (s *Store) load(ctx context.Context, g *pb.GenesisState) error {
	if err := s.validate(g); err != nil {
		return err
	}
	if err := s.keyDelay.Set(ctx, g.Params.KeyDelay); err != nil {
		return err
	}
	for _, p := range g.Providers {
		if err := s.loadProvider(ctx, p); err != nil {
			return err
		}
	}
	for _, k := range g.RetiredKeys {
		if err := s.loadRetired(ctx, k); err != nil {
			return err
		}
	}
	for _, o := range g.Offers {
		if err := s.offers.Set(ctx, collections.Join(o.Provider, o.Model), o); err != nil {
			return err
		}
	}
	for _, a := range g.Artifacts {
		if err := s.artifacts.Set(ctx, a.Id, a); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) loadProvider(ctx context.Context, p pb.Provider) error {
	for _, key := range []string{p.Key, p.NextKey} {
		if key == "" {
			continue
		}
		if err := s.owners.Set(ctx, key, p.Account); err != nil {
			return err
		}
	}
	return s.providers.Set(ctx, p.Account, p)
}

func (s *Store) loadRetired(ctx context.Context, k pb.RetiredKey) error {
	if k.Revoked {
		if err := s.revoked.Set(ctx, k.Key); err != nil {
			return err
		}
	}
	return s.owners.Set(ctx, k.Key, k.Account)
}

// dump reads the whole state, each list in the order of its keys.
func (s *Store) dump(ctx context.Context) (*pb.GenesisState, error) {
	delay, err := s.keyDelay.Get(ctx)
	if err != nil {
		return nil, err
	}
	g := &pb.GenesisState{Params: pb.Params{KeyDelay: delay}}
	if g.RetiredKeys, err = s.retired(ctx); err != nil {
		return nil, err
	}
	err = s.providers.Walk(ctx, nil, func(_ string, p pb.Provider) (bool, error) {
		g.Providers = append(g.Providers, p)
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	err = s.offers.Walk(ctx, nil, func(_ offerKey, o pb.Offer) (bool, error) {
		g.Offers = append(g.Offers, o)
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	err = s.artifacts.Walk(ctx, nil, func(_ string, a pb.Artifact) (bool, error) {
		g.Artifacts = append(g.Artifacts, a)
		return false, nil
	})
	return g, err
}

// retired lists the keys that are no provider's key or next key.
func (s *Store) retired(ctx context.Context) (list []pb.RetiredKey, err error) {
	err = s.owners.Walk(ctx, nil, func(key, account string) (bool, error) {
		p, err := s.providers.Get(ctx, account)
		if err != nil || key == p.Key || key == p.NextKey {
			return err != nil, err
		}
		revoked, err := s.revoked.Has(ctx, key)
		list = append(list, pb.RetiredKey{Key: key, Account: account, Revoked: revoked})
		return err != nil, err
	})
	return list, err
}

// validate holds a genesis state to the rules that messages obey.
func (s *Store) validate(g *pb.GenesisState) error {
	if g.Params.KeyDelay == 0 || g.Params.KeyDelay > MaxKeyDelay {
		return fmt.Errorf("registry genesis: key delay must be 1 to %d seconds", MaxKeyDelay)
	}
	providers, err := s.validateProviders(g.Providers, g.RetiredKeys)
	if err != nil {
		return fmt.Errorf("registry genesis: %w", err)
	}
	if err := s.validateOffers(g.Offers, providers); err != nil {
		return fmt.Errorf("registry genesis: %w", err)
	}
	if err := s.validateArtifacts(g.Artifacts); err != nil {
		return fmt.Errorf("registry genesis: %w", err)
	}
	return nil
}

func (s *Store) validateProviders(list []pb.Provider, retired []pb.RetiredKey) (accounts map[string]bool, err error) {
	accounts, keys := map[string]bool{}, map[string]bool{}
	for _, p := range list {
		n, err := s.normal(p)
		if err != nil {
			return nil, fmt.Errorf("provider %q: %w", p.Account, err)
		}
		if n.Account != p.Account || n.Key != p.Key || n.NextKey != p.NextKey {
			return nil, fmt.Errorf("provider %q: account or key is not in its one text form", p.Account)
		}
		if (p.NextKey == "") != (p.KeyFrom == 0) {
			return nil, fmt.Errorf("provider %q: the next key and its time don't go together", p.Account)
		}
		for _, key := range []string{p.Key, p.NextKey} {
			if key != "" && keys[key] {
				return nil, fmt.Errorf("provider %q: key comes twice", p.Account)
			}
			keys[key] = true
		}
		if accounts[p.Account] {
			return nil, fmt.Errorf("provider %q: account comes twice", p.Account)
		}
		accounts[p.Account] = true
	}
	for _, k := range retired {
		if key, err := record.Key("identity key", k.Key); err != nil || key.String() != k.Key || keys[k.Key] || !accounts[k.Account] {
			return nil, fmt.Errorf("retired key %q is malformed, in force, or of no provider", k.Key)
		}
		keys[k.Key] = true
	}
	return accounts, nil
}

func (s *Store) validateOffers(list []pb.Offer, providers map[string]bool) error {
	seen, count := map[[2]string]bool{}, map[string]int{}
	for _, o := range list {
		if _, err := s.normalOffer(o); err != nil {
			return fmt.Errorf("offer of %q: %w", o.Provider, err)
		}
		key := [2]string{o.Provider, o.Model}
		if seen[key] || !providers[o.Provider] {
			return fmt.Errorf("offer of %q comes twice or is of no provider", o.Provider)
		}
		seen[key] = true
		if count[o.Provider]++; count[o.Provider] > MaxOffers {
			return fmt.Errorf("%q has more than %d offers", o.Provider, MaxOffers)
		}
	}
	return nil
}

func (s *Store) validateArtifacts(list []pb.Artifact) error {
	known := map[string]bool{}
	for _, a := range list {
		owner, err := record.Account(s.addresses, a.Owner)
		if err != nil {
			return fmt.Errorf("artifact %q: %w", a.Id, err)
		}
		b, err := parseArtifact(owner, a.Manifest, a.Registered)
		if err != nil {
			return fmt.Errorf("artifact %q: %w", a.Id, err)
		}
		if !same(a, b) || known[a.Id] {
			return fmt.Errorf("artifact %q differs from its manifest or comes twice", a.Id)
		}
		known[a.Id] = true
	}
	for _, a := range list {
		for _, p := range a.Parents {
			if !known[p] {
				return fmt.Errorf("artifact %q: parent %s is not on record", a.Id, p)
			}
		}
	}
	return nil
}

func same(a, b pb.Artifact) bool {
	return a.Id == b.Id && a.Owner == b.Owner && a.Name == b.Name && a.Media == b.Media && a.Licence == b.Licence &&
		a.Registered == b.Registered && slices.Equal(a.Parents, b.Parents) && bytes.Equal(a.Manifest, b.Manifest)
}
