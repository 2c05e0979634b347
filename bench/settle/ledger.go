package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"
	cmttypes "github.com/cometbft/cometbft/types"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/codec/address"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	marketpb "daulat/gen/market"
	"daulat/ledger/app"
	"daulat/ledger/client"
	"daulat/ledger/market"
	"daulat/ledger/validator"
)

const (
	chainID   = "bench-settle"
	groupSize = 1000 // what runs are multiples of
	carriers  = 20
	funds     = 1_000_000_000
	locked    = 1_000_000 // udlt of one session
	duration  = 6 * 3600  // seconds
)

// open is a session of two accounts that have no other, and the keys that sign
// for it.
type open struct {
	id                 uint64
	consumer, provider string
	session, identity  canon.PrivateKey
}

// world is the ledger under test and all who act on it.
type world struct {
	home      string
	cdc       codec.Codec
	sessions  []open     // of distinct parties, carried by senders
	groups    []open     // each groupSize in a row of one provider, which alone settles them for good
	providers []*account // of the groups
	carriers  []*account // strangers who bring sessions' pairs
	senders   []*account
	model     canon.CID
	seq       uint64 // of the newest pair of each session
	newest    []uint64
	node      *validator.Validator
	others    []*validator.Validator // that agree with node on each block
	homes     []string               // theirs
	supply    sdkmath.Int
}

// account signs transactions.
type account struct {
	*client.AccountKey
	number uint64
}

// found makes the home of a ledger on which all sessions are open.
func found(dir string, o options) (*world, error) {
	a, err := app.New(log.NewNopLogger(), dbm.NewMemDB(), dir)
	if err != nil {
		return nil, err
	}
	defer a.Close() // holds nothing but memory
	w := &world{home: filepath.Join(dir, "chain"), cdc: a.Codec()}
	if err := w.people(o); err != nil {
		return nil, err
	}
	g := validator.Genesis{ChainID: chainID, ValidatorAccount: w.senders[0].Account()}
	for _, s := range w.senders {
		g.Accounts = append(g.Accounts, validator.Funding{Address: s.Account(), Amount: funds})
	}
	for _, p := range slices.Concat(w.providers, w.carriers) {
		g.Accounts = append(g.Accounts, validator.Funding{Address: p.Account(), Amount: funds})
	}
	for _, s := range w.all() {
		g.Accounts = append(g.Accounts, validator.Funding{Address: s.consumer, Amount: 1})
	}
	var founders []validator.Founder
	for i := range o.validators {
		home := w.home
		if i > 0 {
			home = fmt.Sprintf("%s-%d", w.home, i+1)
			w.homes = append(w.homes, home)
		}
		keys, err := validator.MakeKeys(home)
		if err != nil {
			return nil, err
		}
		founders = append(founders, validator.Founder{Account: w.senders[i].Account(), Keys: keys})
	}
	doc, err := validator.NewGenesis(g, founders)
	if err != nil {
		return nil, err
	}
	if err := validator.Adopt(w.home, doc); err != nil {
		return nil, err
	}
	if err := w.amendGenesis(); err != nil {
		return nil, err
	}
	return w, w.copyGenesis()
}

