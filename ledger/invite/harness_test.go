package invite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	txsigning "github.com/cosmos/cosmos-sdk/x/tx/signing"
	"github.com/cosmos/gogoproto/proto"

	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/invite"
	pb "daulat/gen/invite"
	"daulat/ledger/record"
)

const (
	chainID = "daulat-test"
	rich    = 1_000_000_000 // udlt that each account starts with
	start   = 1_000_000     // block time, seconds
)

// bank keeps balances in the multistore of the invites, so that a branch that is
// thrown away takes its payments with it.
type bank struct {
	balances collections.Map[string, uint64]
	blocked  map[string]bool // accounts that can't be paid
}

func newBank(key *storetypes.KVStoreKey) *bank {
	b := collections.NewSchemaBuilder(runtime.NewKVStoreService(key))
	return &bank{blocked: map[string]bool{}, balances: collections.NewMap(b, collections.NewPrefix(0), "balances",
		collections.StringKey, collections.Uint64Value)}
}

func (b *bank) has(ctx context.Context, a sdk.AccAddress) uint64 {
	n, err := b.balances.Get(ctx, string(a))
	if err != nil && !errors.Is(err, collections.ErrNotFound) {
		panic(err)
	}
	return n
}

func (b *bank) move(ctx context.Context, from, to sdk.AccAddress, amt sdk.Coins) error {
	if len(amt) != 1 || amt[0].Denom != escrow.Denom {
		return fmt.Errorf("wrong coins %s", amt)
	}
	n, have := amt[0].Amount.Uint64(), b.has(ctx, from)
	if have < n {
		return errors.New("insufficient funds")
	}
	if err := b.balances.Set(ctx, string(from), have-n); err != nil {
		return err
	}
	return b.balances.Set(ctx, string(to), b.has(ctx, to)+n)
}

func (b *bank) SendCoinsFromAccountToModule(ctx context.Context, from sdk.AccAddress, module string, amt sdk.Coins) error {
	return b.move(ctx, from, authtypes.NewModuleAddress(module), amt)
}

func (b *bank) SendCoinsFromModuleToAccount(ctx context.Context, module string, to sdk.AccAddress, amt sdk.Coins) error {
	if b.blocked[string(to)] {
		return errors.New("account is blocked")
	}
	return b.move(ctx, authtypes.NewModuleAddress(module), to, amt)
}

func (b *bank) GetBalance(ctx context.Context, addr sdk.AccAddress, denom string) sdk.Coin {
	return sdk.NewCoin(denom, math.NewIntFromUint64(b.has(ctx, addr)))
}

// world is the module alone, with a bank of its own.
type world struct {
	t      testing.TB
	ctx    sdk.Context
	cdc    codec.Codec
	bank   *bank
	store  *Store
	module Module
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
	w := &world{t: t, cdc: newCodec(t), bank: newBank(keys["bank"])}
	w.ctx = testutil.DefaultContextWithKeys(keys, nil, nil).WithChainID(chainID).WithBlockHeight(1)
	w.at(start)
	w.store = NewStore(runtime.NewKVStoreService(keys[Name]), w.cdc, w.bank)
	w.module = NewModule(w.cdc, w.store)
	return w
}

// newWorld has limits that tests reach: 3 open invites, 1,000 udlt, 100 s.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := emptyWorld(t)
	w.check(w.store.load(w.ctx, &pb.GenesisState{Params: pb.Params{MaxOpen: 3, MaxGrant: 1000, MaxLife: 100}}))
	return w
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

func raw(n byte) sdk.AccAddress { return bytes.Repeat([]byte{n}, 20) }

// account is the account number n, without money unless it had some.
func (w *world) account(n byte) string {
	w.t.Helper()
	text, err := w.store.addresses.BytesToString(raw(n))
	w.check(err)
	return text
}

// rich is the account number n with money.
func (w *world) rich(n byte) string {
	w.t.Helper()
	w.check(w.bank.balances.Set(w.ctx, string(raw(n)), rich))
	return w.account(n)
}

func (w *world) has(n byte) uint64 { return w.bank.has(w.ctx, raw(n)) }

func key(n byte) canon.PrivateKey {
	k, err := canon.KeyFromSeed(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		panic(err)
	}
	return k
}

