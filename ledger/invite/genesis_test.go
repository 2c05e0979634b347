package invite

import (
	"strings"
	"testing"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"daulat/core/canon"
	"daulat/core/invite"
	pb "daulat/gen/invite"
	"daulat/ledger/record"
)

func moduleAccount() sdk.AccAddress { return authtypes.NewModuleAddress(Name) }

// busyWorld has invites in every state: the keys are 10 to 14.
func busyWorld(t testing.TB) *world {
	w := newWorld(t)
	alice, bob := w.rich(1), w.rich(2)
	w.check(w.create(alice, 10, 700, 10))
	w.check(w.create(alice, 11, 600, 90))
	w.check(w.create(alice, 12, 500, 90))
	w.check(w.create(bob, 13, 400, 90))
	w.check(w.redeem(bob, 11, w.account(3)))
	w.check(w.revoke(alice, 12))
	w.block(10)
	w.check(w.create(bob, 14, 300, 90))
	return w
}

func (w *world) restored(raw []byte) *world {
	again := emptyWorld(w.t)
	again.at(w.now())
	w.check(again.bank.balances.Set(again.ctx, string(moduleAccount()), w.bank.has(w.ctx, moduleAccount())))
	w.check(again.module.ValidateGenesis(again.cdc, nil, raw))
	again.module.InitGenesis(again.ctx, again.cdc, raw)
	again.audit()
	return again
}

func TestGenesisRoundTrip(t *testing.T) {
	w := busyWorld(t)
	first := w.module.ExportGenesis(w.ctx, w.cdc)
	for _, want := range []string{`"open"`, `"redeemed"`, `"revoked"`, `"expired"`, `"max_open":"3"`, `"ended":"1000010"`} {
		if !strings.Contains(string(first), want) {
			t.Errorf("genesis lacks %s", want)
		}
	}
	again := w.restored(first)
	if second := again.module.ExportGenesis(again.ctx, again.cdc); string(second) != string(first) {
		t.Fatalf("second export differs:\n%s\n%s", first, second)
	}
	// Both chains go on alike: who was a guest is known, and clocks are set.
	for _, x := range []*world{w, again} {
		if err := x.redeem(x.rich(7), 13, x.account(3)); err == nil || !strings.Contains(err.Error(), invite.ErrGuest.Error()) {
			t.Fatalf("a guest came twice: %v", err)
		}
		x.block(100)
		if x.invite(13).State != invite.Expired || x.invite(14).State != invite.Expired {
			t.Fatal("a clock is lost")
		}
	}
	// So does a chain that starts anew, with the limits of the documentation.
	fresh := emptyWorld(t)
	fresh.module.InitGenesis(fresh.ctx, fresh.cdc, fresh.module.DefaultGenesis(fresh.cdc))
	r, err := queries{fresh.store}.Params(fresh.ctx, &pb.QueryParams{})
	if fresh.check(err); r.Params != (pb.Params{MaxOpen: 64, MaxGrant: 100_000_000, MaxLife: 2_592_000}) {
		t.Fatalf("%+v", r.Params)
	}
}

