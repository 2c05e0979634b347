package validator

import (
	"context"
	"encoding/hex"
	"time"

	cmtlog "github.com/cometbft/cometbft/libs/log"

	"daulat/ledger/app"
)

// By is the configuration of a node on a machine with that clock.
func (c Config) By(clock func() time.Time) Config {
	c.now = clock
	return c
}

// App is the application that v runs.
func App(v *Validator) *app.App { return v.app }

// The limits that tests go beyond.
const (
	QueryGas    = queryGas
	MaxTx       = app.MaxTxBytes
	MaxRPCBody  = maxRPCBody
	MaxRESTBody = maxRESTBody
	MaxReceive  = maxReceive
)

// CometConfig is how CometBFT runs.
var CometConfig = cometConfig

// ForgetHalfSynced is what a start does first, and Syncing the mark that it looks for.
var ForgetHalfSynced = forgetHalfSynced

const Syncing = syncing

// Proves reports why a state sync could not tell the state after a block, if it can't.
func Proves(ctx context.Context, chain string, s *StateSync, height uint64) error {
	trusted, err := hex.DecodeString(s.Trust.Hash)
	if err != nil {
		return err
	}
	p, err := newProver(ctx, chain, s, s.RPC, trusted, cmtlog.NewNopLogger())
	if err == nil {
		_, err = p.AppHash(ctx, height)
	}
	return err
}
