package market

import (
	"context"
	"errors"
	"fmt"

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

// Conserved reports an error unless every session's account is balanced and the
// module account holds exactly what is locked or withheld. It reads everything:
// it is for tests and for a look from outside, not for each block.
func (s *Store) Conserved(ctx context.Context) error {
	owed := math.ZeroInt()
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
		return false, nil
	})
	if err != nil {
		return err
	}
	held := s.coins.GetBalance(ctx, authtypes.NewModuleAddress(Name), escrow.Denom).Amount
	if !held.Equal(owed) {
		return fmt.Errorf("market holds %s udlt but owes %s", held, owed)
	}
	return nil
}

// orZero reads an absent number as 0.
func orZero(n uint64, err error) (uint64, error) {
	if errors.Is(err, collections.ErrNotFound) {
		return 0, nil
	}
	return n, err
}
