package market

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"daulat/core/escrow"
	"daulat/core/job"
)

var errPayment = errors.New("payment failed")

// lock takes money of an account into the module account.
func (s *Store) lock(ctx context.Context, from string, amount uint64) error {
	account, err := s.addresses.StringToBytes(from)
	if err != nil {
		return err
	}
	return s.coins.SendCoinsFromAccountToModule(ctx, account, Name, udlt(amount))
}

// pay sends money out of the module account for the given order or session.
func (s *Store) pay(ctx context.Context, id uint64, payments ...escrow.Payment) error {
	for _, p := range payments {
		account, err := s.addresses.StringToBytes(p.To)
		if err != nil {
			return fmt.Errorf("%w: %w", errPayment, err)
		}
		if err := s.coins.SendCoinsFromModuleToAccount(ctx, Name, account, udlt(p.Amount)); err != nil {
			return fmt.Errorf("%w: %w", errPayment, err)
		}
		emit(ctx, "payment", "job", decimal(id), "to", p.To, "amount", decimal(p.Amount))
	}
	return nil
}

func udlt(amount uint64) sdk.Coins {
	return sdk.NewCoins(sdk.NewCoin(escrow.Denom, math.NewIntFromUint64(amount)))
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
	held := s.coins.GetBalance(ctx, authtypes.NewModuleAddress(Name), escrow.Denom).Amount
	if !held.Equal(owed) {
		return fmt.Errorf("market holds %s udlt but owes %s", held, owed)
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

// orZero reads an absent number as 0.
func orZero(n uint64, err error) (uint64, error) {
	if errors.Is(err, collections.ErrNotFound) {
		return 0, nil
	}
	return n, err
}
