package validator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"
	cmtcrypto "github.com/cometbft/cometbft/crypto"
	cmtjson "github.com/cometbft/cometbft/libs/json"
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
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	marketpb "daulat/gen/market"
	registrypb "daulat/gen/registry"
	"daulat/ledger/app"
	"daulat/ledger/client"
	"daulat/ledger/market"
	"daulat/ledger/registry"
)

// Genesis is how a ledger starts: some accounts with coins, and its validators.
type Genesis struct {
	ChainID          string
	Accounts         []Funding
	ValidatorAccount string        // operates the validator of Init; may also be among Accounts
	Stake            uint64        // udlt bonded by each validator's account, beyond Accounts; default DefaultStake
	CloseWindow      uint64        // seconds; 0 keeps the market's default
	ChallengeWindow  uint64        // seconds; 0 keeps the market's default
	KeyDelay         uint64        // seconds; 0 keeps the registry's default
	VotingPeriod     time.Duration // of proposals; 0 keeps the default of two days
}

// Funding is what an account has at the start.
type Funding struct {
	Address string
	Amount  uint64 // udlt
}

// Founder is a validator of the first block.
type Founder struct {
	Account string // operates it; may also be among Accounts
	Keys    Keys
}

// Keys are the public keys of a home. The secret ones never leave it.
type Keys struct {
	Node      string           // ID of the node, by which its peers know it
	Validator cmtcrypto.PubKey // of the validator, if it is one
}

// DefaultStake is what a first validator bonds: 1,000 DLT.
const DefaultStake = 1_000_000_000

// ErrExists says that a home already belongs to a ledger.
var ErrExists = errors.New("the home already has a genesis")

// Init makes a home whose node is the only validator of a new ledger. It
// refuses a home that has a genesis, and leaves none behind when it fails.
func Init(home string, g Genesis) error {
	if Exists(home) {
		return fmt.Errorf("initialise ledger: %w", ErrExists)
	}
	keys, err := MakeKeys(home)
	if err != nil {
		return err
	}
	doc, err := NewGenesis(g, []Founder{{Account: g.ValidatorAccount, Keys: keys}})
	if err != nil {
		return err
	}
	return Adopt(home, doc)
}

// MakeKeys returns the keys of a home, and makes them if it has none.
func MakeKeys(home string) (Keys, error) {
	if err := makeHome(home); err != nil {
		return Keys{}, fmt.Errorf("make ledger keys: %w", err)
	}
	cfg := cometConfig(Config{Home: home, TimeoutCommit: BlockTime})
	node, err := p2p.LoadOrGenNodeKey(cfg.NodeKeyFile())
	if err != nil {
		return Keys{}, fmt.Errorf("make ledger keys: %w", err)
	}
	key, err := privval.LoadOrGenFilePV(cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile()).GetPubKey()
	if err != nil {
		return Keys{}, fmt.Errorf("make ledger keys: %w", err)
	}
	return Keys{Node: string(node.ID()), Validator: key}, nil
}

// Adopt makes a home follow the ledger of doc. Its node is a validator if doc
// or a later block says so of its key, and a full node otherwise. It refuses a
// home that has a genesis.
func Adopt(home string, doc *cmttypes.GenesisDoc) error {
	if Exists(home) {
		return fmt.Errorf("initialise ledger: %w", ErrExists)
	}
	if _, err := MakeKeys(home); err != nil {
		return err
	}
	fresh := filepath.Join(home, "config", "genesis.new")
	err := doc.SaveAs(fresh)
	if err == nil {
		err = os.Rename(fresh, genesisFile(home)) // whole or not at all
	}
	if err != nil {
		return fmt.Errorf("initialise ledger: %w", err)
	}
	return nil
}

// FoundersHash is what the first header of the founders' ledger calls its
// validators, if all have the default stake.
func FoundersHash(founders []Founder) []byte {
	var all []*cmttypes.Validator
	for _, f := range founders {
		all = append(all, cmttypes.NewValidator(f.Keys.Validator, DefaultStake/sdk.DefaultPowerReduction.Int64()))
	}
	return cmttypes.NewValidatorSet(all).Hash()
}

// Exists reports that a home has a ledger: what Init left half done is none.
func Exists(home string) bool {
	_, err := os.Stat(genesisFile(home))
	return !errors.Is(err, fs.ErrNotExist)
}

