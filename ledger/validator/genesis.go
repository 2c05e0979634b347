package validator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"
	cmtcrypto "github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	cmttypes "github.com/cometbft/cometbft/types"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	cryptocodec "github.com/cosmos/cosmos-sdk/crypto/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	marketpb "daulat/gen/market"
	registrypb "daulat/gen/registry"
	"daulat/ledger/app"
	"daulat/ledger/market"
	"daulat/ledger/registry"
)

// Genesis is how a ledger starts: some accounts with coins, and one validator.
type Genesis struct {
	ChainID          string
	Accounts         []Funding
	ValidatorAccount string // operates the validator; may also be among Accounts
	Stake            uint64 // udlt bonded by ValidatorAccount, beyond Accounts; default DefaultStake
	CloseWindow      uint64 // seconds; 0 keeps the market's default
	ChallengeWindow  uint64 // seconds; 0 keeps the market's default
	KeyDelay         uint64 // seconds; 0 keeps the registry's default
}

// Funding is what an account has at the start.
type Funding struct {
	Address string
	Amount  uint64 // udlt
}

// DefaultStake is what a first validator bonds: 1,000 DLT.
const DefaultStake = 1_000_000_000

// Limits of a block.
const (
	maxBlockBytes = 4 << 20
	maxBlockGas   = 500_000_000
)

// ErrExists says that a home already belongs to a ledger.
var ErrExists = errors.New("the home already has a genesis")

// Init makes a home whose node is the only validator of a new ledger. It
// refuses a home that has a genesis, and leaves none behind when it fails.
func Init(home string, g Genesis) error {
	if err := initHome(home, g); err != nil {
		return fmt.Errorf("initialise ledger: %w", err)
	}
	return nil
}

// Exists reports that a home has a ledger: what Init left half done is none.
func Exists(home string) bool {
	_, err := os.Stat(genesisFile(home))
	return !errors.Is(err, fs.ErrNotExist)
}

func initHome(home string, g Genesis) error {
	if Exists(home) {
		return ErrExists
	}
	if err := makeHome(home); err != nil {
		return err
	}
	cfg := cometConfig(Config{Home: home, TimeoutCommit: BlockTime})
	if _, err := p2p.LoadOrGenNodeKey(cfg.NodeKeyFile()); err != nil {
		return err
	}
	key, err := privval.LoadOrGenFilePV(cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile()).GetPubKey()
	if err != nil {
		return err
	}
	doc, err := document(home, g, key, time.Now().UTC())
	if err != nil {
		return err
	}
	fresh := filepath.Join(home, "config", "genesis.new")
	if err := doc.SaveAs(fresh); err != nil {
		return err
	}
	return os.Rename(fresh, genesisFile(home)) // whole or not at all
}

// document states the whole of the first state; key is the validator's.
func document(home string, g Genesis, key cmtcrypto.PubKey, now time.Time) (*cmttypes.GenesisDoc, error) {
	a, err := app.New(log.NewNopLogger(), dbm.NewMemDB(), home)
	if err != nil {
		return nil, err
	}
	defer a.Close() // holds nothing but memory
	state := a.DefaultGenesis()
	if err := fill(state, a.Codec(), g, key, now); err != nil {
		return nil, err
	}
	if err := a.ValidateGenesis(state); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	params := cmttypes.DefaultConsensusParams()
	params.Block.MaxBytes, params.Block.MaxGas = maxBlockBytes, maxBlockGas
	// Evidence counts as long as the stake behind it is bonded.
	params.Evidence.MaxAgeDuration = stakingtypes.DefaultUnbondingTime
	params.Evidence.MaxAgeNumBlocks = int64(stakingtypes.DefaultUnbondingTime / BlockTime)
	doc := &cmttypes.GenesisDoc{ChainID: g.ChainID, GenesisTime: now, ConsensusParams: params, AppState: raw, InitialHeight: 1}
	return doc, doc.ValidateAndComplete()
}

func fill(state app.Genesis, cdc codec.Codec, g Genesis, key cmtcrypto.PubKey, now time.Time) error {
	if g.Stake == 0 {
		g.Stake = DefaultStake
	}
	operator, err := sdk.AccAddressFromBech32(g.ValidatorAccount)
	if err != nil {
		return fmt.Errorf("validator account %q: %w", g.ValidatorAccount, err)
	}
	staking, err := bonded(operator, key, g.Stake)
	if err != nil {
		return err
	}
	accounts, bank, err := balances(g, operator)
	if err != nil {
		return err
	}
	state[authtypes.ModuleName] = cdc.MustMarshalJSON(authtypes.NewGenesisState(authtypes.DefaultParams(), accounts))
	state[banktypes.ModuleName] = cdc.MustMarshalJSON(bank)
	state[stakingtypes.ModuleName] = cdc.MustMarshalJSON(staking)
	state[slashingtypes.ModuleName] = cdc.MustMarshalJSON(signing(key, now))
	return setWindows(state, cdc, g)
}

