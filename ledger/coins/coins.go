// Package coins is how the ledger's modules move money: out of an account into
// the module's own, and back out of it. There is one coin, integers of udlt.
//
// Guarantees: a move that fails changes nothing, and one out of a module account
// that can't be carried out is an [ErrPayment], which no caller mistakes for a
// fault of its own.
//
// Start at [Vault].
package coins

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/core/address"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"daulat/core/escrow"
)

// Coins moves money. A failed move must change nothing. The bank refuses to pay
// accounts that take no plain transfers, such as those of modules.
type Coins interface {
	SendCoinsFromAccountToModule(ctx context.Context, from sdk.AccAddress, module string, amt sdk.Coins) error
	SendCoinsFromModuleToAccount(ctx context.Context, module string, to sdk.AccAddress, amt sdk.Coins) error
	GetBalance(ctx context.Context, addr sdk.AccAddress, denom string) sdk.Coin
}

// ErrPayment says that an account could not be paid.
var ErrPayment = errors.New("payment failed")

// Vault is a module's account.
type Vault struct {
	Module    string
	Coins     Coins
	Addresses address.Codec
}

// Lock takes money of an account into the module's.
func (v Vault) Lock(ctx context.Context, from string, amount uint64) error {
	account, err := v.Addresses.StringToBytes(from)
	if err != nil {
		return err
	}
	return v.Coins.SendCoinsFromAccountToModule(ctx, account, v.Module, udlt(amount))
}

// Pay sends money out of the module's account.
func (v Vault) Pay(ctx context.Context, to string, amount uint64) error {
	account, err := v.Addresses.StringToBytes(to)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPayment, err)
	}
	if err := v.Coins.SendCoinsFromModuleToAccount(ctx, v.Module, account, udlt(amount)); err != nil {
		return fmt.Errorf("%w: %w", ErrPayment, err)
	}
	return nil
}

// Holds reports an error unless the module's account holds exactly what the
// module owes.
func (v Vault) Holds(ctx context.Context, owed math.Int) error {
	held := v.Coins.GetBalance(ctx, authtypes.NewModuleAddress(v.Module), escrow.Denom).Amount
	if !held.Equal(owed) {
		return fmt.Errorf("%s holds %s udlt but owes %s", v.Module, held, owed)
	}
	return nil
}

func udlt(amount uint64) sdk.Coins {
	return sdk.NewCoins(sdk.NewCoin(escrow.Denom, math.NewIntFromUint64(amount)))
}
