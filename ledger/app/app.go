// Package app wires the ledger: the Cosmos SDK's modules for accounts, coins,
// validators, governance and upgrades, and Daulat's own for providers, orders,
// sessions and invites, into one ABCI application.
//
// The wiring is by hand, and its order is the point: codecs, stores, module
// accounts, keepers in order of dependence, modules, the order of each phase,
// services, handlers, load. State lies in IAVL on pebble; transactions run one
// after the other; fees may be zero; transactions may be unordered.
//
// Start at [New]. A whole node is in ledger/validator.
package app

import (
	"maps"
	"slices"
	"time"

	corestore "cosmossdk.io/core/store"
	"cosmossdk.io/log/v2"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/mempool"
	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/x/auth"
	"github.com/cosmos/cosmos-sdk/x/auth/ante"
	authkeeper "github.com/cosmos/cosmos-sdk/x/auth/keeper"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/cosmos/cosmos-sdk/x/bank"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/cosmos-sdk/x/consensus"
	consensuskeeper "github.com/cosmos/cosmos-sdk/x/consensus/keeper"
	consensustypes "github.com/cosmos/cosmos-sdk/x/consensus/types"
	"github.com/cosmos/cosmos-sdk/x/distribution"
	distributionkeeper "github.com/cosmos/cosmos-sdk/x/distribution/keeper"
	distributiontypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	"github.com/cosmos/cosmos-sdk/x/evidence"
	evidencekeeper "github.com/cosmos/cosmos-sdk/x/evidence/keeper"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	feegrantkeeper "github.com/cosmos/cosmos-sdk/x/feegrant/keeper"
	feegrantmodule "github.com/cosmos/cosmos-sdk/x/feegrant/module"
	"github.com/cosmos/cosmos-sdk/x/genutil"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	"github.com/cosmos/cosmos-sdk/x/gov"
	govkeeper "github.com/cosmos/cosmos-sdk/x/gov/keeper"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	"github.com/cosmos/cosmos-sdk/x/slashing"
	slashingkeeper "github.com/cosmos/cosmos-sdk/x/slashing/keeper"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	"github.com/cosmos/cosmos-sdk/x/staking"
	stakingkeeper "github.com/cosmos/cosmos-sdk/x/staking/keeper"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	"github.com/cosmos/cosmos-sdk/x/upgrade"
	upgradekeeper "github.com/cosmos/cosmos-sdk/x/upgrade/keeper"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"

	"daulat/ledger/invite"
	"daulat/ledger/market"
	"daulat/ledger/registry"
)

// App is the ledger's state machine.
type App struct {
	*baseapp.BaseApp
	codecs       codecs
	modules      *module.Manager
	configurator module.Configurator
	keepers      keepers
	onUpgrade    func(error) bool // nil until the node runs
	resumed      time.Time        // of the last block when the node started; zero if it had none
	pool         pool
}

// keepers are the SDK's modules as the wiring needs them.
type keepers struct {
	consensus    consensuskeeper.Keeper
	account      authkeeper.AccountKeeper
	bank         bankkeeper.BaseKeeper
	staking      *stakingkeeper.Keeper
	distribution distributionkeeper.Keeper
	slashing     slashingkeeper.Keeper
	evidence     *evidencekeeper.Keeper
	feegrant     feegrantkeeper.Keeper
	gov          *govkeeper.Keeper
	upgrade      *upgradekeeper.Keeper
	registry     *registry.Store
	market       *market.Store
	invite       *invite.Store
}

// storeNames are the stores whose roots the AppHash commits to.
var storeNames = []string{
	authtypes.StoreKey, banktypes.StoreKey, stakingtypes.StoreKey, distributiontypes.StoreKey,
	slashingtypes.StoreKey, evidencetypes.StoreKey, govtypes.StoreKey, consensustypes.StoreKey, feegrant.StoreKey,
	upgradetypes.StoreKey, registry.Name, market.Name, invite.Name,
}

// moduleAccounts may hold coins, with these rights.
var moduleAccounts = map[string][]string{
	authtypes.FeeCollectorName:          nil,
	distributiontypes.ModuleName:        nil,
	stakingtypes.BondedPoolName:         {authtypes.Burner, authtypes.Staking},
	stakingtypes.NotBondedPoolName:      {authtypes.Burner, authtypes.Staking},
	stakingtypes.KeyRotationFeePoolName: {authtypes.Burner},
	govtypes.ModuleName:                 {authtypes.Burner},
	market.Name:                         nil,
	invite.Name:                         nil,
}

