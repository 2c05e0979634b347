package validator

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"cosmossdk.io/log/v2"
	cmttypes "github.com/cometbft/cometbft/types"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/baseapp"

	"daulat/ledger/app"
)

// Export makes a genesis document of a stopped node's last state. A ledger that
// starts from it goes on at the next height, with now as its first block time.
func Export(home string) (*cmttypes.GenesisDoc, error) {
	doc, err := export(home)
	if err != nil {
		return nil, fmt.Errorf("export ledger: %w", err)
	}
	return doc, nil
}

func export(home string) (*cmttypes.GenesisDoc, error) {
	doc, err := cmttypes.GenesisDocFromFile(genesisFile(home))
	if err != nil {
		return nil, err
	}
	db, err := dbm.NewDB("application", dbm.PebbleDBBackend, filepath.Join(home, "data"))
	if err != nil {
		return nil, err
	}
	db = stateDB{DB: db, close: sync.OnceValue(db.Close)}
	defer db.Close() // read only
	a, err := app.New(log.NewNopLogger(), db, home, baseapp.SetChainID(doc.ChainID))
	if err != nil {
		return nil, err
	}
	defer a.Close()
	e, err := a.Export()
	if err != nil {
		return nil, err
	}
	if doc.AppState, err = json.Marshal(e.State); err != nil {
		return nil, err
	}
	doc.GenesisTime = time.Now().UTC()
	params := cmttypes.ConsensusParamsFromProto(e.Params)
	doc.ConsensusParams, doc.Validators, doc.InitialHeight = &params, e.Validators, e.Height+1
	return doc, doc.ValidateAndComplete()
}