// copyGenesis gives the other validators the ledger's first state.
func (w *world) copyGenesis() error {
	doc, err := cmttypes.GenesisDocFromFile(w.genesisFile())
	if err != nil {
		return err
	}
	for _, home := range w.homes {
		if err := validator.Adopt(home, doc); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) genesisFile() string { return filepath.Join(w.home, "config", "genesis.json") }

// people draws accounts and keys.
func (w *world) people(o options) error {
	var err error
	for range o.senders {
		if w.senders, err = appendAccount(w.senders); err != nil {
			return err
		}
	}
	for range carriers {
		if w.carriers, err = appendAccount(w.carriers); err != nil {
			return err
		}
	}
	codec := address.NewBech32Codec(client.Prefix)
	var raw [20]byte
	rand.Read(raw[:])
	w.model = canon.NewCID(canon.DagCBOR, canon.Sum(raw[:]))
	someone := func() string {
		rand.Read(raw[:])
		text, err := codec.BytesToString(raw[:])
		if err != nil {
			panic(err) // 20 bytes are an address
		}
		return text
	}
	for range o.sessions {
		if w.sessions, err = w.appendOpen(w.sessions, someone(), someone()); err != nil {
			return err
		}
	}
	for i := range o.sessions / 3 {
		if i%groupSize == 0 {
			if w.providers, err = appendAccount(w.providers); err != nil {
				return err
			}
		}
		if w.groups, err = w.appendOpen(w.groups, someone(), w.providers[i/groupSize].Account()); err != nil {
			return err
		}
	}
	return nil
}

// all are the sessions in the order of their IDs.
func (w *world) all() []open { return slices.Concat(w.sessions, w.groups) }

func (w *world) appendOpen(to []open, consumer, provider string) ([]open, error) {
	session, err := canon.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	identity, err := canon.GenerateKey(rand.Reader)
	w.newest = append(w.newest, 0)
	return append(to, open{id: uint64(len(w.newest)), consumer: consumer, provider: provider, session: session, identity: identity}), err
}

func appendAccount(all []*account) ([]*account, error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	key, err := client.NewAccountKey(secret)
	return append(all, &account{AccountKey: key}), err
}

// amendGenesis adds the sessions, and the coins that they lock.
func (w *world) amendGenesis() error {
	doc, err := cmttypes.GenesisDocFromFile(w.genesisFile())
	if err != nil {
		return err
	}
	var state app.Genesis
	if err := json.Unmarshal(doc.AppState, &state); err != nil {
		return err
	}
	var m marketpb.GenesisState
	if err := w.cdc.UnmarshalJSON(state[market.Name], &m); err != nil {
		return err
	}
	all := w.all()
	for _, s := range all {
		o, j := w.wire(s, m.Params, uint64(doc.GenesisTime.Unix()))
		m.Orders, m.Sessions = append(m.Orders, o), append(m.Sessions, j)
	}
	m.NextOrder = uint64(len(all)) + 1
	var bank banktypes.GenesisState
	if err := w.cdc.UnmarshalJSON(state[banktypes.ModuleName], &bank); err != nil {
		return err
	}
	held := sdk.NewCoins(sdk.NewCoin(app.Denom, sdkmath.NewInt(locked).MulRaw(int64(len(all)))))
	bank.Balances = append(bank.Balances, banktypes.Balance{Address: authtypes.NewModuleAddress(market.Name).String(), Coins: held})
	bank.Supply = bank.Supply.Add(held...)
	w.supply = bank.Supply.AmountOf(app.Denom)
	state[market.Name], state[banktypes.ModuleName] = w.cdc.MustMarshalJSON(&m), w.cdc.MustMarshalJSON(&bank)
	if doc.AppState, err = json.Marshal(state); err != nil {
		return err
	}
	return doc.SaveAs(w.genesisFile())
}

// wire is an open session and its order, as genesis states them.
func (w *world) wire(s open, p marketpb.Params, now uint64) (marketpb.Order, marketpb.Session) {
	terms := marketpb.Terms{Kind: job.Inference, Executor: "float/1", Model: w.model.String(), Assurance: uint64(job.Sampled),
		Privacy: string(job.Open), InputCeiling: 2000, OutputCeiling: 10_000, Escrow: locked, Step: locked, Patience: 60, Duration: duration}
	return marketpb.Order{Id: s.id, Consumer: s.consumer, SessionKey: s.session.Public().String(), Terms: terms,
			State: string(job.OrderMatched), Placed: now, Expires: now + terms.Patience},
		marketpb.Session{Id: s.id, Consumer: s.consumer, Provider: s.provider, SessionKey: s.session.Public().String(),
			ProviderKey: s.identity.Public().String(), Terms: terms, InputPrice: 200, OutputPrice: 1000, CloseWindow: p.CloseWindow,
			ChallengeWindow: p.ChallengeWindow, State: string(job.SessionOpen), Opened: now, Clock: now + duration,
			Escrow: marketpb.Escrow{Deposited: locked, Locked: locked}}
}

// start runs the node and asks it for the numbers of the accounts.
func (w *world) start(ctx context.Context) (err error) {
	homes := append([]string{w.home}, w.homes...)
	addresses, err := validator.ReserveP2P(homes...)
	if err != nil {
		return err
	}
	for i, home := range homes {
		c := validator.Config{Home: home, PlainShare: 1} // sends get whole blocks, as entries do
		for j, other := range homes {
			if j == i {
				continue
			}
			keys, err := validator.MakeKeys(other)
			if err != nil {
				return err
			}
			c.Peers = append(c.Peers, keys.Node+"@"+addresses[j])
		}
		v, err := validator.Start(ctx, c)
		if err != nil {
			return err
		}
		if i == 0 {
			w.node = v
		} else {
			w.others = append(w.others, v)
		}
	}
	if err := w.node.WaitBlock(ctx, 1); err != nil {
		return err
	}
	for _, a := range slices.Concat(w.providers, w.carriers, w.senders) {
		if a.number, err = w.number(ctx, a.Account()); err != nil {
			return err
		}
	}
	return nil
}

// stop ends all validators; a second call does nothing.
func (w *world) stop() (err error) {
	for _, v := range w.others {
		err = errors.Join(err, v.Stop())
	}
	if w.node != nil {
		err = errors.Join(err, w.node.Stop())
	}
	return err
}

func (w *world) number(ctx context.Context, address string) (uint64, error) {
	var r authtypes.QueryAccountInfoResponse
	request := &authtypes.QueryAccountInfoRequest{Address: address}
	answer, err := w.node.RPC().ABCIQuery(ctx, "/cosmos.auth.v1beta1.Query/AccountInfo", w.cdc.MustMarshal(request))
	if err != nil {
		return 0, err
	}
	if answer.Response.Code != 0 {
		return 0, fmt.Errorf("account %s: %s", address, answer.Response.Log)
	}
	if err := w.cdc.Unmarshal(answer.Response.Value, &r); err != nil {
		return 0, err
	}
	return r.Info.GetAccountNumber(), nil
}

// conserved accounts for every coin and session of the stopped node.
func (w *world) conserved() error {
	doc, err := validator.Export(w.home)
	if err != nil {
		return err
	}
	var state app.Genesis
	if err := json.Unmarshal(doc.AppState, &state); err != nil {
		return err
	}
	var m marketpb.GenesisState
	if err := w.cdc.UnmarshalJSON(state[market.Name], &m); err != nil {
		return err
	}
	if len(m.Sessions) != len(w.newest) {
		return fmt.Errorf("%d sessions are there, not %d", len(m.Sessions), len(w.newest))
	}
	owed := sdkmath.ZeroInt()
	for i, s := range m.Sessions {
		e := escrow.Account{Deposited: s.Escrow.Deposited, Locked: s.Escrow.Locked, Withheld: s.Escrow.Withheld,
			Paid: s.Escrow.Paid, Refunded: s.Escrow.Refunded}
		if !e.Balanced() {
			return fmt.Errorf("session %d is not balanced: %+v", s.Id, e)
		}
		if w.newest[i] > 0 && (s.Claim == nil || s.Claim.Seq != w.newest[i]) {
			return fmt.Errorf("session %d does not hold pair %d", s.Id, w.newest[i])
		}
		if s.State == string(job.SessionSettled) && e.Withheld != s.Claim.VoucherAmount {
			return fmt.Errorf("session %d withholds %d of the %d vouched for", s.Id, e.Withheld, s.Claim.VoucherAmount)
		}
		owed = owed.AddRaw(int64(e.Locked + e.Withheld))
	}
	return w.balanced(state, owed)
}

// balanced compares the coins that accounts hold with the supply, and those of
// the market with what it owes.
func (w *world) balanced(state app.Genesis, owed sdkmath.Int) error {
	var bank banktypes.GenesisState
	if err := w.cdc.UnmarshalJSON(state[banktypes.ModuleName], &bank); err != nil {
		return err
	}
	sum, held := sdkmath.ZeroInt(), sdkmath.ZeroInt()
	for _, b := range bank.Balances {
		sum = sum.Add(b.Coins.AmountOf(app.Denom))
		if b.Address == authtypes.NewModuleAddress(market.Name).String() {
			held = b.Coins.AmountOf(app.Denom)
		}
	}
	if !sum.Equal(w.supply) || !bank.Supply.AmountOf(app.Denom).Equal(w.supply) {
		return fmt.Errorf("accounts hold %s udlt of %s", sum, w.supply)
	}
	if !held.Equal(owed) {
		return fmt.Errorf("the market holds %s udlt and owes %s", held, owed)
	}
	return nil
}

// now is the newest block's time.
func (w *world) now(ctx context.Context) (time.Time, error) {
	s, err := w.node.RPC().Status(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return s.SyncInfo.LatestBlockTime, nil
}