// Founded is the hash of a home's genesis, empty without one, and whether the home
// has the key of a validator that the genesis names: who founded the ledger has one,
// and who follows it has not.
func Founded(home string) (hash string, founder bool, err error) {
	if !Exists(home) {
		return "", false, nil
	}
	doc, err := cmttypes.GenesisDocFromFile(genesisFile(home))
	if err != nil {
		return "", false, fmt.Errorf("read genesis: %w", err)
	}
	if hash, err = client.GenesisHash(doc); err != nil {
		return "", false, err
	}
	var key privval.FilePVKey
	data, err := os.ReadFile(cometConfig(Config{Home: home, TimeoutCommit: BlockTime}).PrivValidatorKeyFile())
	if err == nil {
		err = cmtjson.Unmarshal(data, &key)
	}
	if err != nil {
		return "", false, fmt.Errorf("read validator key: %w", err)
	}
	var state struct {
		Staking struct {
			Validators []struct {
				Key struct {
					Key []byte `json:"key"`
				} `json:"consensus_pubkey"`
			} `json:"validators"`
		} `json:"staking"`
	}
	if err := json.Unmarshal(doc.AppState, &state); err != nil {
		return "", false, fmt.Errorf("read genesis: %w", err)
	}
	for _, v := range state.Staking.Validators {
		founder = founder || bytes.Equal(v.Key.Key, key.PubKey.Bytes())
	}
	return hash, founder, nil
}

// NewGenesis states the whole of the first state of a ledger whose validators
// are the founders.
func NewGenesis(g Genesis, founders []Founder) (*cmttypes.GenesisDoc, error) {
	doc, err := document(g, founders, time.Now().UTC())
	if err != nil {
		return nil, fmt.Errorf("make genesis: %w", err)
	}
	return doc, nil
}

