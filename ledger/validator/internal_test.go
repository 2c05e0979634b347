package validator

import (
	"time"

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
