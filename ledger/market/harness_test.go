package market

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec"
	sdkaddress "github.com/cosmos/cosmos-sdk/codec/address"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	"github.com/cosmos/cosmos-sdk/testutil"
	sdk "github.com/cosmos/cosmos-sdk/types"
	txsigning "github.com/cosmos/cosmos-sdk/x/tx/signing"
	"github.com/cosmos/gogoproto/proto"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	pb "daulat/gen/market"
	"daulat/ledger/record"
	"daulat/ledger/registry"
)

var _ Registry = (*registry.Store)(nil)

const (
	chainID = "daulat-test"
	rich    = 1_000_000_000 // udlt that each account starts with
)

// bank keeps balances in the same multistore as the market, so that a branch
// that is thrown away takes its payments with it.
type bank struct {
	balances collections.Map[string, uint64]
	blocked  map[string]bool // accounts that can't be paid
}

var errBlocked = errors.New("account is blocked")

func newBank(key *storetypes.KVStoreKey) *bank {
	b := collections.NewSchemaBuilder(runtime.NewKVStoreService(key))
	return &bank{blocked: map[string]bool{}, balances: collections.NewMap(b, collections.NewPrefix(0), "balances",
		collections.StringKey, collections.Uint64Value)}
}

func (b *bank) move(ctx context.Context, from, to sdk.AccAddress, amt sdk.Coins) error {
	if len(amt) != 1 || amt[0].Denom != escrow.Denom {
		return fmt.Errorf("wrong coins %s", amt)
	}
	n := amt[0].Amount.Uint64()
	have, err := record.OrZero(b.balances.Get(ctx, string(from)))
	if err != nil {
		return err
	}
	if have < n {
		return errors.New("insufficient funds")
	}
	if err := b.balances.Set(ctx, string(from), have-n); err != nil {
		return err
	}
	has, err := record.OrZero(b.balances.Get(ctx, string(to)))
	if err != nil {
		return err
	}
	return b.balances.Set(ctx, string(to), has+n)
}

func (b *bank) SendCoinsFromAccountToModule(ctx context.Context, from sdk.AccAddress, module string, amt sdk.Coins) error {
	return b.move(ctx, from, authtypes.NewModuleAddress(module), amt)
}

func (b *bank) SendCoinsFromModuleToAccount(ctx context.Context, module string, to sdk.AccAddress, amt sdk.Coins) error {
	if b.blocked[string(to)] {
		return errBlocked
	}
	return b.move(ctx, authtypes.NewModuleAddress(module), to, amt)
}

func (b *bank) GetBalance(ctx context.Context, addr sdk.AccAddress, denom string) sdk.Coin {
	n, err := record.OrZero(b.balances.Get(ctx, string(addr)))
	if err != nil {
		panic(err)
	}
	return sdk.NewCoin(denom, math.NewIntFromUint64(n))
}

// providers is a registry in memory. Nothing that a message undoes changes it.
type providers struct {
	offers  []match.Offer
	revoked map[canon.PublicKey]bool
}

func (p *providers) Offers(context.Context) ([]match.Offer, error) {
	return slices.Clone(p.offers), nil
}

func (p *providers) Revoked(_ context.Context, key canon.PublicKey) (bool, error) {
	return p.revoked[key], nil
}

// revoke puts a provider's key out of force; its offers are left out of matching.
func (w *world) revoke(a actor) {
	w.registry.revoked[a.key.Public()] = true
	w.registry.offers = slices.DeleteFunc(w.registry.offers, func(o match.Offer) bool { return o.Provider == a.account })
}

// actor is an account with an identity or session key.
type actor struct {
	account string
	raw     sdk.AccAddress
	key     canon.PrivateKey
}

// world is a market alone, with a bank and a list of offers that are its own.
type world struct {
	t        testing.TB
	ctx      sdk.Context
	cdc      codec.Codec
	bank     *bank
	registry *providers
	store    *Store
	module   Module
}

