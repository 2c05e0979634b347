package app

import (
	"encoding/json"
	"fmt"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/x/staking"
)

// Genesis is the state of each module at the start, as JSON.
type Genesis map[string]json.RawMessage

// DefaultGenesis is an empty ledger, without validators.
func (a *App) DefaultGenesis() Genesis {
	return module.NewBasicManagerFromManager(a.modules, nil).DefaultGenesis(a.codecs.proto)
}

// ValidateGenesis reports what is wrong with the state of a module.
func (a *App) ValidateGenesis(g Genesis) error {
	return module.NewBasicManagerFromManager(a.modules, nil).ValidateGenesis(a.codecs.proto, a.codecs.tx, g)
}

// Exported is the state at one height, from which another ledger can start.
type Exported struct {
	State      Genesis
	Validators []cmttypes.GenesisValidator
	Params     cmtproto.ConsensusParams
	Height     int64 // of the last block that State contains
}

// Export reads the last committed state. It must not run beside a node that
// commits blocks.
func (a *App) Export() (Exported, error) {
	ctx := a.NewContextLegacy(true, cmtproto.Header{Height: a.LastBlockHeight()})
	state, err := a.modules.ExportGenesis(ctx, a.codecs.proto)
	if err != nil {
		return Exported{}, fmt.Errorf("export genesis: %w", err)
	}
	validators, err := staking.WriteValidators(ctx, a.keepers.staking)
	if err != nil {
		return Exported{}, fmt.Errorf("export validators: %w", err)
	}
	return Exported{State: state, Validators: validators, Params: a.GetConsensusParams(ctx), Height: a.LastBlockHeight()}, nil
}

func (a *App) initChain(ctx sdk.Context, r *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	var g Genesis
	if err := json.Unmarshal(r.AppStateBytes, &g); err != nil {
		return nil, fmt.Errorf("read genesis: %w", err)
	}
	if err := a.keepers.upgrade.SetModuleVersionMap(ctx, a.modules.GetVersionMap()); err != nil {
		return nil, err
	}
	return a.modules.InitGenesis(ctx, a.codecs.proto, g)
}