// The order of each phase.
var (
	// upgrade changes the binary before anything else runs; auth then clears
	// expired unordered transactions.
	preBlockers   = []string{upgradetypes.ModuleName, authtypes.ModuleName}
	beginBlockers = []string{distributiontypes.ModuleName, slashingtypes.ModuleName,
		evidencetypes.ModuleName, stakingtypes.ModuleName, genutiltypes.ModuleName}
	endBlockers = []string{market.Name, invite.Name, banktypes.ModuleName, govtypes.ModuleName, stakingtypes.ModuleName,
		feegrant.ModuleName, genutiltypes.ModuleName}
	genesisOrder = []string{authtypes.ModuleName, banktypes.ModuleName, distributiontypes.ModuleName,
		stakingtypes.ModuleName, slashingtypes.ModuleName, evidencetypes.ModuleName, govtypes.ModuleName, consensustypes.ModuleName,
		feegrant.ModuleName, upgradetypes.ModuleName, registry.Name, market.Name, invite.Name, genutiltypes.ModuleName}
)

// New opens the ledger that lies in db, or an empty one. home is where an
// upgrade leaves word for the next binary. The caller closes the App, and with
// it db.
func New(logger log.Logger, db dbm.DB, home string, options ...func(*baseapp.BaseApp)) (*App, error) {
	c := newCodecs()
	base := baseapp.NewBaseApp("daulat", logger, db, c.tx.TxDecoder(), options...)
	base.SetInterfaceRegistry(c.registry)
	base.SetTxEncoder(c.tx.TxEncoder())
	base.SetMempool(mempool.NoOpMempool{}) // CometBFT's list, and pool over it
	keys := storetypes.NewKVStoreKeys(storeNames...)
	objects := storetypes.NewObjectStoreKeys(banktypes.ObjectStoreKey)

	a := &App{BaseApp: base, codecs: c, keepers: newKeepers(base, c, keys, objects, home, logger),
		pool: newPool()}
	if err := a.wireModules(); err != nil {
		return nil, err
	}
	base.MountKVStores(keys)
	base.MountObjectStores(objects)
	if err := a.setHandlers(); err != nil {
		return nil, err
	}
	if err := a.setUpgrades(); err != nil {
		return nil, err
	}
	return a, base.LoadLatestVersion()
}

func newKeepers(base *baseapp.BaseApp, c codecs, keys map[string]*storetypes.KVStoreKey,
	objects map[string]*storetypes.ObjectStoreKey, home string, logger log.Logger) keepers {
	store := func(name string) corestore.KVStoreService { return runtime.NewKVStoreService(keys[name]) }
	authority := authtypes.NewModuleAddress(govtypes.ModuleName).String()
	var k keepers
	k.consensus = consensuskeeper.NewKeeper(c.proto, store(consensustypes.StoreKey), authority, runtime.EventService{})
	base.SetParamStore(k.consensus.ParamsStore)
	k.account = authkeeper.NewAccountKeeper(c.proto, store(authtypes.StoreKey), authtypes.ProtoBaseAccount,
		moduleAccounts, c.account, Prefix, authority, authkeeper.WithUnorderedTransactions(true))
	k.bank = bankkeeper.NewBaseKeeper(c.proto, store(banktypes.StoreKey), k.account, blockedAddresses(), authority, logger).
		WithObjStoreKey(objects[banktypes.ObjectStoreKey])
	k.staking = stakingkeeper.NewKeeper(c.proto, store(stakingtypes.StoreKey), k.account, k.bank, authority,
		c.validator, c.consensus)
	k.distribution = distributionkeeper.NewKeeper(c.proto, store(distributiontypes.StoreKey), k.account, k.bank,
		k.staking, authtypes.FeeCollectorName, authority)
	k.slashing = slashingkeeper.NewKeeper(c.proto, c.amino, store(slashingtypes.StoreKey), k.staking, authority)
	k.evidence = evidencekeeper.NewKeeper(c.proto, store(evidencetypes.StoreKey), k.staking, k.slashing, c.account,
		runtime.ProvideCometInfoService())
	k.evidence.SetRouter(evidencetypes.NewRouter()) // CometBFT finds evidence; accounts can submit none
	k.staking.SetHooks(stakingtypes.NewMultiStakingHooks(k.distribution.Hooks(), k.slashing.Hooks()))
	k.feegrant = feegrantkeeper.NewKeeper(c.proto, store(feegrant.StoreKey), k.account)
	k.gov = govkeeper.NewKeeper(c.proto, store(govtypes.StoreKey), k.account, k.bank, k.distribution,
		base.MsgServiceRouter(), govtypes.DefaultConfig(), authority,
		govkeeper.NewDefaultCalculateVoteResultsAndVotingPower(k.staking))
	k.upgrade = upgradekeeper.NewKeeper(nil, store(upgradetypes.StoreKey), c.proto, home, base, authority)
	k.registry = registry.NewStore(store(registry.Name), c.proto)
	k.market = market.NewStore(store(market.Name), c.proto, k.bank, k.registry)
	k.invite = invite.NewStore(store(invite.Name), c.proto, k.bank)
	return k
}