func TestBadGenesisIsRefused(t *testing.T) {
	w := busyWorld(t)
	find := func(g *pb.GenesisState, state invite.State) *pb.Invite {
		for n := range g.Invites {
			if g.Invites[n].State == string(state) {
				return &g.Invites[n]
			}
		}
		t.Fatalf("no invite is %s", state)
		return nil
	}
	for name, spoil := range map[string]func(*pb.GenesisState){
		"no invites allowed":  func(g *pb.GenesisState) { g.Params.MaxOpen = 0 },
		"no grants allowed":   func(g *pb.GenesisState) { g.Params.MaxGrant = 0 },
		"no life":             func(g *pb.GenesisState) { g.Params.MaxLife = 0 },
		"long life":           func(g *pb.GenesisState) { g.Params.MaxLife = invite.LongestLife + 1 },
		"twice":               func(g *pb.GenesisState) { g.Invites[1] = g.Invites[0] },
		"no key":              func(g *pb.GenesisState) { g.Invites[0].Key = "" },
		"zero key":            func(g *pb.GenesisState) { g.Invites[0].Key = canon.PublicKey{}.String() },
		"loud inviter":        func(g *pb.GenesisState) { g.Invites[0].Inviter = strings.ToUpper(g.Invites[0].Inviter) },
		"no inviter":          func(g *pb.GenesisState) { g.Invites[0].Inviter = "" },
		"loud guest":          func(g *pb.GenesisState) { i := find(g, invite.Redeemed); i.Guest = strings.ToUpper(i.Guest) },
		"guest is nobody":     func(g *pb.GenesisState) { find(g, invite.Redeemed).Guest = "x" },
		"own guest":           func(g *pb.GenesisState) { i := find(g, invite.Redeemed); i.Guest = i.Inviter },
		"state":               func(g *pb.GenesisState) { g.Invites[0].State = "lost" },
		"open with an end":    func(g *pb.GenesisState) { find(g, invite.Open).Ended = start },
		"expired early":       func(g *pb.GenesisState) { find(g, invite.Expired).Ended = start },
		"never expires":       func(g *pb.GenesisState) { find(g, invite.Open).Expires = 1 << 62 },
		"no grant":            func(g *pb.GenesisState) { find(g, invite.Open).Grant = 0 },
		"guest of two":        func(g *pb.GenesisState) { twice(find(g, invite.Redeemed), find(g, invite.Revoked)) },
		"money missing":       func(g *pb.GenesisState) { find(g, invite.Open).Grant++ },
		"money of nobody":     func(g *pb.GenesisState) { i := find(g, invite.Open); i.State, i.Ended = "revoked", i.Made },
		"grant of a sum over": func(g *pb.GenesisState) { find(g, invite.Open).Grant = ^uint64(0) },
	} {
		g, err := w.store.dump(w.ctx)
		w.check(err)
		spoil(g)
		unbalanced := strings.HasPrefix(name, "money") || strings.HasPrefix(name, "grant of")
		if _, _, err := w.store.parse(g); (err == nil) != unbalanced {
			t.Errorf("%s: validation says %v", name, err)
		}
		again := emptyWorld(t)
		w.check(again.bank.balances.Set(again.ctx, string(moduleAccount()), w.bank.has(w.ctx, moduleAccount())))
		if again.store.load(again.ctx, g) == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if w.module.ValidateGenesis(w.cdc, nil, []byte(`{"params":{"max_open":"1","max_grant":"1","max_life":"1"},"extra":1}`)) == nil {
		t.Error("an unknown field was taken")
	}
}

// twice makes b redeemed by the guest of a.
func twice(a, b *pb.Invite) { b.State, b.Guest, b.Ended = a.State, a.Guest, a.Ended }

func TestQueries(t *testing.T) {
	w := busyWorld(t)
	q := queries{w.store}
	r, err := q.Invite(w.ctx, &pb.QueryInvite{Key: key(11).Public().String()})
	if w.check(err); r.Invite.State != "redeemed" || r.Invite.Guest != w.account(3) || r.Invite.Grant != 600 || r.Invite.Made != start {
		t.Fatalf("%+v", r.Invite)
	}
	if _, err := q.Invite(w.ctx, &pb.QueryInvite{Key: key(99).Public().String()}); status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	if _, err := q.Invite(w.ctx, &pb.QueryInvite{Key: "x"}); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	if _, err := q.Invites(w.ctx, &pb.QueryInvites{Inviter: "nobody"}); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	for _, page := range []*query.PageRequest{{Offset: 1}, {CountTotal: true}} {
		if _, err := q.Invites(w.ctx, &pb.QueryInvites{Pagination: page}); status.Code(err) != codes.InvalidArgument {
			t.Fatalf("%+v: %v", page, err)
		}
	}
	for party, n := range map[string]int{"": 5, w.account(1): 3, w.account(2): 2, w.account(3): 0} {
		r, err := q.Invites(w.ctx, &pb.QueryInvites{Inviter: party})
		if w.check(err); len(r.Invites) != n {
			t.Errorf("invites of %q: got %d", party, len(r.Invites))
		}
	}
}

func TestPagesAreBounded(t *testing.T) {
	w := emptyWorld(t)
	limits := pb.Params{MaxOpen: 1000, MaxGrant: 1000, MaxLife: 100}
	w.check(w.store.load(w.ctx, &pb.GenesisState{Params: limits}))
	const total = 2*record.MaxPage + 3
	alice := w.rich(1)
	for k := range byte(total) {
		w.check(w.create(alice, k+1, 1, 50))
	}
	for _, party := range []string{"", alice} {
		seen := map[string]bool{}
		page := &query.PageRequest{Limit: 1 << 60}
		for {
			r, err := queries{w.store}.Invites(w.ctx, &pb.QueryInvites{Inviter: party, Pagination: page})
			w.check(err)
			if len(r.Invites) > record.MaxPage {
				t.Fatalf("a page has %d entries", len(r.Invites))
			}
			for _, i := range r.Invites {
				seen[i.Key] = true
			}
			if page.Key = r.Pagination.NextKey; page.Key == nil {
				break
			}
		}
		if len(seen) != total {
			t.Fatalf("pages show %d of %d invites", len(seen), total)
		}
	}
}

// A page key comes from outside: whatever it holds, a query ends in an answer
// or an error, and shows nothing of another party.
func FuzzPageKey(f *testing.F) {
	w := busyWorld(f)
	alice := w.account(1)
	k := key(11).Public()
	f.Add(k[:], false)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), true)
	f.Add([]byte{1}, true)
	f.Fuzz(func(t *testing.T, at []byte, reverse bool) {
		page := &query.PageRequest{Key: at, Reverse: reverse}
		r, err := queries{w.store}.Invites(w.ctx, &pb.QueryInvites{Inviter: alice, Pagination: page})
		if err != nil {
			return
		}
		for _, i := range r.Invites {
			if i.Inviter != alice {
				t.Fatalf("invite of %s", i.Inviter)
			}
		}
	})
}
