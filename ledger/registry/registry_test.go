package registry

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cosmos/cosmos-sdk/codec"
	sdkaddress "github.com/cosmos/cosmos-sdk/codec/address"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	"github.com/cosmos/cosmos-sdk/testutil"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	txsigning "github.com/cosmos/cosmos-sdk/x/tx/signing"
	"github.com/cosmos/gogoproto/proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	pb "daulat/gen/registry"
	"daulat/ledger/record"
)

const chainID = "daulat-test"

// world is a registry alone.
type world struct {
	t      testing.TB
	ctx    sdk.Context
	cdc    codec.Codec
	store  *Store
	module Module
}

func newWorld(t testing.TB) *world {
	t.Helper()
	r, err := codectypes.NewInterfaceRegistryWithOptions(codectypes.InterfaceRegistryOptions{
		ProtoFiles: proto.HybridResolver,
		SigningOptions: txsigning.Options{AddressCodec: sdkaddress.NewBech32Codec("cosmos"),
			ValidatorAddressCodec: sdkaddress.NewBech32Codec("cosmosvaloper")},
	})
	if err != nil {
		t.Fatal(err)
	}
	keys := storetypes.NewKVStoreKeys(Name)
	w := &world{t: t, cdc: codec.NewProtoCodec(r)}
	w.ctx = testutil.DefaultContextWithKeys(keys, nil, nil).WithChainID(chainID).WithBlockTime(time.Unix(1_000_000, 0))
	w.store = NewStore(runtime.NewKVStoreService(keys[Name]), w.cdc)
	w.module = NewModule(w.cdc, w.store)
	w.module.InitGenesis(w.ctx, w.cdc, w.module.DefaultGenesis(w.cdc))
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// deliver runs a message as the application does: an error undoes it, and must
// have left nothing to undo either.
func deliver[Q, R any](w *world, handle func(context.Context, Q) (R, error), m Q) (R, error) {
	w.t.Helper()
	before := w.snapshot()
	r, err := handle(w.ctx, m)
	if err != nil && w.snapshot() != before {
		w.t.Fatalf("a refused %T changed the state: %v", m, err)
	}
	return r, err
}

func (w *world) snapshot() string { return string(w.module.ExportGenesis(w.ctx, w.cdc)) }

func (w *world) account(n byte) string {
	w.t.Helper()
	text, err := w.store.addresses.BytesToString(bytes.Repeat([]byte{n}, 20))
	w.check(err)
	return text
}

func key(n byte) canon.PrivateKey {
	k, err := canon.KeyFromSeed(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		panic(err)
	}
	return k
}

func claim(k canon.PrivateKey, chain, account string, addresses ...string) *pb.MsgRegisterProvider {
	sig := k.Sign(match.DomainProvider, match.Claim{Chain: chain, Account: account})
	return &pb.MsgRegisterProvider{Account: account, Key: k.Public().String(), Addresses: addresses, Proof: sig[:]}
}

func (w *world) register(n byte) {
	w.t.Helper()
	_, err := deliver(w, server{w.store}.RegisterProvider, claim(key(n), chainID, w.account(n), fmt.Sprintf("/ip4/10.0.0.%d/tcp/1", n)))
	w.check(err)
}

func model(n int) canon.CID {
	return canon.NewCID(canon.DagCBOR, canon.Sum([]byte{byte(n), byte(n >> 8)}))
}

func offer(account string, m canon.CID) *pb.MsgPutOffer {
	return &pb.MsgPutOffer{Provider: account, Model: m.String(), Executor: "float/1", InputPrice: 3, OutputPrice: 5, Assurance: 1, Slots: 2}
}

func manifest(t testing.TB, name string, parents ...canon.CID) ([]byte, string) {
	t.Helper()
	m := artifact.Manifest{Version: canon.Version, Name: name, Media: artifact.MediaModelGGUF, Licence: "Apache-2.0",
		Parts: []artifact.Part{{Role: artifact.Weights, Blob: canon.NewCID(canon.Raw, canon.Sum([]byte(name))), Size: 9}}, Parents: parents}
	data, id, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data, id.String()
}

func TestRegisterProvider(t *testing.T) {
	w := newWorld(t)
	a, b := w.account(1), w.account(2)
	long := strings.Repeat("x", MaxAddressBytes+1)
	for name, m := range map[string]*pb.MsgRegisterProvider{
		"another chain":     claim(key(1), "x", a),
		"another account":   {Account: b, Key: claim(key(1), chainID, a).Key, Proof: claim(key(1), chainID, a).Proof},
		"another key":       {Account: a, Key: key(2).Public().String(), Proof: claim(key(1), chainID, a).Proof},
		"no proof":          {Account: a, Key: key(1).Public().String()},
		"zero key":          {Account: a, Key: strings.Repeat("0", 64), Proof: make([]byte, 64)},
		"short key":         {Account: a, Key: "ab", Proof: make([]byte, 64)},
		"no account":        claim(key(1), chainID, "nobody"),
		"many addresses":    claim(key(1), chainID, a, strings.Split(strings.Repeat("a", MaxAddresses+1), "")...),
		"long address":      claim(key(1), chainID, a, long),
		"empty address":     claim(key(1), chainID, a, ""),
		"address not UTF-8": claim(key(1), chainID, a, "\xff"),
		"address not plain": claim(key(1), chainID, a, "/ip4/127.0.0.1\x1b[2J"),
	} {
		if _, err := deliver(w, server{w.store}.RegisterProvider, m); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}

	w.register(1)
	w.register(4)
	taken := claim(key(1), chainID, w.account(5))
	if _, err := deliver(w, server{w.store}.RegisterProvider, taken); err == nil || !strings.Contains(err.Error(), "belongs to another account") {
		t.Fatalf("a provider took another's key: %v", err)
	}
	stolen := key(1).Sign(match.DomainProvider, match.Claim{Chain: chainID, Account: b})
	if _, err := deliver(w, server{w.store}.RegisterProvider, &pb.MsgRegisterProvider{Account: b, Key: key(1).Public().String(), Proof: stolen[:]}); err == nil {
		t.Fatal("one key became two accounts'")
	}
	w.ctx = w.ctx.WithBlockTime(time.Unix(2_000_000, 0))
	w.register(1) // again: harmless
	before := w.snapshot()
	_, err := deliver(w, server{w.store}.RegisterProvider, claim(key(3), chainID, a, "/dns/a/tcp/2"))
	if err == nil || !strings.Contains(err.Error(), "rotate") || w.snapshot() != before {
		t.Fatalf("a key was changed without delay: %v", err)
	}
	_, err = deliver(w, server{w.store}.RegisterProvider, claim(key(1), chainID, a, "/dns/a/tcp/2"))
	w.check(err)
	r, err := queries{w.store}.Provider(w.ctx, &pb.QueryProvider{Account: strings.ToUpper(a)})
	w.check(err)
	if p := r.Provider; p.Key != key(1).Public().String() || p.Registered != 1_000_000 || len(p.Addresses) != 1 || p.Addresses[0] != "/dns/a/tcp/2" {
		t.Fatalf("%+v", p)
	}
	loud := claim(key(2), chainID, b)
	loud.Key = strings.ToUpper(loud.Key)
	_, err = deliver(w, server{w.store}.RegisterProvider, loud)
	w.check(err)
	if _, err = deliver(w, server{w.store}.RegisterProvider, claim(key(2), chainID, w.account(8))); err == nil {
		t.Fatal("one key in two spellings became two accounts'")
	}
	if _, err := (queries{w.store}).Provider(w.ctx, &pb.QueryProvider{Account: w.account(9)}); status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
}

func TestOffers(t *testing.T) {
	w := newWorld(t)
	a := w.account(1)
	if _, err := deliver(w, server{w.store}.PutOffer, offer(a, model(0))); err == nil {
		t.Fatal("an offer of no provider was taken")
	}
	w.register(1)
	w.register(2)
	for name, spoil := range map[string]func(*pb.MsgPutOffer){
		"no executor":        func(m *pb.MsgPutOffer) { m.Executor = "" },
		"long executor":      func(m *pb.MsgPutOffer) { m.Executor = strings.Repeat("x", match.MaxExecutor+1) },
		"executor not UTF-8": func(m *pb.MsgPutOffer) { m.Executor = "\xff" },
		"input price":        func(m *pb.MsgPutOffer) { m.InputPrice = match.MaxPrice + 1 },
		"output price":       func(m *pb.MsgPutOffer) { m.OutputPrice = match.MaxPrice + 1 },
		"assurance":          func(m *pb.MsgPutOffer) { m.Assurance = uint64(job.Proven) + 1 },
		"no slots":           func(m *pb.MsgPutOffer) { m.Slots = 0 },
		"many slots":         func(m *pb.MsgPutOffer) { m.Slots = match.MaxSlots + 1 },
		"no model":           func(m *pb.MsgPutOffer) { m.Model = "" },
		"raw model":          func(m *pb.MsgPutOffer) { m.Model = canon.NewCID(canon.Raw, canon.Sum(nil)).String() },
		"account":            func(m *pb.MsgPutOffer) { m.Provider = "nobody" },
	} {
		m := offer(a, model(0))
		spoil(m)
		if _, err := deliver(w, server{w.store}.PutOffer, m); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	for n := range MaxOffers {
		m := offer(a, model(n))
		m.Provider = strings.ToUpper(a)
		_, err := deliver(w, server{w.store}.PutOffer, m)
		w.check(err)
	}
	if _, err := deliver(w, server{w.store}.PutOffer, offer(a, model(MaxOffers))); err == nil {
		t.Fatal("one offer too many was taken")
	}
	again := offer(a, model(7))
	again.OutputPrice = 77
	_, err := deliver(w, server{w.store}.PutOffer, again)
	w.check(err)
	_, err = deliver(w, server{w.store}.PutOffer, offer(w.account(2), model(7)))
	w.check(err)

	offers, err := w.store.Offers(w.ctx)
	w.check(err)
	if len(offers) != MaxOffers+1 {
		t.Fatalf("%d offers", len(offers))
	}
	for _, o := range offers {
		n := byte(1)
		if o.Provider == w.account(2) {
			n = 2
		}
		want := match.Offer{Provider: w.account(n), Key: key(n).Public(), Model: o.Model, Executor: "float/1",
			Price: job.Price{Input: 3, Output: 5}, Assurance: job.Sampled, Slots: 2}
		if n == 1 && o.Model == model(7) {
			want.Price.Output = 77
		}
		if o != want {
			t.Fatalf("offer is %+v, not %+v", o, want)
		}
	}

	r, err := queries{w.store}.Offers(w.ctx, &pb.QueryOffers{Model: model(7).String()})
	if w.check(err); len(r.Offers) != 2 {
		t.Fatalf("%+v", r)
	}
	withdraw := &pb.MsgWithdrawOffer{Provider: a, Model: model(7).String()}
	_, err = deliver(w, server{w.store}.WithdrawOffer, withdraw)
	w.check(err)
	if _, err := deliver(w, server{w.store}.WithdrawOffer, withdraw); err == nil {
		t.Fatal("withdrawn twice")
	}
	r, err = queries{w.store}.Offers(w.ctx, &pb.QueryOffers{Model: model(7).String()})
	if w.check(err); len(r.Offers) != 1 || r.Offers[0].Provider != w.account(2) {
		t.Fatalf("%+v", r)
	}
}

func TestArtifacts(t *testing.T) {
	w := newWorld(t)
	put := func(owner string, data []byte) (string, error) {
		r, err := deliver(w, server{w.store}.RegisterArtifact, &pb.MsgRegisterArtifact{Owner: owner, Manifest: data})
		if err != nil {
			return "", err
		}
		return r.Id, nil
	}
	base, baseID := manifest(t, "base")
	parent, err := canon.ParseCID(baseID)
	w.check(err)
	child, childID := manifest(t, "child", parent)
	for name, data := range map[string][]byte{
		"nothing": nil, "trailing byte": append(bytes.Clone(base), 0), "not canonical": {0xbf, 0xff},
		"too long": make([]byte, artifact.MaxManifest+1), "orphan": child,
	} {
		if _, err := put(w.account(1), data); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	id, err := put(w.account(1), base)
	if w.check(err); id != baseID {
		t.Fatalf("ID is %s, not %s", id, baseID)
	}
	before := w.snapshot()
	w.ctx = w.ctx.WithBlockTime(time.Unix(2_000_000, 0))
	if id, err = put(w.account(2), base); err != nil || id != baseID || w.snapshot() != before {
		t.Fatalf("a second registration is not without effect: %v", err)
	}
	_, err = put(w.account(2), child)
	w.check(err)
	r, err := queries{w.store}.Artifact(w.ctx, &pb.QueryArtifact{Id: childID})
	w.check(err)
	if a := r.Artifact; a.Owner != w.account(2) || a.Name != "child" || a.Licence != "Apache-2.0" || a.Media != artifact.MediaModelGGUF ||
		len(a.Parents) != 1 || a.Parents[0] != baseID || !bytes.Equal(a.Manifest, child) || a.Registered != 2_000_000 {
		t.Fatalf("%+v", a)
	}
	list, err := queries{w.store}.Artifacts(w.ctx, &pb.QueryArtifacts{})
	if w.check(err); len(list.Artifacts) != 2 || list.Artifacts[0].Manifest != nil || list.Artifacts[1].Id == "" {
		t.Fatalf("%+v", list)
	}
	if _, err := (queries{w.store}).Artifact(w.ctx, &pb.QueryArtifact{Id: model(99).String()}); status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	if _, err := (queries{w.store}).Artifact(w.ctx, &pb.QueryArtifact{Id: "b"}); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
}

func TestPagesAreBounded(t *testing.T) {
	w := newWorld(t)
	const total = record.MaxPage + 20
	for n := range byte(total) {
		w.register(n + 1)
		_, err := server{w.store}.PutOffer(w.ctx, offer(w.account(n+1), model(1)))
		w.check(err)
	}
	page, seen := &query.PageRequest{Limit: 1 << 40}, map[string]bool{}
	for {
		r, err := queries{w.store}.Offers(w.ctx, &pb.QueryOffers{Model: model(1).String(), Pagination: page})
		w.check(err)
		if len(r.Offers) > record.MaxPage {
			t.Fatalf("a page has %d entries", len(r.Offers))
		}
		for _, o := range r.Offers {
			seen[o.Provider] = true
		}
		if page.Key = r.Pagination.NextKey; page.Key == nil {
			break
		}
	}
	if len(seen) != total {
		t.Fatalf("pages show %d of %d", len(seen), total)
	}
	first, err := queries{w.store}.Providers(w.ctx, &pb.QueryProviders{})
	if w.check(err); len(first.Providers) != record.MaxPage || first.Pagination.NextKey == nil {
		t.Fatalf("%d providers", len(first.Providers))
	}
	if _, err := (queries{w.store}).Providers(w.ctx, &pb.QueryProviders{Pagination: &query.PageRequest{Offset: 5}}); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
}

func fullWorld(t testing.TB) *world {
	w := newWorld(t)
	w.register(1)
	w.register(2)
	base, baseID := manifest(t, "base")
	parent, err := canon.ParseCID(baseID)
	w.check(err)
	child, _ := manifest(t, "child", parent)
	for _, data := range [][]byte{base, child} {
		_, err := server{w.store}.RegisterArtifact(w.ctx, &pb.MsgRegisterArtifact{Owner: w.account(3), Manifest: data})
		w.check(err)
	}
	for n := range 3 {
		_, err := server{w.store}.PutOffer(w.ctx, offer(w.account(2), model(n)))
		w.check(err)
	}
	// Account 1 has a key of every kind: revoked, dropped, in force, and next.
	w.check(w.revoke(1))
	w.check(w.rotate(1, 21))
	w.check(w.rotate(1, 22))
	w.wait(DefaultKeyDelay)
	w.check(w.rotate(1, 23))
	return w
}

func TestGenesisRoundTrip(t *testing.T) {
	w := fullWorld(t)
	first := w.module.ExportGenesis(w.ctx, w.cdc)
	again := newWorld(t)
	again.check(again.module.ValidateGenesis(again.cdc, nil, first))
	again.module.InitGenesis(again.ctx, again.cdc, first)
	if second := again.module.ExportGenesis(again.ctx, again.cdc); !bytes.Equal(first, second) {
		t.Fatalf("second export differs:\n%s\n%s", first, second)
	}
	one, err := w.store.Offers(w.ctx)
	w.check(err)
	two, err := again.store.Offers(again.ctx)
	if again.check(err); len(one) != 3 || fmt.Sprint(one) != fmt.Sprint(two) {
		t.Fatalf("%v %v", one, two)
	}
	for _, want := range []string{`"key_delay":"60"`, `"revoked":true`, `"revoked":false`, `"next_key":"` + key(23).Public().String()} {
		if !strings.Contains(string(first), want) {
			t.Errorf("genesis lacks %s", want)
		}
	}
	// Who owns which key, and what is revoked, came along.
	for _, n := range []byte{1, 2, 21, 22, 23} {
		if _, err := deliver(again, server{again.store}.RegisterProvider, claim(key(n), chainID, w.account(7))); err == nil {
			t.Fatalf("key %d became two accounts'", n)
		}
	}
	if again.rotate(1, 1) == nil {
		t.Fatal("a revoked key came back")
	}
	again.ctx = again.ctx.WithBlockTime(w.ctx.BlockTime())
	again.check(again.rotate(1, 21))
}

func TestBadGenesisIsRefused(t *testing.T) {
	w := fullWorld(t)
	for name, spoil := range map[string]func(*pb.GenesisState){
		"account twice":      func(g *pb.GenesisState) { g.Providers[1].Account = g.Providers[0].Account },
		"key twice":          func(g *pb.GenesisState) { g.Providers[1].Key = g.Providers[0].Key },
		"loud account":       func(g *pb.GenesisState) { g.Providers[0].Account = strings.ToUpper(g.Providers[0].Account) },
		"loud key":           func(g *pb.GenesisState) { g.Providers[0].Key = strings.ToUpper(g.Providers[0].Key) },
		"no delay":           func(g *pb.GenesisState) { g.Params.KeyDelay = 0 },
		"long delay":         func(g *pb.GenesisState) { g.Params.KeyDelay = MaxKeyDelay + 1 },
		"next key twice":     func(g *pb.GenesisState) { g.Providers[0].NextKey, g.Providers[0].KeyFrom = g.Providers[1].NextKey, 1 },
		"next key is key":    func(g *pb.GenesisState) { g.Providers[1].NextKey = g.Providers[1].Key },
		"loud next key":      func(g *pb.GenesisState) { g.Providers[1].NextKey = strings.ToUpper(g.Providers[1].NextKey) },
		"next key, no time":  func(g *pb.GenesisState) { g.Providers[1].KeyFrom = 0 },
		"time, no next key":  func(g *pb.GenesisState) { g.Providers[0].KeyFrom = 1 },
		"retired in force":   func(g *pb.GenesisState) { g.RetiredKeys[0].Key = g.Providers[0].Key },
		"retired twice":      func(g *pb.GenesisState) { g.RetiredKeys[0].Key = g.RetiredKeys[1].Key },
		"retired of nobody":  func(g *pb.GenesisState) { g.RetiredKeys[0].Account = w.account(9) },
		"loud retired key":   func(g *pb.GenesisState) { g.RetiredKeys[0].Key = strings.ToUpper(g.RetiredKeys[0].Key) },
		"zero retired key":   func(g *pb.GenesisState) { g.RetiredKeys[0].Key = strings.Repeat("0", 64) },
		"address":            func(g *pb.GenesisState) { g.Providers[0].Addresses = []string{""} },
		"offer of nobody":    func(g *pb.GenesisState) { g.Offers[0].Provider = w.account(9) },
		"offer twice":        func(g *pb.GenesisState) { g.Offers[0] = g.Offers[1] },
		"offer of no slots":  func(g *pb.GenesisState) { g.Offers[0].Slots = 0 },
		"artifact twice":     func(g *pb.GenesisState) { g.Artifacts = append(g.Artifacts, g.Artifacts[0]) },
		"other name":         func(g *pb.GenesisState) { g.Artifacts[0].Name += "x" },
		"other ID":           func(g *pb.GenesisState) { g.Artifacts[0].Id = g.Artifacts[1].Id },
		"loud owner":         func(g *pb.GenesisState) { g.Artifacts[0].Owner = strings.ToUpper(g.Artifacts[0].Owner) },
		"broken manifest":    func(g *pb.GenesisState) { g.Artifacts[0].Manifest = g.Artifacts[0].Manifest[1:] },
		"parent not on list": func(g *pb.GenesisState) { g.Artifacts = dropBase(g.Artifacts) },
	} {
		g, err := w.store.dump(w.ctx)
		w.check(err)
		spoil(g)
		again := newWorld(t)
		if again.store.load(again.ctx, g) == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	many := &pb.GenesisState{Params: pb.Params{KeyDelay: 1}, Providers: []pb.Provider{{Account: w.account(1), Key: key(1).Public().String()}}}
	for n := range MaxOffers + 1 {
		m := offer(w.account(1), model(n))
		many.Offers = append(many.Offers, pb.Offer{Provider: m.Provider, Model: m.Model, Executor: m.Executor, Slots: 1})
	}
	if newWorld(t).store.validate(many) == nil {
		t.Error("one offer too many was taken")
	}
	if w.module.ValidateGenesis(w.cdc, nil, []byte(`{"extra":1}`)) == nil {
		t.Error("an unknown field was taken")
	}
}

func dropBase(list []pb.Artifact) (rest []pb.Artifact) {
	for _, a := range list {
		if a.Name != "base" {
			rest = append(rest, a)
		}
	}
	return rest
}

func FuzzRegisterArtifact(f *testing.F) {
	w := newWorld(f)
	owner := w.account(1)
	data, _ := manifest(f, "seed")
	f.Add(data)
	f.Add([]byte{0xa0})
	f.Add(data[:len(data)-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		branch, _ := w.ctx.CacheContext()
		r, err := server{w.store}.RegisterArtifact(branch, &pb.MsgRegisterArtifact{Owner: owner, Manifest: data})
		if err == nil && r.Id != artifact.ID(data).String() {
			t.Fatalf("ID %s", r.Id)
		}
		g, err := w.store.dump(branch)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.validate(g); err != nil {
			t.Fatalf("what a message left is no genesis: %v", err)
		}
	})
}
