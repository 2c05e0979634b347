package app

import (
	"context"
	"fmt"

	abci "github.com/cometbft/cometbft/abci/types"
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

// upgradePlans are all that this binary can carry out, oldest first. A plan
// that a ledger has gone through stays, or the binary refuses that ledger.
var upgradePlans []upgradePlan

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

func (a *App) preBlock(ctx sdk.Context, _ *abci.RequestFinalizeBlock) (*sdk.ResponsePreBlock, error) {
	return a.modules.PreBlock(ctx)
}