// blockedAddresses are the module accounts, which take no plain transfers;
// governance may.
func blockedAddresses() map[string]bool {
	blocked := make(map[string]bool, len(moduleAccounts))
	for _, name := range slices.Sorted(maps.Keys(moduleAccounts)) {
		blocked[authtypes.NewModuleAddress(name).String()] = name != govtypes.ModuleName
	}
	return blocked
}

func (a *App) wireModules() error {
	c, k := a.codecs, a.keepers
	a.modules = module.NewManager(
		genutil.NewAppModule(k.account, k.staking, a, c.tx),
		auth.NewAppModule(c.proto, k.account, nil),
		bank.NewAppModule(c.proto, k.bank, k.account),
		staking.NewAppModule(c.proto, k.staking, k.account, k.bank),
		distribution.NewAppModule(c.proto, k.distribution, k.account, k.bank, k.staking),
		slashing.NewAppModule(c.proto, k.slashing, k.account, k.bank, k.staking, c.registry),
		evidence.NewAppModule(*k.evidence),
		gov.NewAppModule(c.proto, k.gov, k.account, k.bank),
		consensus.NewAppModule(c.proto, k.consensus),
		feegrantmodule.NewAppModule(c.proto, k.account, k.bank, k.feegrant, c.registry),
		upgrade.NewAppModule(k.upgrade, c.account),
		registry.NewModule(c.proto, k.registry),
		market.NewModule(c.proto, k.market),
		invite.NewModule(c.proto, k.invite),
	)
	basic := module.NewBasicManagerFromManager(a.modules, nil)
	basic.RegisterLegacyAminoCodec(c.amino)
	basic.RegisterInterfaces(c.registry)
	a.modules.SetOrderPreBlockers(preBlockers...)
	a.modules.SetOrderBeginBlockers(beginBlockers...)
	a.modules.SetOrderEndBlockers(endBlockers...)
	a.modules.SetOrderInitGenesis(genesisOrder...)
	a.modules.SetOrderExportGenesis(genesisOrder...)
	a.configurator = module.NewConfigurator(c.proto, a.MsgServiceRouter(), a.GRPCQueryRouter())
	return a.modules.RegisterServices(a.configurator)
}

func (a *App) setHandlers() error {
	check, err := ante.NewAnteHandler(ante.HandlerOptions{
		AccountKeeper:   a.keepers.account,
		BankKeeper:      a.keepers.bank,
		FeegrantKeeper:  a.keepers.feegrant,
		SignModeHandler: a.codecs.tx.SignModeHandler(),
		SigGasConsumer:  ante.DefaultSigVerificationGasConsumer,
	})
	if err != nil {
		return err
	}
	a.SetAnteHandler(bounded(a.afterRestart(check)))
	a.SetCheckTxHandler(a.checkTx)
	a.SetPrepareProposal(a.propose)
	a.SetInitChainer(a.initChain)
	a.SetPreBlocker(a.preBlock)
	a.SetBeginBlocker(a.modules.BeginBlock)
	a.SetEndBlocker(a.modules.EndBlock)
	return nil
}

// Resume tells the time of the last block to a node that starts again.
func (a *App) Resume(last time.Time) { a.resumed = last }

// afterRestart has transactions checked as of the last block. The SDK forgets its
// height and time over a restart, until the next block: till then it would find each
// timeout too far ahead, and each signature made for another account number.
func (a *App) afterRestart(check sdk.AnteHandler) sdk.AnteHandler {
	return func(ctx sdk.Context, tx sdk.Tx, simulate bool) (sdk.Context, error) {
		if ctx.IsCheckTx() && ctx.BlockTime().IsZero() && !a.resumed.IsZero() {
			ctx = ctx.WithBlockHeader(cmtproto.Header{ChainID: ctx.ChainID(), Height: a.LastBlockHeight(), Time: a.resumed})
		}
		return check(ctx, tx, simulate)
	}
}

// Codec encodes the ledger's protobuf types, genesis included.
func (a *App) Codec() codec.Codec { return a.codecs.proto }

// StoreNames lists the stores that a proof can name.
func StoreNames() []string { return slices.Clone(storeNames) }

// must guards what only a mistake in the wiring can break.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
