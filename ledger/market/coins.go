package market

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"cosmossdk.io/math"

	"daulat/core/escrow"
	"daulat/core/job"
	"daulat/ledger/record"
)

// pay sends money out of the module account for the given order or session.
func (s *Store) pay(ctx context.Context, id uint64, payments ...escrow.Payment) error {
	for _, p := range payments {
		if err := s.vault.Pay(ctx, p.To, p.Amount); err != nil {
			return err
		}
		record.Event(ctx, "payment", "job", record.Number(id), "to", p.To, "amount", record.Number(p.Amount))
	}
	return nil
}

// Conserved reports an error unless every session's account is balanced, the
// module account holds exactly what is locked or withheld, and each provider's
// standing is the sum of its sessions and complaints. It reads everything:
// it is for tests and for a look from outside, not for each block.
func (s *Store) Conserved(ctx context.Context) error {
	owed, want := math.ZeroInt(), map[string]job.Standing{}
	add := func(amount uint64) { owed = owed.Add(math.NewIntFromUint64(amount)) }
	err := s.orders.Walk(ctx, nil, func(_ uint64, o job.Order) (bool, error) {
		if o.State == job.OrderOpen {
			add(o.Terms.Escrow)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	err = s.sessions.Walk(ctx, nil, func(id uint64, j job.Session) (bool, error) {
		if !j.Escrow.Balanced() {
			return true, fmt.Errorf("session %d: its account %+v is not balanced", id, j.Escrow)
		}
		add(j.Escrow.Locked)
		add(j.Escrow.Withheld)
		want[j.Provider] = want[j.Provider].Moved(job.Session{}, j)
		return false, nil
	})
	if err != nil {
		return err
	}
	if err := s.vault.Holds(ctx, owed); err != nil {
		return err
	}
	return s.standingsAre(ctx, want)
}

// standingsAre reports an error unless the standings are what the sessions say,
// in want, and the complaints.
func (s *Store) standingsAre(ctx context.Context, want map[string]job.Standing) error {
	err := s.complaints.Walk(ctx, nil, func(_ complaintKey, c job.Complaint) (bool, error) {
		want[c.Provider] = want[c.Provider].Accused()
		return false, nil
	})
	if err != nil {
		return err
	}
	for _, provider := range slices.Sorted(maps.Keys(want)) {
		got, err := s.standing(ctx, provider)
		if err != nil {
			return err
		}
		if got != want[provider] {
			return fmt.Errorf("provider %s stands at %+v, not %+v", provider, got, want[provider])
		}
	}
	return s.standings.Walk(ctx, nil, func(provider string, got job.Standing) (bool, error) {
		if got != want[provider] {
			return true, fmt.Errorf("provider %s stands at %+v without a session", provider, got)
		}
		return false, nil
	})
}