func document(g Genesis, founders []Founder, now time.Time) (*cmttypes.GenesisDoc, error) {
	dir, err := os.MkdirTemp("", "daulat-genesis-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	a, err := app.New(log.NewNopLogger(), dbm.NewMemDB(), dir)
	if err != nil {
		return nil, err
	}
	defer a.Close() // holds nothing but memory
	state := a.DefaultGenesis()
	if err := fill(state, a.Codec(), g, founders, now); err != nil {
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
	params.Block.MaxBytes, params.Block.MaxGas = app.MaxBlockBytes, app.MaxBlockGas
	// Evidence counts as long as the stake behind it is bonded.
	params.Evidence.MaxAgeDuration = stakingtypes.DefaultUnbondingTime
	params.Evidence.MaxAgeNumBlocks = int64(stakingtypes.DefaultUnbondingTime / BlockTime)
	doc := &cmttypes.GenesisDoc{ChainID: g.ChainID, GenesisTime: now, ConsensusParams: params, AppState: raw, InitialHeight: 1}
	return doc, doc.ValidateAndComplete()
}

func fill(state app.Genesis, cdc codec.Codec, g Genesis, founders []Founder, now time.Time) error {
	if g.Stake == 0 {
		g.Stake = DefaultStake
	}
	if len(founders) == 0 {
		return errors.New("a ledger needs a validator")
	}
	staking, err := bonded(founders, g.Stake)
	if err != nil {
		return err
	}
	accounts, bank, err := balances(g, founders)
	if err != nil {
		return err
	}
	state[authtypes.ModuleName] = cdc.MustMarshalJSON(authtypes.NewGenesisState(authtypes.DefaultParams(), accounts))
	state[banktypes.ModuleName] = cdc.MustMarshalJSON(bank)
	state[stakingtypes.ModuleName] = cdc.MustMarshalJSON(staking)
	state[slashingtypes.ModuleName] = cdc.MustMarshalJSON(signing(founders, now))
	if g.VotingPeriod > 0 {
		state[govtypes.ModuleName] = cdc.MustMarshalJSON(voting(g.VotingPeriod))
	}
	return setWindows(state, cdc, g)
}

// voting is governance with another period; an urgent proposal takes half of it.
func voting(period time.Duration) *govv1.GenesisState {
	g := govv1.DefaultGenesisState()
	urgent := period / 2
	g.Params.VotingPeriod, g.Params.ExpeditedVotingPeriod = &period, &urgent
	return g
}

// balances are the accounts with their coins; the stakes lie with the pool of
// bonded coins.
func balances(g Genesis, founders []Founder) (authtypes.GenesisAccounts, *banktypes.GenesisState, error) {
	bank := banktypes.DefaultGenesisState()
	var accounts authtypes.GenesisAccounts
	add := func(address sdk.AccAddress) {
		accounts = append(accounts, authtypes.NewBaseAccount(address, nil, uint64(len(accounts)), 0))
	}
	operators := map[string]bool{} // named once as operators, once with their coins
	for _, f := range founders {
		address, err := sdk.AccAddressFromBech32(f.Account)
		if err != nil {
			return nil, nil, fmt.Errorf("validator account %q: %w", f.Account, err)
		}
		operators[address.String()] = true
		add(address)
	}
	funded := map[string]bool{}
	total := sdkmath.NewIntFromUint64(g.Stake).MulRaw(int64(len(founders)))
	stake := total
	for _, f := range g.Accounts {
		address, err := sdk.AccAddressFromBech32(f.Address)
		if err != nil {
			return nil, nil, fmt.Errorf("account %q: %w", f.Address, err)
		}
		name := address.String()
		if funded[name] {
			return nil, nil, fmt.Errorf("account %s is funded twice", f.Address)
		}
		funded[name] = true
		if !operators[name] {
			add(address)
		}
		if f.Amount > 0 {
			bank.Balances = append(bank.Balances, banktypes.Balance{Address: name, Coins: coins(sdkmath.NewIntFromUint64(f.Amount))})
			total = total.Add(sdkmath.NewIntFromUint64(f.Amount))
		}
	}
	if !total.IsInt64() {
		return nil, nil, errors.New("all coins together must fit 63 bits")
	}
	pool := authtypes.NewModuleAddress(stakingtypes.BondedPoolName).String()
	bank.Balances = append(bank.Balances, banktypes.Balance{Address: pool, Coins: coins(stake)})
	bank.Supply = coins(total)
	return accounts, bank, nil
}

func coins(amount sdkmath.Int) sdk.Coins { return sdk.NewCoins(sdk.NewCoin(app.Denom, amount)) }

// bonded are validators that their operators have bonded to before the first
// block, all with the same stake.
func bonded(founders []Founder, stake uint64) (*stakingtypes.GenesisState, error) {
	amount := sdkmath.NewIntFromUint64(stake)
	if amount.LT(sdk.DefaultPowerReduction) {
		return nil, fmt.Errorf("a stake of %d udlt gives no voting power", stake)
	}
	var validators []stakingtypes.Validator
	var delegations []stakingtypes.Delegation
	seen := map[string]bool{}
	for i, f := range founders {
		operator, err := sdk.AccAddressFromBech32(f.Account)
		if err != nil {
			return nil, fmt.Errorf("validator account %q: %w", f.Account, err)
		}
		public, err := cryptocodec.FromCmtPubKeyInterface(f.Keys.Validator)
		if err != nil {
			return nil, err
		}
		for _, name := range []string{operator.String(), f.Keys.Validator.Address().String()} {
			if seen[name] {
				return nil, fmt.Errorf("two validators have account or key %s", name)
			}
			seen[name] = true
		}
		packed, err := codectypes.NewAnyWithValue(public)
		if err != nil {
			return nil, err
		}
		shares := sdkmath.LegacyNewDecFromInt(amount)
		address := sdk.ValAddress(operator).String()
		validators = append(validators, stakingtypes.Validator{
			OperatorAddress:   address,
			ConsensusPubkey:   packed,
			Status:            stakingtypes.Bonded,
			Tokens:            amount,
			DelegatorShares:   shares,
			Description:       stakingtypes.Description{Moniker: fmt.Sprintf("founder-%d", i+1)},
			UnbondingTime:     time.Unix(0, 0).UTC(),
			Commission:        stakingtypes.NewCommission(sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec()),
			MinSelfDelegation: sdkmath.OneInt(),
		})
		delegations = append(delegations, stakingtypes.NewDelegation(operator.String(), address, shares))
	}
	return stakingtypes.NewGenesisState(stakingtypes.DefaultParams(), validators, delegations), nil
}

// A validator that signs fewer than one block in twenty, of about the last hour
// and a half, is set aside until its operator asks to be back. The SDK's default
// would do so after 25 seconds of absence.
const missWindow = 10_000 // blocks

var leastSigned = sdkmath.LegacyNewDecWithPrec(5, 2)

// signing opens each validator's record of missed blocks. Without one the ledger
// halts at the second block.
func signing(founders []Founder, now time.Time) *slashingtypes.GenesisState {
	g := slashingtypes.DefaultGenesisState()
	g.Params.SignedBlocksWindow, g.Params.MinSignedPerWindow = missWindow, leastSigned
	for _, f := range founders {
		address := sdk.ConsAddress(f.Keys.Validator.Address())
		g.SigningInfos = append(g.SigningInfos, slashingtypes.SigningInfo{
			Address:              address.String(),
			ValidatorSigningInfo: slashingtypes.NewValidatorSigningInfo(address, 0, 0, now, false, 0),
		})
	}
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