func newCodec(t testing.TB) codec.Codec {
	t.Helper()
	r, err := codectypes.NewInterfaceRegistryWithOptions(codectypes.InterfaceRegistryOptions{
		ProtoFiles: proto.HybridResolver,
		SigningOptions: txsigning.Options{AddressCodec: sdkaddress.NewBech32Codec("cosmos"),
			ValidatorAddressCodec: sdkaddress.NewBech32Codec("cosmosvaloper")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return codec.NewProtoCodec(r)
}

// emptyWorld has no genesis yet.
func emptyWorld(t testing.TB) *world {
	t.Helper()
	keys := storetypes.NewKVStoreKeys(Name, "bank")
	w := &world{t: t, cdc: newCodec(t), bank: newBank(keys["bank"]), registry: &providers{revoked: map[canon.PublicKey]bool{}}}
	w.ctx = testutil.DefaultContextWithKeys(keys, nil, nil).WithChainID(chainID).WithBlockHeight(1)
	w.at(1_000_000)
	w.store = NewStore(runtime.NewKVStoreService(keys[Name]), w.cdc, w.bank, w.registry)
	w.module = NewModule(w.cdc, w.store)
	return w
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := emptyWorld(t)
	w.module.InitGenesis(w.ctx, w.cdc, w.module.DefaultGenesis(w.cdc))
	return w
}

// actor makes the account number n, with money.
func (w *world) actor(n byte) actor {
	w.t.Helper()
	raw := sdk.AccAddress(bytes.Repeat([]byte{n}, 20))
	account, err := w.store.addresses.BytesToString(raw)
	w.check(err)
	key, err := canon.KeyFromSeed(bytes.Repeat([]byte{n}, 32))
	w.check(err)
	if ok, err := w.bank.balances.Has(w.ctx, string(raw)); err == nil && !ok {
		w.check(w.bank.balances.Set(w.ctx, string(raw), rich))
	}
	return actor{account, raw, key}
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) now() uint64 { return record.Time(w.ctx) }

func (w *world) at(seconds uint64) {
	w.ctx = w.ctx.WithBlockTime(time.Unix(int64(seconds), 0).UTC())
}

func (w *world) balance(a actor) uint64 {
	return w.bank.GetBalance(w.ctx, a.raw, escrow.Denom).Amount.Uint64()
}

// deliver runs a message as the application does: an error undoes it. Then it
// audits the whole state.
func deliver[Q, R any](w *world, handle func(context.Context, Q) (R, error), m Q) (r R, err error) {
	w.t.Helper()
	w.ctx = w.ctx.WithEventManager(sdk.NewEventManager())
	err = record.Atomic(w.ctx, func(ctx sdk.Context) (err error) {
		r, err = handle(ctx, m)
		return err
	})
	w.audit()
	return r, err
}

// block moves time on and ends a block.
func (w *world) block(seconds uint64) {
	w.t.Helper()
	w.at(w.now() + seconds)
	w.ctx = w.ctx.WithBlockHeight(w.ctx.BlockHeight() + 1).WithEventManager(sdk.NewEventManager())
	w.check(w.module.EndBlock(w.ctx))
	w.audit()
}

// audit checks conservation, and that every index says what orders and sessions
// say. A clock may be later than its state's where a payment failed.
func (w *world) audit() {
	w.t.Helper()
	w.check(w.store.Conserved(w.ctx))
	open, busy, clocks := map[uint64]bool{}, map[string]uint64{}, map[[2]uint64]uint64{}
	w.check(w.store.orders.Walk(w.ctx, nil, func(id uint64, o job.Order) (bool, error) {
		if o.State == job.OrderOpen {
			open[id] = true
			clocks[[2]uint64{uint64(clockOrder), id}] = o.Expires
		}
		return false, nil
	}))
	w.check(w.store.sessions.Walk(w.ctx, nil, func(id uint64, s job.Session) (bool, error) {
		if s.State == job.SessionOpen {
			busy[s.Provider]++
		}
		if s.Clock != 0 {
			clocks[[2]uint64{uint64(clockSession), id}] = s.Clock
		}
		return false, nil
	}))
	w.check(w.store.open.Walk(w.ctx, nil, func(id uint64) (bool, error) {
		if !open[id] {
			w.t.Fatalf("order %d is indexed as open but is not", id)
		}
		delete(open, id)
		return false, nil
	}))
	w.check(w.store.busy.Walk(w.ctx, nil, func(p string, n uint64) (bool, error) {
		if busy[p] != n {
			w.t.Fatalf("provider %s holds %d sessions but is counted with %d", p, busy[p], n)
		}
		delete(busy, p)
		return false, nil
	}))
	w.check(w.store.clocks.Walk(w.ctx, nil, func(k clockKey) (bool, error) {
		if at, ok := clocks[[2]uint64{uint64(k.K2()), k.K3()}]; ok && k.K1() >= at {
			delete(clocks, [2]uint64{uint64(k.K2()), k.K3()})
		} else if k.K1() < w.now() {
			w.t.Fatalf("clock %v has run out and stands for nothing", k)
		}
		return false, nil
	}))
	if len(open)+len(busy)+len(clocks) > 0 {
		w.t.Fatalf("not indexed: open %v, busy %v, clocks %v", open, busy, clocks)
	}
}

var testModel = canon.NewCID(canon.DagCBOR, canon.Sum([]byte("model")))

func testTerms() pb.Terms {
	return pb.Terms{Kind: job.Inference, Executor: "float/1", Model: testModel.String(), Assurance: 1, Privacy: string(job.Open),
		InputCeiling: 100, OutputCeiling: 200, Escrow: 10_000, Step: 100, Patience: 600, Duration: 3000}
}

// offer puts an offer of p up.
func (w *world) offer(p actor, output, slots uint64) {
	w.registry.offers = append(w.registry.offers, match.Offer{Provider: p.account, Key: p.key.Public(), Model: testModel, Executor: "float/1",
		Price: job.Price{Input: 50, Output: output}, Assurance: job.Sampled, Slots: slots})
}

func (w *world) place(c actor, t pb.Terms) (uint64, error) {
	w.t.Helper()
	r, err := deliver(w, server{w.store}.PlaceOrder, &pb.MsgPlaceOrder{Consumer: c.account,
		SessionKey: c.key.Public().String(), Terms: t})
	if err != nil {
		return 0, err
	}
	return r.Order, nil
}

// opened places an order and clears it.
func (w *world) opened(c actor) uint64 {
	w.t.Helper()
	id, err := w.place(c, testTerms())
	w.check(err)
	w.block(1)
	if s := w.session(id); s.State != job.SessionOpen {
		w.t.Fatalf("session %d is %s", id, s.State)
	}
	return id
}

func (w *world) session(id uint64) job.Session {
	w.t.Helper()
	s, err := w.store.session(w.ctx, id)
	w.check(err)
	return s
}

func (w *world) order(id uint64) job.Order {
	w.t.Helper()
	o, err := w.store.order(w.ctx, id)
	w.check(err)
	return o
}

// pair signs a receipt and a voucher over the same history.
func pair(provider, consumer actor, session, seq, receiptAmount, voucherAmount uint64, final bool) receipt.Entry {
	root := canon.Sum([]byte{byte(seq)})
	e := receipt.Entry{
		Receipt: receipt.Receipt{Chain: chainID, Session: session, Seq: seq, Input: 10 * seq, Output: 20 * seq,
			Amount: receiptAmount, Root: root},
		Voucher: receipt.Voucher{Chain: chainID, Session: session, Seq: seq, Amount: voucherAmount, Root: root, Final: final},
	}
	return sign(provider, consumer, e)
}

func sign(provider, consumer actor, e receipt.Entry) receipt.Entry {
	e.ReceiptSignature = provider.key.Sign(receipt.DomainReceipt, e.Receipt)
	e.VoucherSignature = consumer.key.Sign(receipt.DomainVoucher, e.Voucher)
	return e
}

func wireEntry(e receipt.Entry, shut bool) pb.Entry {
	return pb.Entry{Session: e.Receipt.Session, Receipt: canon.MustMarshal(e.Receipt), ReceiptSignature: e.ReceiptSignature[:],
		Voucher: canon.MustMarshal(e.Voucher), VoucherSignature: e.VoucherSignature[:], Close: shut}
}

// settle brings entries and returns their results.
func (w *world) settle(by actor, entries ...pb.Entry) []pb.EntryResult {
	w.t.Helper()
	r, err := deliver(w, server{w.store}.Settle, &pb.MsgSettle{Sender: by.account, Entries: entries})
	w.check(err)
	if len(r.Results) != len(entries) {
		w.t.Fatalf("%d results for %d entries", len(r.Results), len(entries))
	}
	return r.Results
}

// events returns the attributes of the last step's events of one kind.
func (w *world) events(kind string) (found []map[string]string) {
	for _, e := range w.ctx.EventManager().Events() {
		if e.Type != kind {
			continue
		}
		m := map[string]string{}
		for _, a := range e.Attributes {
			m[a.Key] = a.Value
		}
		found = append(found, m)
	}
	return found
}