// deliver runs a message as the application does: an error undoes it. Then it
// audits the whole state.
func deliver[Q, R any](w *world, handle func(context.Context, Q) (R, error), m Q) error {
	w.t.Helper()
	w.ctx = w.ctx.WithEventManager(sdk.NewEventManager())
	err := record.Atomic(w.ctx, func(ctx sdk.Context) error {
		_, err := handle(ctx, m)
		return err
	})
	w.audit()
	return err
}

func (w *world) create(by string, k byte, grant, life uint64) error {
	w.t.Helper()
	return deliver(w, server{w.store}.Create, &pb.MsgCreate{Inviter: by, Key: key(k).Public().String(), Grant: grant, Expires: w.now() + life})
}

func (w *world) revoke(by string, k byte) error {
	w.t.Helper()
	return deliver(w, server{w.store}.Revoke, &pb.MsgRevoke{Inviter: by, Key: key(k).Public().String()})
}

func (w *world) redeem(by string, k byte, guest string) error {
	w.t.Helper()
	return deliver(w, server{w.store}.Redeem, redemption(by, k, guest))
}

// redemption is a message with a good proof.
func redemption(by string, k byte, guest string) *pb.MsgRedeem {
	c := invite.Claim{Chain: chainID, Key: key(k).Public(), Guest: guest}
	proof := key(k).Sign(invite.DomainRedeem, c)
	return &pb.MsgRedeem{Sender: by, Key: c.Key.String(), Guest: guest, Proof: proof[:]}
}

// block moves time on and ends a block.
func (w *world) block(seconds uint64) {
	w.t.Helper()
	w.at(w.now() + seconds)
	w.ctx = w.ctx.WithBlockHeight(w.ctx.BlockHeight() + 1).WithEventManager(sdk.NewEventManager())
	w.check(w.module.EndBlock(w.ctx))
	w.audit()
}

func (w *world) invite(k byte) invite.Invite {
	w.t.Helper()
	i, err := w.store.invite(w.ctx, key(k).Public())
	w.check(err)
	return i
}

// audit checks conservation, and that every index says what the invites say. A
// clock may be later than its invite's where a refund failed.
func (w *world) audit() {
	w.t.Helper()
	w.check(w.store.Conserved(w.ctx))
	clocks, open, guests, listed := map[string]uint64{}, map[string]uint64{}, map[string]string{}, map[string]string{}
	w.check(w.store.invites.Walk(w.ctx, nil, func(k []byte, i invite.Invite) (bool, error) {
		if err := i.Validate(); err != nil || !bytes.Equal(k, i.Key[:]) {
			w.t.Fatalf("%+v: %v", i, err)
		}
		if listed[string(k)] = i.Inviter; i.State == invite.Open {
			clocks[string(k)] = i.Expires
			open[i.Inviter]++
		}
		if i.Guest != "" {
			if guests[i.Guest] != "" {
				w.t.Fatalf("%s was a guest twice", i.Guest)
			}
			guests[i.Guest] = string(k)
		}
		return false, nil
	}))
	w.check(w.store.clocks.Walk(w.ctx, nil, func(k clockKey) (bool, error) {
		if at, ok := clocks[string(k.K2())]; ok && k.K1() >= at {
			delete(clocks, string(k.K2()))
		} else if k.K1() < w.now() {
			w.t.Fatalf("clock %v has run out and stands for nothing", k)
		}
		return false, nil
	}))
	w.check(w.store.open.Walk(w.ctx, nil, func(account string, n uint64) (bool, error) {
		if n == 0 || open[account] != n {
			w.t.Fatalf("%s has %d invites open and is counted with %d", account, open[account], n)
		}
		delete(open, account)
		return false, nil
	}))
	w.check(w.store.guests.Walk(w.ctx, nil, func(account string, k []byte) (bool, error) {
		if guests[account] != string(k) {
			w.t.Fatalf("%s is on record as a guest of %x", account, k)
		}
		delete(guests, account)
		return false, nil
	}))
	w.check(w.store.inviters.Walk(w.ctx, nil, func(k inviterKey) (bool, error) {
		if listed[string(k.K2())] != k.K1() {
			w.t.Fatalf("invite %x is listed for %s", k.K2(), k.K1())
		}
		delete(listed, string(k.K2()))
		return false, nil
	}))
	if len(clocks)+len(open)+len(guests)+len(listed) > 0 {
		w.t.Fatalf("not indexed: clocks %v, open %v, guests %v, listed %v", clocks, open, guests, listed)
	}
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
