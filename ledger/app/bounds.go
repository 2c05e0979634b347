package app

import (
	"strings"

	errorsmod "cosmossdk.io/errors"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
)

// Limits of a block, and of each transaction in it. Fees are zero, so these are
// what keeps blocks short: at 8 to 10 ns of one processor for a unit of gas, a full
// block runs for about a second, of which plain transactions take 0.3 s at most.
const (
	MaxBlockBytes = 5 << 20
	MaxBlockGas   = 128_000_000
	MaxTxBytes    = 256 << 10

	maxMessages = 256        // of a transaction: an announcement has up to 129
	maxTxGas    = 20_000_000 // of the network's own messages: a full batch of settlements for good wants 16 million
	maxPlainGas = MaxBlockGas / 16
)

// own reports whether a transaction is made of market, registry and invite
// messages alone. One with a sequence number never counts as such, so that all of an
// account's stand in one line, in their order.
func own(tx sdk.Tx) bool {
	if u, ok := tx.(sdk.TxWithUnordered); !ok || !u.GetUnordered() {
		return false
	}
	for _, m := range tx.GetMsgs() {
		if !strings.HasPrefix(sdk.MsgTypeURL(m), "/daulat.") {
			return false
		}
	}
	return true
}

// gasOf is what a transaction may use, as it says.
func gasOf(tx sdk.Tx) uint64 {
	if fee, ok := tx.(sdk.FeeTx); ok {
		return fee.GetGas()
	}
	return 0
}

func gasLimit(tx sdk.Tx) uint64 {
	if own(tx) {
		return maxTxGas
	}
	return maxPlainGas
}

// bound refuses a transaction that is too large for a block to hold beside others.
// It looks at nothing but the transaction, so all nodes find the same.
func bound(tx sdk.Tx, size int) error {
	if size > MaxTxBytes {
		return errorsmod.Wrapf(sdkerrors.ErrInvalidRequest, "a transaction has at most %d bytes, not %d", MaxTxBytes, size)
	}
	if n := len(tx.GetMsgs()); n > maxMessages {
		return errorsmod.Wrapf(sdkerrors.ErrInvalidRequest, "a transaction has at most %d messages, not %d", maxMessages, n)
	}
	if gas, limit := gasOf(tx), gasLimit(tx); gas > limit {
		return errorsmod.Wrapf(sdkerrors.ErrInvalidRequest, "a transaction like this may ask for %d gas at most, not %d", limit, gas)
	}
	return nil
}

// bounded puts bound before the other checks, and a limit to what a dry run uses,
// which anybody may ask for and which nothing else limits.
func bounded(check sdk.AnteHandler) sdk.AnteHandler {
	return func(ctx sdk.Context, tx sdk.Tx, dry bool) (sdk.Context, error) {
		if err := bound(tx, len(ctx.TxBytes())); err != nil {
			return ctx.WithGasMeter(storetypes.NewGasMeter(0)), err
		}
		ctx, err := check(ctx, tx, dry)
		if err == nil && dry {
			meter := storetypes.NewGasMeter(gasLimit(tx))
			meter.ConsumeGas(ctx.GasMeter().GasConsumed(), "checks")
			ctx = ctx.WithGasMeter(meter)
		}
		return ctx, err
	}
}
