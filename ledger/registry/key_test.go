package registry

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	pb "daulat/gen/registry"
)

func (w *world) wait(seconds int64) {
	w.ctx = w.ctx.WithBlockTime(w.ctx.BlockTime().Add(time.Duration(seconds) * time.Second))
}

// rotation is account n's message to bind key k.
func (w *world) rotation(n, k byte) *pb.MsgRotateKey {
	w.t.Helper()
	c := claim(key(k), chainID, w.account(n))
	return &pb.MsgRotateKey{Account: c.Account, Key: c.Key, Proof: c.Proof}
}

func (w *world) rotate(n, k byte) error {
	w.t.Helper()
	_, err := deliver(w, server{w.store}.RotateKey, w.rotation(n, k))
	return err
}

func (w *world) revoke(n byte) error {
	w.t.Helper()
	_, err := deliver(w, server{w.store}.RevokeKey, &pb.MsgRevokeKey{Account: w.account(n)})
	return err
}

// signs checks that key k signs for account n, and is offered; 0 for none.
func (w *world) signs(n, k byte) {
	w.t.Helper()
	r, err := queries{w.store}.Provider(w.ctx, &pb.QueryProvider{Account: w.account(n)})
	w.check(err)
	all, err := queries{w.store}.Providers(w.ctx, &pb.QueryProviders{})
	w.check(err)
	if !slices.ContainsFunc(all.Providers, func(p pb.Provider) bool { return p.Account == r.Provider.Account && p.Key == r.Provider.Key }) {
		w.t.Fatalf("one says %+v, the list %+v", r.Provider, all.Providers)
	}
	offers, err := w.store.Offers(w.ctx)
	w.check(err)
	if k == 0 {
		if r.Provider.Key != "" || len(offers) != 0 {
			w.t.Fatalf("%+v, offers %+v", r.Provider, offers)
		}
		return
	}
	want := key(k).Public()
	if r.Provider.Key != want.String() || len(offers) != 1 || offers[0].Key != want {
		w.t.Fatalf("%+v, offers %+v", r.Provider, offers)
	}
}

func offered(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.register(1)
	_, err := deliver(w, server{w.store}.PutOffer, offer(w.account(1), model(1)))
	w.check(err)
	return w
}

func TestRotation(t *testing.T) {
	w := offered(t)
	w.ctx = w.ctx.WithEventManager(sdk.NewEventManager())
	w.check(w.rotate(1, 5))
	if e := w.ctx.EventManager().Events(); len(e) == 0 || e[len(e)-1].Type != "key_rotated" {
		t.Fatalf("events %v", e)
	}
	r, err := queries{w.store}.Provider(w.ctx, &pb.QueryProvider{Account: w.account(1)})
	w.check(err)
	if p := r.Provider; p.NextKey != key(5).Public().String() || p.KeyFrom != 1_000_000+DefaultKeyDelay || len(p.Addresses) != 1 {
		t.Fatalf("%+v", p)
	}
	w.wait(DefaultKeyDelay - 1)
	w.signs(1, 1)
	w.register(1) // does not touch what is under way
	w.wait(1)
	w.signs(1, 5)
	for name, m := range map[string]*pb.MsgRegisterProvider{
		"the old key": claim(key(1), chainID, w.account(1)), "another account's": claim(key(5), chainID, w.account(2)),
		"a given-up key of another": claim(key(1), chainID, w.account(2)),
	} {
		if _, err := deliver(w, server{w.store}.RegisterProvider, m); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	_, err = deliver(w, server{w.store}.RegisterProvider, claim(key(5), chainID, w.account(1), "/dns/a/tcp/2"))
	w.check(err)
	w.check(w.rotate(1, 1)) // one's own old key may come back
	w.wait(DefaultKeyDelay)
	w.signs(1, 1)
	w.check(w.rotate(1, 6))
	w.check(w.rotate(1, 1)) // takes it back
	w.wait(DefaultKeyDelay)
	w.signs(1, 1)
}

func TestRevocation(t *testing.T) {
	w := offered(t)
	w.check(w.revoke(1))
	w.signs(1, 0)
	if w.revoke(1) == nil {
		t.Fatal("nothing was revoked")
	}
	w.register(2)
	for _, n := range []byte{1, 2, 3} {
		if _, err := deliver(w, server{w.store}.RegisterProvider, claim(key(1), chainID, w.account(n))); err == nil {
			t.Errorf("account %d registered a revoked key", n)
		}
		if w.rotate(n, 1) == nil {
			t.Errorf("account %d bound a revoked key", n)
		}
	}
	w.check(w.rotate(1, 5))
	w.signs(1, 0)
	w.wait(DefaultKeyDelay)
	w.signs(1, 5)
	// A rotation under way survives, and the next key can be revoked in turn.
	w.check(w.rotate(1, 6))
	w.check(w.revoke(1))
	w.signs(1, 0)
	w.wait(DefaultKeyDelay)
	w.signs(1, 6)
	w.check(w.revoke(1))
	w.signs(1, 0)
	for _, k := range []byte{1, 5, 6} {
		if w.rotate(1, k) == nil {
			t.Errorf("revoked key %d came back", k)
		}
	}
	for k := byte(1); k < 8; k++ {
		revoked, err := w.store.Revoked(w.ctx, key(k).Public())
		if w.check(err); revoked != (k == 1 || k == 5 || k == 6) {
			t.Errorf("key %d is revoked: %t", k, revoked)
		}
	}
}

func TestBadRotationsChangeNothing(t *testing.T) {
	w := offered(t)
	w.register(2)
	edit := func(change func(*pb.MsgRotateKey)) *pb.MsgRotateKey {
		m := w.rotation(1, 5)
		change(m)
		return m
	}
	for name, m := range map[string]*pb.MsgRotateKey{
		"proof of the old key":   edit(func(m *pb.MsgRotateKey) { m.Proof = w.rotation(1, 1).Proof }),
		"proof for another":      edit(func(m *pb.MsgRotateKey) { m.Proof = w.rotation(2, 5).Proof }),
		"proof on another chain": edit(func(m *pb.MsgRotateKey) { m.Proof = claim(key(5), "x", m.Account).Proof }),
		"no proof":               edit(func(m *pb.MsgRotateKey) { m.Proof = nil }),
		"no key":                 edit(func(m *pb.MsgRotateKey) { m.Key = "" }),
		"zero key":               edit(func(m *pb.MsgRotateKey) { m.Key = strings.Repeat("0", 64) }),
		"another's key":          w.rotation(1, 2),
		"nobody":                 edit(func(m *pb.MsgRotateKey) { m.Account = "nobody" }),
	} {
		if _, err := deliver(w, server{w.store}.RotateKey, m); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if err := w.rotate(3, 5); !errors.Is(err, sdkerrors.ErrNotFound) {
		t.Errorf("rotated for no provider: %v", err)
	}
	if err := w.revoke(3); !errors.Is(err, sdkerrors.ErrNotFound) {
		t.Errorf("revoked for no provider: %v", err)
	}
	// A key that only waits is taken too.
	w.check(w.rotate(1, 5))
	if w.rotate(2, 5) == nil {
		t.Error("one key waits for two accounts")
	}
	w.ctx = w.ctx.WithKVGasConfig(storetypes.GasConfig{})
	gas := w.ctx.GasMeter().GasConsumed()
	_, err := server{w.store}.RotateKey(w.ctx, w.rotation(1, 6))
	w.check(err)
	if spent := w.ctx.GasMeter().GasConsumed() - gas; spent != authtypes.DefaultSigVerifyCostED25519 {
		t.Fatalf("a proof cost %d gas", spent)
	}
}
