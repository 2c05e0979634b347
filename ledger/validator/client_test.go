package validator_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coretypes "github.com/cometbft/cometbft/rpc/core/types"
	"github.com/cosmos/cosmos-sdk/codec/address"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/ledger/app"
	"daulat/ledger/client"
	"daulat/ledger/market"
	"daulat/ledger/validator"
)

func TestOneDenomAndPrefix(t *testing.T) {
	if app.Denom != client.Denom || app.Prefix != client.Prefix {
		t.Fatal("application and client disagree on coin or address prefix")
	}
}

func network(t *testing.T) *validator.Validator {
	home := t.TempDir()
	if err := validator.Init(home, genesis(t)); err != nil {
		t.Fatal(err)
	}
	return start(t, home)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// lastAccount is one whose address comes after most others.
func lastAccount(t *testing.T) *client.AccountKey {
	t.Helper()
	for n := uint64(0); ; n++ {
		k, err := client.NewAccountKey(binary.BigEndian.AppendUint64(make([]byte, 24), n+1))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := address.NewBech32Codec(client.Prefix).StringToBytes(k.Account())
		if err != nil {
			t.Fatal(err)
		}
		if raw[0] == 0xff {
			return k
		}
	}
}

func TestTransfers(t *testing.T) {
	v := network(t)
	ctx := t.Context()
	alice, bob := as(t, v, aliceSeed), key(t, bobSeed).Account()

	t.Run("concurrent", func(t *testing.T) { // and through two clients of one account
		rpc := must[client.RPC](t)(client.Dial(v.RPCAddress()))
		other := client.New(rpc, chain, key(t, aliceSeed))
		var group sync.WaitGroup
		for i := range 20 {
			c := alice
			if i%2 == 0 {
				c = other
			}
			group.Go(func() {
				if err := c.Send(ctx, bob, 1); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if got := balance(t, alice, bob); got != fortune+20 {
			t.Fatalf("bob has %d", got)
		}
	})
	t.Run("too much", func(t *testing.T) {
		err := alice.Send(ctx, bob, fortune*2)
		var refusal *client.TxError
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "insufficient funds") || !client.Unfunded(err) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("account without coins", func(t *testing.T) {
		if err := as(t, v, strangerSeed).Send(ctx, bob, 1); !errors.Is(err, client.ErrNoAccount) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("account that would be the last one", func(t *testing.T) { // beside the nonces, which are empty
		trust, err := alice.Trust(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if known, err := client.NewVerified(v.RPC(), trust, lastAccount(t), nil).Registered(ctx); err != nil || known {
			t.Fatalf("known: %t, %v", known, err)
		}
	})
	t.Run("module account", func(t *testing.T) {
		blocked := authtypes.NewModuleAddress(stakingtypes.BondedPoolName).String()
		if err := alice.Send(ctx, blocked, 1); err == nil || !strings.Contains(err.Error(), "not allowed to receive") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("other chain", func(t *testing.T) {
		if err := client.New(v.RPC(), "other", key(t, aliceSeed)).Send(ctx, bob, 1); err == nil {
			t.Fatal("signed for another chain")
		}
	})
	t.Run("read only", func(t *testing.T) {
		if err := client.New(v.RPC(), chain, nil).Send(ctx, bob, 1); !errors.Is(err, client.ErrReadOnly) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("absent", func(t *testing.T) {
		if _, err := alice.Order(ctx, 99); !errors.Is(err, client.ErrNotFound) {
			t.Fatalf("got %v", err)
		}
		if _, err := alice.SessionRecord(ctx, 99); !errors.Is(err, client.ErrNotFound) {
			t.Fatalf("got %v", err)
		}
	})
}

// identity is the provider's, session the consumer's key.
var identity, session = ed25519Key(0x51), ed25519Key(0x52)

func ed25519Key(seed byte) canon.PrivateKey {
	k, err := canon.KeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		panic(err)
	}
	return k
}

func manifest(t *testing.T) ([]byte, canon.CID) {
	t.Helper()
	m := artifact.Manifest{Version: canon.Version, Name: "tiny", Media: artifact.MediaModelGGUF, Licence: "Apache-2.0",
		Parts: []artifact.Part{{Role: artifact.Weights, Blob: canon.NewCID(canon.Raw, canon.Sum([]byte("weights"))), Size: 7}},
		Model: &artifact.Model{Semantics: "float/1", Architecture: "llama", Context: 128}}
	data, id, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data, id
}

// pair is what both sides signed after seq requests.
func pair(id, seq, amount uint64, final bool) receipt.Entry {
	root := canon.Sum([]byte("range"))
	e := receipt.Entry{
		Receipt: receipt.Receipt{Chain: chain, Session: id, Seq: seq, Input: 10, Output: 10, Amount: amount, Root: root},
		Voucher: receipt.Voucher{Chain: chain, Session: id, Seq: seq, Amount: amount, Root: root, Final: final},
	}
	e.ReceiptSignature = identity.Sign(receipt.DomainReceipt, e.Receipt)
	e.VoucherSignature = session.Sign(receipt.DomainVoucher, e.Voucher)
	return e
}

func height(t *testing.T, c *client.Client) int64 {
	t.Helper()
	h, _, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// enter makes bob a provider with an offer for the model of manifest.
func enter(t *testing.T, v *validator.Validator, alice, bob *client.Client) {
	t.Helper()
	ctx := t.Context()
	data, model := manifest(t)
	claim := identity.Sign(match.DomainProvider, match.Claim{Chain: chain, Account: bob.Account()})
	offer := match.Offer{Model: model, Executor: "float/1", Price: job.Price{Input: 1000, Output: 2000}, Slots: 4}
	news := match.Announcement{Key: identity.Public(), Proof: claim, Addresses: []string{"/ip4/127.0.0.1/tcp/1"},
		Manifests: [][]byte{data}, Offers: []match.Offer{offer}}
	if err := alice.Announce(ctx, news); err == nil {
		t.Fatal("a provider registered with another's key")
	}
	if err := bob.Announce(ctx, news); err != nil {
		t.Fatal(err)
	}
	if p := must[client.Provider](t)(alice.Provider(ctx, bob.Account())); p.Key != identity.Public() || len(p.Addresses) != 1 {
		t.Fatalf("provider %+v", p)
	}
	if got := must[[]byte](t)(alice.Artifact(ctx, model)); !bytes.Equal(got, data) {
		t.Fatal("another manifest came back")
	}
	if all := must[[]client.Artifact](t)(alice.Artifacts(ctx)); len(all) != 1 || all[0].ID != model {
		t.Fatalf("artifacts %+v", all)
	}
	offer.Provider = bob.Account()
	if all := must[[]match.Offer](t)(alice.Offers(ctx, model)); len(all) != 1 || all[0] != offer {
		t.Fatalf("offers %+v", all)
	}
	strange := client.NewVerified(v.RPC(), must[client.Trust](t)(alice.Trust(ctx)), key(t, bobSeed), nil)
	for name, c := range map[string]*client.Client{"its own node": bob, "a stranger's": strange} {
		if !must[bool](t)(c.Offered(ctx, model)) || must[bool](t)(c.Offered(ctx, canon.NewCID(canon.DagCBOR, canon.Hash{8}))) {
			t.Fatalf("%s does not show which offers there are", name)
		}
	}
	if must[bool](t)(alice.Offered(ctx, model)) {
		t.Fatal("another's offer is hers")
	}
	// What the ledger shows is not sent again; a change alone is.
	quiet := height(t, bob)
	if err := bob.Announce(ctx, news); err != nil {
		t.Fatal(err)
	}
	for h := quiet + 1; h <= height(t, bob); h++ {
		if b := must[*coretypes.ResultBlock](t)(v.RPC().Block(ctx, &h)); len(b.Block.Txs) > 0 {
			t.Fatal("a transaction said what the ledger shows")
		}
	}
	for _, offer.Slots = range []uint64{5, 4} {
		news.Offers[0].Slots = offer.Slots
		if err := bob.Announce(ctx, news); err != nil {
			t.Fatal(err)
		}
		if all := must[[]match.Offer](t)(alice.Offers(ctx, model)); len(all) != 1 || all[0] != offer {
			t.Fatalf("changed offers %+v", all)
		}
	}
}

func ask(model canon.CID) job.Terms {
	return job.Terms{Version: canon.Version, Kind: job.Inference, Executor: "float/1", Model: model, Privacy: job.Open,
		Ceiling: job.Price{Input: 1000, Output: 2000}, Escrow: 100_000, Step: 1000, Patience: 600, Duration: 3600}
}

func TestMarket(t *testing.T) {
	v := network(t)
	ctx := t.Context()
	alice, bob := as(t, v, aliceSeed), as(t, v, bobSeed)
	_, model := manifest(t)
	trust := must[client.Trust](t)(alice.Trust(ctx))

	enter(t, v, alice, bob)

	// An order becomes a session in the block that takes it.
	terms := ask(model)
	terms.Excluded = []string{alice.Account()}
	id := must[uint64](t)(alice.PlaceOrder(ctx, session.Public(), terms))
	if o := must[job.Order](t)(alice.Order(ctx, id)); o.State != job.OrderMatched || !o.Terms.Equal(terms) || o.SessionKey != session.Public() {
		t.Fatalf("order %+v", o)
	}
	s := must[job.Session](t)(alice.Session(ctx, id))
	if s.State != job.SessionOpen || s.Provider != bob.Account() || s.Windows != (job.Windows{Close: 1, Challenge: 1}) {
		t.Fatalf("session %+v", s)
	}
	if err := alice.TopUp(ctx, id, 50_000); err != nil {
		t.Fatal(err)
	}

	// An order that nobody serves explains itself and is taken back.
	low := terms
	low.Ceiling = job.Price{}
	unserved := must[uint64](t)(alice.PlaceOrder(ctx, session.Public(), low))
	if o := must[job.Order](t)(alice.Order(ctx, unserved)); o.State != job.OrderOpen || !strings.Contains(o.Explanation, "ceiling") {
		t.Fatalf("order %+v", o)
	}
	if err := alice.CancelOrder(ctx, unserved); err != nil {
		t.Fatal(err)
	}
	if got := balance(t, alice, alice.Account()); got != fortune-150_000 {
		t.Fatalf("alice has %d", got)
	}

	// A good pair and a bad one in one transaction.
	forged := pair(id, 2, 30_000, false)
	forged.Receipt.Amount++
	results := must[[]error](t)(bob.Settle(ctx, []client.Settlement{{Entry: pair(id, 1, 20_000, false)}, {Entry: forged}}))
	if results[0] != nil || results[1] == nil {
		t.Fatalf("results %v", results)
	}
	// More than one message may bring: an account that was long away brings them all.
	many := must[[]error](t)(bob.Settle(ctx, slices.Repeat([]client.Settlement{{Entry: forged}}, market.MaxEntries+1)))
	if len(many) != market.MaxEntries+1 || slices.Contains(many, nil) {
		t.Fatalf("%d results of one more than a batch: %v", len(many), many)
	}
	typed := must[job.Session](t)(alice.Session(ctx, id))
	record := must[[]byte](t)(alice.SessionRecord(ctx, id))
	if !bytes.Equal(canon.MustMarshal(typed), record) || typed.Claim == nil {
		t.Fatal("typed answer and stored record differ")
	}

	// The record is proven to one who knows the trust line alone.
	proof := must[[]byte](t)(alice.ProveSession(ctx, id, trust.Height))
	proven, err := client.VerifySession(trust, proof, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(proven.Record, record) || proven.Session.ID != id || proven.Height < trust.Height {
		t.Fatalf("proven %+v", proven)
	}
	t.Logf("proof of %d bytes", len(proof))
	if _, err := alice.ProveSession(ctx, 99, trust.Height); !errors.Is(err, client.ErrNotFound) {
		t.Fatalf("proof of nothing: %v", err)
	}

	// The same from a chain of one's own with the same name is refused.
	forger := network(t)
	fake := must[client.Trust](t)(as(t, forger, aliceSeed).Trust(ctx))
	if fake.GenesisHash == trust.GenesisHash {
		t.Fatal("two ledgers have one genesis hash")
	}
	if _, err := client.VerifySession(fake, proof, time.Now()); !errors.Is(err, client.ErrRoot) {
		t.Fatalf("proof of another chain: %v", err)
	}

	// A final voucher settles; what is left goes back, pay comes after the window.
	last := must[[]error](t)(bob.Settle(ctx, []client.Settlement{{Entry: pair(id, 3, 40_000, true)}}))
	if last[0] != nil {
		t.Fatal(last[0])
	}
	if got := balance(t, alice, alice.Account()); got != fortune-40_000 {
		t.Fatalf("alice has %d", got)
	}
	height, _, err := alice.Status(ctx)
	for err == nil && must[job.Session](t)(alice.Session(ctx, id)).State != job.SessionReleased {
		height, err = alice.WaitBlock(ctx, height)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := balance(t, bob, bob.Account()); got != fortune+40_000 {
		t.Fatalf("bob has %d", got)
	}
	if all := must[[]job.Session](t)(alice.Sessions(ctx, bob.Account(), job.SessionReleased)); len(all) != 1 {
		t.Fatalf("sessions %+v", all)
	}
}