// balances are the accounts with their coins; the stake lies with the pool of
// bonded coins.
func balances(g Genesis, operator sdk.AccAddress) (authtypes.GenesisAccounts, *banktypes.GenesisState, error) {
	bank := banktypes.DefaultGenesisState()
	var accounts authtypes.GenesisAccounts
	seen := map[string]bool{}
	total := sdkmath.NewIntFromUint64(g.Stake)
	for _, f := range append([]Funding{{Address: operator.String()}}, g.Accounts...) {
		address, err := sdk.AccAddressFromBech32(f.Address)
		if err != nil {
			return nil, nil, fmt.Errorf("account %q: %w", f.Address, err)
		}
		if !seen[address.String()] {
			seen[address.String()] = true
			accounts = append(accounts, authtypes.NewBaseAccount(address, nil, uint64(len(accounts)), 0))
		} else if address.Equals(operator) {
			operator = nil // named once as operator, once with its coins
		} else {
			return nil, nil, fmt.Errorf("account %s is funded twice", f.Address)
		}
		if f.Amount > 0 {
			bank.Balances = append(bank.Balances, banktypes.Balance{Address: address.String(), Coins: coins(f.Amount)})
			total = total.Add(sdkmath.NewIntFromUint64(f.Amount))
		}
	}
	if !total.IsUint64() || total.Uint64() > math.MaxInt64 {
		return nil, nil, errors.New("all coins together must fit 63 bits")
	}
	pool := authtypes.NewModuleAddress(stakingtypes.BondedPoolName).String()
	bank.Balances = append(bank.Balances, banktypes.Balance{Address: pool, Coins: coins(g.Stake)})
	bank.Supply = coins(total.Uint64())
	return accounts, bank, nil
}

func coins(amount uint64) sdk.Coins {
	return sdk.NewCoins(sdk.NewCoin(app.Denom, sdkmath.NewIntFromUint64(amount)))
}

// bonded is a validator that its operator has bonded to before the first block.
func bonded(operator sdk.AccAddress, key cmtcrypto.PubKey, stake uint64) (*stakingtypes.GenesisState, error) {
	public, err := cryptocodec.FromCmtPubKeyInterface(key)
	if err != nil {
		return nil, err
	}
	packed, err := codectypes.NewAnyWithValue(public)
	if err != nil {
		return nil, err
	}
	amount := sdkmath.NewIntFromUint64(stake)
	if amount.LT(sdk.DefaultPowerReduction) {
		return nil, fmt.Errorf("a stake of %d udlt gives no voting power", stake)
	}
	shares := sdkmath.LegacyNewDecFromInt(amount)
	address := sdk.ValAddress(operator).String()
	v := stakingtypes.Validator{
		OperatorAddress:   address,
		ConsensusPubkey:   packed,
		Status:            stakingtypes.Bonded,
		Tokens:            amount,
		DelegatorShares:   shares,
		Description:       stakingtypes.Description{Moniker: "first"},
		UnbondingTime:     time.Unix(0, 0).UTC(),
		Commission:        stakingtypes.NewCommission(sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec()),
		MinSelfDelegation: sdkmath.OneInt(),
	}
	d := stakingtypes.NewDelegation(operator.String(), address, shares)
	return stakingtypes.NewGenesisState(stakingtypes.DefaultParams(), []stakingtypes.Validator{v}, []stakingtypes.Delegation{d}), nil
}

// signing opens the validator's record of missed blocks. Without it the ledger
// halts at the second block.
func signing(key cmtcrypto.PubKey, now time.Time) *slashingtypes.GenesisState {
	g := slashingtypes.DefaultGenesisState()
	address := sdk.ConsAddress(key.Address())
	g.SigningInfos = []slashingtypes.SigningInfo{{
		Address:              address.String(),
		ValidatorSigningInfo: slashingtypes.NewValidatorSigningInfo(address, 0, 0, now, false, 0),
	}}
	return g
}

// setWindows changes the clocks of market and registry where the caller named them.
func setWindows(state app.Genesis, cdc codec.Codec, g Genesis) error {
	var m marketpb.GenesisState
	if err := cdc.UnmarshalJSON(state[market.Name], &m); err != nil {
		return err
	}
	if g.CloseWindow != 0 {
		m.Params.CloseWindow = g.CloseWindow
	}
	if g.ChallengeWindow != 0 {
		m.Params.ChallengeWindow = g.ChallengeWindow
	}
	raw, err := cdc.MarshalJSON(&m)
	state[market.Name] = raw
	if err != nil || g.KeyDelay == 0 {
		return err
	}
	var r registrypb.GenesisState
	if err := cdc.UnmarshalJSON(state[registry.Name], &r); err != nil {
		return err
	}
	r.Params.KeyDelay = g.KeyDelay
	raw, err = cdc.MarshalJSON(&r)
	state[registry.Name] = raw
	return err
}
