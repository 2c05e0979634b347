package control

import (
	"context"
	"time"
)

// OperateOptions say in which home the account lies that acts on the ledger.
type OperateOptions struct {
	Home       string
	Passphrase Passphrase
}

// Books are what a home's account can be asked whether a daulat runs there or not.
type Books interface {
	Status(ctx context.Context) (Status, error)
	// Earned is what was earned on each of the last days, the oldest first.
	Earned(ctx context.Context, days int) ([]EarnedDay, error)
	Send(ctx context.Context, to string, amount uint64) error
	// NewInvite locks a grant for whoever gets the line.
	NewInvite(ctx context.Context, t InviteTerms) (NewInvite, error)
	Invites(ctx context.Context) (Invites, error)
	// RevokeInvite takes an open invite back; a part of its ID is enough if no
	// other begins so.
	RevokeInvite(ctx context.Context, id string) error
	Rules
}

// Rules are who makes the ledger's blocks, and how that is to change: the same for
// all who ask.
type Rules interface {
	Validators(ctx context.Context) ([]Validator, error)
	Upgrades(ctx context.Context) (Upgrades, error)
}

// Operator is the account of a home, as it acts on the ledger by itself: that of a
// node operates its validator, that of a guest or a testnet's founder is a wallet.
type Operator interface {
	Books
	// Account is the account and what it holds; nothing if the ledger does not know it.
	Account(ctx context.Context) (Account, error)
	// Validator is the home's own, and whether its node runs; nil if it is none yet.
	Validator(ctx context.Context) (v *Validator, runs bool, err error)
	// Stake makes the home's node a validator.
	Stake(ctx context.Context, t StakeTerms) error
	Unjail(ctx context.Context) error
	// Leave ends it, and returns the stake that comes back after three weeks.
	Leave(ctx context.Context) (uint64, error)
	// ProposeUpgrade returns the proposal's number.
	ProposeUpgrade(ctx context.Context, plan string, height int64) (uint64, error)
	Vote(ctx context.Context, proposal uint64, yes bool) error
}

// StakeTerms are what a validator begins with.
type StakeTerms struct {
	Stake   uint64 // udlt; 0 is all that the account holds
	Moniker string
}

// Validator is who may sign blocks.
type Validator struct {
	Account string `json:"account"`
	Moniker string `json:"moniker"`
	Key     string `json:"key"` // address of the consensus key
	State   string `json:"state"`
	Power   uint64 `json:"power"`
	Stake   uint64 `json:"stake_udlt"`
	Missed  uint64 `json:"missed"` // blocks of the last Window
	Window  uint64 `json:"window"`
	Why     string `json:"why,omitempty"` // it is set aside
	Here    bool   `json:"here"`          // it is this home's
}

// States of a validator.
const (
	ValidatorBonded = "bonded" // it signs, and its vote counts
	ValidatorAside  = "aside"  // Why says so
	ValidatorWaits  = "waits"  // others have more stake
)

// Upgrades are what is planned, and what is or was voted on.
type Upgrades struct {
	Height    int64      `json:"height"` // of the newest block
	Plan      string     `json:"plan,omitempty"`
	At        int64      `json:"at,omitempty"` // height of the plan
	Proposals []Proposal `json:"proposals"`
}

// Proposal is an upgrade that was proposed.
type Proposal struct {
	ID     uint64    `json:"id"`
	Plan   string    `json:"plan"`
	Height int64     `json:"height"`
	State  string    `json:"state"`
	Ends   time.Time `json:"ends"`
}

// UpgradeDue is why a node ends at the height of an upgrade that it can't carry out.
type UpgradeDue struct{ Err error }

func (u UpgradeDue) Error() string { return u.Err.Error() }

// Unwrap returns the sentence.
func (u UpgradeDue) Unwrap() error { return u.Err }
