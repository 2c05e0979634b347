package app_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto/ed25519"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/baseapp"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/gogoproto/proto"

	registrypb "daulat/gen/registry"
	"daulat/ledger/app"
	"daulat/ledger/client"
	"daulat/ledger/validator"
)

const chain = "daulat-test"

// The accounts, in the order in which the genesis numbers them.
const (
	operatorSeed byte = iota + 1
	aliceSeed
	bobSeed
)

// key makes an account that is the same at each call.
func key(t *testing.T, seed byte) *client.AccountKey {
	t.Helper()
	k, err := client.NewAccountKey(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// bare is a ledger's application alone, in memory, without a node around it.
type bare struct {
	*app.App
	t      *testing.T
	start  *abci.RequestInitChain
	height int64
	now    time.Time
	sent   int
}

// newBare starts a ledger, with a larger block than new ones have if gas is not 0.
func newBare(t *testing.T, gas int64) *bare {
	t.Helper()
	operator := validator.Founder{Account: key(t, operatorSeed).Account(), Keys: validator.Keys{Validator: ed25519.GenPrivKey().PubKey()}}
	doc, err := validator.NewGenesis(validator.Genesis{ChainID: chain, Accounts: []validator.Funding{
		{Address: key(t, aliceSeed).Account(), Amount: 1_000_000}, {Address: key(t, bobSeed).Account(), Amount: 1_000_000}}}, []validator.Founder{operator})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(log.NewNopLogger(), dbm.NewMemDB(), t.TempDir(), baseapp.SetChainID(chain))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	params := doc.ConsensusParams.ToProto()
	if gas != 0 {
		params.Block.MaxGas = gas
	}
	b := &bare{App: a, t: t, now: doc.GenesisTime, start: &abci.RequestInitChain{ChainId: chain, Time: doc.GenesisTime, ConsensusParams: &params,
		AppStateBytes: doc.AppState, InitialHeight: 1}}
	if _, err := a.InitChain(b.start); err != nil {
		t.Fatal(err)
	}
	b.block()
	return b
}

// block commits txs and returns what became of each; what still waits is then looked
// at again, as a node does.
func (b *bare) block(txs ...[]byte) []*abci.ExecTxResult {
	b.t.Helper()
	b.height, b.now = b.height+1, b.now.Add(time.Second)
	r, err := b.FinalizeBlock(&abci.RequestFinalizeBlock{Height: b.height, Time: b.now, Txs: txs})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.Commit(); err != nil {
		b.t.Fatal(err)
	}
	return r.TxResults
}

func (b *bare) check(raw []byte, kind abci.CheckTxType) *abci.ResponseCheckTx {
	b.t.Helper()
	r, err := b.CheckTx(&abci.RequestCheckTx{Tx: raw, Type: kind})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// proposal is what the node would put into the next block.
func (b *bare) proposal() [][]byte {
	b.t.Helper()
	r, err := b.PrepareProposal(&abci.RequestPrepareProposal{Height: b.height + 1, Time: b.now.Add(time.Second), MaxTxBytes: b.start.ConsensusParams.Block.MaxBytes})
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Txs
}

// tx is an unordered transaction; each has a timeout of its own.
func (b *bare) tx(seed byte, gas uint64, msgs ...sdk.Msg) []byte {
	b.t.Helper()
	b.sent++
	timeout := b.now.Add(time.Minute + time.Duration(b.sent)*time.Microsecond)
	return b.signed(seed, gas, 0, &txtypes.TxBody{Unordered: true, TimeoutTimestamp: &timeout}, msgs)
}

func (b *bare) signed(seed byte, gas, sequence uint64, body *txtypes.TxBody, msgs []sdk.Msg) []byte {
	b.t.Helper()
	for _, m := range msgs {
		body.Messages = append(body.Messages, packed(b.t, m))
	}
	k := key(b.t, seed)
	single := &txtypes.ModeInfo_Single_{Single: &txtypes.ModeInfo_Single{Mode: signing.SignMode_SIGN_MODE_DIRECT}}
	info := encoded(b.t, &txtypes.AuthInfo{Fee: &txtypes.Fee{GasLimit: gas},
		SignerInfos: []*txtypes.SignerInfo{{PublicKey: packed(b.t, k.PublicKey()), Sequence: sequence, ModeInfo: &txtypes.ModeInfo{Sum: single}}}})
	raw := encoded(b.t, body)
	signature, err := k.Sign(encoded(b.t, &txtypes.SignDoc{BodyBytes: raw, AuthInfoBytes: info, ChainId: chain, AccountNumber: uint64(seed - operatorSeed)}))
	if err != nil {
		b.t.Fatal(err)
	}
	return encoded(b.t, &txtypes.TxRaw{BodyBytes: raw, AuthInfoBytes: info, Signatures: [][]byte{signature}})
}

func packed(t *testing.T, m proto.Message) *codectypes.Any {
	t.Helper()
	a, err := codectypes.NewAnyWithValue(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sends are n transfers of an account to itself.
func sends(t *testing.T, seed byte, n int) (all []sdk.Msg) {
	account := key(t, seed).Account()
	for range n {
		all = append(all, &banktypes.MsgSend{FromAddress: account, ToAddress: account, Amount: sdk.NewCoins(sdk.NewCoin(client.Denom, sdkmath.OneInt()))})
	}
	return all
}

const sendGas = 200_000

// TestFloodLeavesOthersTheirPlace: one account sends until nothing more is taken. What
// others send is taken, is in the very next block, and that block is a short one.
func TestFloodLeavesOthersTheirPlace(t *testing.T) {
	b := newBare(t, 0)
	taken := 0
	for range app.MaxWaiting {
		r := b.check(b.tx(aliceSeed, sendGas, sends(t, aliceSeed, 1)...), abci.CheckTxType_New)
		if r.Code != 0 {
			if !strings.HasPrefix(r.Log, "as many transactions of this account wait") {
				t.Fatal(r.Log)
			}
			break
		}
		taken++
	}
	if taken < 100 || taken > app.MaxWaiting/4 {
		t.Fatalf("one account has %d transactions waiting", taken)
	}
	honest := b.tx(bobSeed, sendGas, sends(t, bobSeed, 1)...)
	if r := b.check(honest, abci.CheckTxType_New); r.Code != 0 {
		t.Fatalf("another account's is refused: %s", r.Log)
	}
	market := b.tx(bobSeed, sendGas, &registrypb.MsgWithdrawOffer{Provider: key(t, bobSeed).Account(), Model: "none"})
	if r := b.check(market, abci.CheckTxType_New); r.Code != 0 {
		t.Fatalf("a message of the network is refused: %s", r.Log)
	}
	first := b.proposal()
	if n := len(first); n != 1+app.MaxBlockGas/app.PlainShare/sendGas {
		t.Fatalf("a block holds %d transactions", n)
	}
	if string(first[0]) != string(market) || string(first[2]) != string(honest) {
		t.Fatal("others wait behind the flood")
	}
	if r, err := b.ProcessProposal(&abci.RequestProcessProposal{Height: b.height + 1, Time: b.now.Add(time.Second), Txs: first}); err != nil || r.Status != abci.ResponseProcessProposal_ACCEPT {
		t.Fatalf("the block is not taken: %v", err)
	}
	b.block(first...)
	if second := b.proposal(); len(second) == 0 || slices.ContainsFunc(second, func(raw []byte) bool {
		return slices.ContainsFunc(first, func(before []byte) bool { return string(before) == string(raw) })
	}) {
		t.Fatal("the next block repeats what is in this one")
	}
	if r := b.check(b.tx(aliceSeed, sendGas, sends(t, aliceSeed, 1)...), abci.CheckTxType_New); r.Code != 0 {
		t.Fatalf("a block makes no room: %s", r.Log)
	}
	// What got too old leaves when it is looked at again.
	b.now = b.now.Add(time.Hour)
	b.block()
	waiting := b.proposal()
	for _, raw := range waiting {
		if r := b.check(raw, abci.CheckTxType_Recheck); r.Code == 0 {
			t.Fatal("a transaction outlives its timeout")
		}
	}
	if after := b.proposal(); len(after) > 0 && string(after[0]) == string(waiting[0]) {
		t.Fatal("a transaction that got too old still waits")
	}
}

// TestLargeTransactionsAreRefused: by each node at its door, and in a block that
// somebody made without that door.
func TestLargeTransactionsAreRefused(t *testing.T) {
	b := newBare(t, 0)
	none := make([]sdk.Msg, 257)
	for i := range none {
		none[i] = &registrypb.MsgWithdrawOffer{Provider: key(t, aliceSeed).Account(), Model: "none"}
	}
	long := sends(t, aliceSeed, 1)
	long[0].(*banktypes.MsgSend).ToAddress = strings.Repeat("a", app.MaxTxBytes)
	for _, c := range []struct {
		want string
		gas  uint64
		msgs []sdk.Msg
	}{
		{"a transaction has at most 256 messages, not 257", 1, none},
		{fmt.Sprintf("a transaction has at most %d bytes", app.MaxTxBytes), 1, long},
		{"a transaction like this may ask for 8000000 gas at most, not 8000001", 8_000_001, sends(t, aliceSeed, 1)},
		{"a transaction like this may ask for 20000000 gas at most, not 20000001", 20_000_001, none[:1]},
	} {
		raw := b.tx(aliceSeed, c.gas, c.msgs...)
		if r := b.check(raw, abci.CheckTxType_New); r.Code == 0 || !strings.HasPrefix(r.Log, c.want) {
			t.Errorf("%s: the door says %d %s", c.want, r.Code, r.Log)
		}
		if r := b.block(raw)[0]; r.Code == 0 || !strings.HasPrefix(r.Log, c.want) {
			t.Errorf("%s: the block says %d %s", c.want, r.Code, r.Log)
		}
		if _, _, err := b.Simulate(raw); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: the dry run says %v", c.want, err)
		}
	}
	for _, raw := range [][]byte{b.tx(aliceSeed, 8_000_000, sends(t, aliceSeed, 1)...), b.tx(aliceSeed, 20_000_000, none[:256]...)} {
		if r := b.check(raw, abci.CheckTxType_New); r.Code != 0 {
			t.Errorf("the largest are refused: %s", r.Log)
		}
	}
	// A dry run needs no gas limit, and yet has one.
	if _, _, err := b.Simulate(b.tx(aliceSeed, 0, sends(t, aliceSeed, 50)...)); err != nil {
		t.Errorf("a dry run of 50 sends: %v", err)
	}
	var outputs []banktypes.Output
	coin := sdk.NewCoins(sdk.NewCoin(client.Denom, sdkmath.OneInt()))
	for i := range 1000 {
		to := sdk.AccAddress(fmt.Sprintf("%020d", i)).String()
		outputs = append(outputs, banktypes.Output{Address: to, Coins: coin})
	}
	all := &banktypes.MsgMultiSend{Inputs: []banktypes.Input{{Address: key(t, aliceSeed).Account(), Coins: sdk.NewCoins(sdk.NewCoin(client.Denom, sdkmath.NewInt(1000)))}}, Outputs: outputs}
	if _, _, err := b.Simulate(b.tx(aliceSeed, 0, all)); err == nil || !strings.Contains(err.Error(), "out of gas") {
		t.Errorf("a dry run of 1,000 new accounts: %v", err)
	}
}

// TestBlocksAreSmall: a new ledger says so in its genesis, and a node makes no larger
// ones where the genesis is older.
func TestBlocksAreSmall(t *testing.T) {
	if got := newBare(t, 0).start.ConsensusParams.Block; got.MaxBytes != app.MaxBlockBytes || got.MaxGas != app.MaxBlockGas {
		t.Errorf("blocks of %d bytes and %d gas", got.MaxBytes, got.MaxGas)
	}
	old := newBare(t, 500_000_000)
	for range 6 {
		if r := old.check(old.tx(aliceSeed, 8_000_000, sends(t, aliceSeed, 1)...), abci.CheckTxType_New); r.Code != 0 {
			t.Fatal(r.Log)
		}
	}
	if n := len(old.proposal()); n != app.MaxBlockGas/app.PlainShare/8_000_000 {
		t.Errorf("a block on an older ledger holds %d of the largest transactions", n)
	}
}

// TestSequencesKeepTheirOrder: transactions with sequence numbers fail in any other.
func TestSequencesKeepTheirOrder(t *testing.T) {
	b := newBare(t, 0)
	var sent [][]byte
	for i, msgs := range [][]sdk.Msg{sends(t, aliceSeed, 1), {&registrypb.MsgWithdrawOffer{Provider: key(t, aliceSeed).Account(), Model: "none"}}, sends(t, aliceSeed, 1)} {
		sent = append(sent, b.signed(aliceSeed, sendGas, uint64(i), &txtypes.TxBody{}, msgs))
		if r := b.check(sent[i], abci.CheckTxType_New); r.Code != 0 {
			t.Fatal(r.Log)
		}
	}
	if got := b.proposal(); !slices.EqualFunc(got, sent, slices.Equal[[]byte]) {
		t.Fatal("they are in another order")
	}
}
