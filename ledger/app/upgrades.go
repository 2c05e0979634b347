package app

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"
)

// upgradePlan is a change of rules that governance can set for a height. The
// name is what a proposal names.
type upgradePlan struct {
	name   string
	stores storetypes.StoreUpgrades // added, renamed or deleted with it
}

// setUpgrades installs the migrations, and the change of stores if the last
// binary stopped for one.
func (a *App) setUpgrades() error {
	for _, p := range upgradePlans {
		a.keepers.upgrade.SetUpgradeHandler(p.name, a.migrate)
	}
	info, err := a.keepers.upgrade.ReadUpgradeInfoFromDisk()
	if err != nil {
		return fmt.Errorf("read upgrade info: %w", err)
	}
	for _, p := range upgradePlans {
		if p.name == info.Name {
			a.SetStoreLoader(upgradetypes.UpgradeStoreLoader(info.Height, &p.stores))
		}
	}
	return nil
}

func (a *App) migrate(ctx context.Context, _ upgradetypes.Plan, from module.VersionMap) (module.VersionMap, error) {
	return a.modules.RunMigrations(ctx, a.configurator, from)
}

// preBlock tells the node of an upgrade that this program can't carry out. Over an
// error CometBFT panics: its consensus routine knows what to do then, but the one
// that gets blocks from others would take the process along, and ends here.
func (a *App) preBlock(ctx sdk.Context, r *abci.RequestFinalizeBlock) (*sdk.ResponsePreBlock, error) {
	a.pool.forget(r.Txs...)
	done, err := a.modules.PreBlock(ctx)
	if err == nil || a.onUpgrade == nil {
		return done, err
	}
	if due := a.CheckUpgrade(); due != nil {
		if a.onUpgrade(due) {
			runtime.Goexit()
		}
	}
	return done, err
}

// OnUpgrade has f called when an upgrade comes that this program can't carry out; f
// reports whether the routine that executes blocks shall end.
func (a *App) OnUpgrade(f func(error) bool) { a.onUpgrade = f }

// Errors of CheckUpgrade.
var (
	// ErrUpgradeDue says that the next block takes another program.
	ErrUpgradeDue = errors.New("the ledger's rules change")
	// ErrWrongProgram says that the state belongs to another program.
	ErrWrongProgram = errors.New("this program is not the one that the ledger's rules want")
)

// CheckUpgrade reports why this program can't execute the block after the last one.
func (a *App) CheckUpgrade() error {
	height := a.LastBlockHeight()
	if height == 0 {
		return nil
	}
	ctx := a.NewUncachedContext(true, cmtproto.Header{Height: height})
	last, _, err := a.keepers.upgrade.GetLastCompletedUpgrade(ctx)
	if err != nil {
		return fmt.Errorf("read the last upgrade: %w", err)
	}
	plan, err := a.keepers.upgrade.GetUpgradePlan(ctx)
	if err != nil && !errors.Is(err, upgradetypes.ErrNoUpgradePlanFound) {
		return fmt.Errorf("read the planned upgrade: %w", err)
	}
	return fits(last, plan, height+1, a.keepers.upgrade.HasHandler)
}

// fits decides whether a program that knows some upgrades may execute block next of
// a ledger whose last upgrade was last, and which has a plan if that has a name.
func fits(last string, plan upgradetypes.Plan, next int64, knows func(string) bool) error {
	planned := plan.Name != ""
	switch {
	case planned && next >= plan.Height && !knows(plan.Name):
		return fmt.Errorf("%w at block %d by upgrade %q: start this home with the program that carries it, nothing that was acknowledged is lost", ErrUpgradeDue, plan.Height, plan.Name)
	case planned && next < plan.Height && knows(plan.Name):
		return fmt.Errorf("%w: upgrade %q takes effect at block %d, and this home is at block %d: use the program before it until then", ErrWrongProgram, plan.Name, plan.Height, next-1)
	case last != "" && !knows(last):
		return fmt.Errorf("%w: they changed by upgrade %q, which it does not know: use the program that carries it", ErrWrongProgram, last)
	}
	return nil
}
