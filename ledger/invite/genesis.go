package invite

import (
	"context"
	"errors"
	"fmt"

	"daulat/core/canon"
	"daulat/core/invite"
	pb "daulat/gen/invite"
	"daulat/ledger/record"
)

// DefaultLimits are the bounds of a new chain: 64 open invites of an inviter,
// 100 DLT, 30 days.
var DefaultLimits = invite.Limits{MaxOpen: 64, MaxGrant: 100_000_000, MaxLife: 30 * 24 * 3600}

// load writes a genesis state into an empty store. The module account must hold
// its money already.
func (s *Store) load(ctx context.Context, g *pb.GenesisState) error {
	limits, all, err := s.parse(g)
	if err != nil {
		return err
	}
	if err := s.limits.Set(ctx, limits); err != nil {
		return err
	}
	for _, i := range all {
		if err := s.put(ctx, invite.Invite{}, i); err != nil {
			return err
		}
	}
	return s.Conserved(ctx)
}

// dump reads the whole state, in the order of keys.
func (s *Store) dump(ctx context.Context) (*pb.GenesisState, error) {
	l, err := s.limits.Get(ctx)
	if err != nil {
		return nil, err
	}
	g := &pb.GenesisState{Params: wireLimits(l)}
	err = s.invites.Walk(ctx, nil, func(_ []byte, i invite.Invite) (bool, error) {
		g.Invites = append(g.Invites, wireInvite(i))
		return false, nil
	})
	return g, err
}

// parse reads a genesis state and holds it to what the rules can bring about.
// Limits may have been others when its invites were made.
func (s *Store) parse(g *pb.GenesisState) (l invite.Limits, all []invite.Invite, err error) {
	l = parseLimits(g.Params)
	if err := l.Validate(); err != nil {
		return l, nil, fmt.Errorf("invite genesis: %w", err)
	}
	keys, guests := map[canon.PublicKey]bool{}, map[string]bool{}
	for _, w := range g.Invites {
		i, err := s.parseGenesis(w)
		if err != nil {
			return l, nil, fmt.Errorf("invite genesis: invite %q: %w", w.Key, err)
		}
		if keys[i.Key] {
			return l, nil, fmt.Errorf("invite genesis: invite %s comes twice", i.Key)
		}
		if i.Guest != "" && guests[i.Guest] {
			return l, nil, fmt.Errorf("invite genesis: %s redeems two invites", i.Guest)
		}
		keys[i.Key], guests[i.Guest] = true, true
		all = append(all, i)
	}
	return l, all, nil
}

func (s *Store) parseGenesis(w pb.Invite) (invite.Invite, error) {
	i, err := parseInvite(w)
	if err != nil {
		return i, err
	}
	if err := i.Validate(); err != nil {
		return i, err
	}
	for _, account := range []string{i.Inviter, i.Guest} {
		if account == "" {
			continue
		}
		normal, err := record.Account(s.addresses, account)
		if err != nil {
			return i, err
		}
		if normal != account {
			return i, errors.New("account is not in its one text form")
		}
	}
	return i, nil
}
