package market

import (
	"strings"
	"testing"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"daulat/core/canon"
	"daulat/core/job"
	pb "daulat/gen/market"
)

// busyWorld has orders and sessions in every state, with and without claims.
func busyWorld(t testing.TB) *world {
	w := newWorld(t)
	g := &pb.GenesisState{NextOrder: 5, Params: pb.Params{CloseWindow: 70, ChallengeWindow: 500}}
	w.check(w.store.load(w.ctx, g))
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 9)
	released, settled, closing, open, empty := w.opened(c), w.opened(c), w.opened(c), w.opened(c), w.opened(c)
	cancelled, err := w.place(c, testTerms())
	w.check(err)
	_, err = deliver(w, server{w.store}.CancelOrder, &pb.MsgCancelOrder{Consumer: c.account, Order: cancelled})
	w.check(err)
	hopeless := testTerms()
	hopeless.OutputCeiling, hopeless.Patience, hopeless.Excluded = 3, 10, []string{p.account}
	_, err = w.place(c, hopeless)
	w.check(err)
	w.settle(p, wireEntry(pair(p, c, released, 4, 44, 45, true), false))
	w.check(w.complain(accusation(c, p, released, 2)))
	w.block(500)
	w.settle(p, wireEntry(pair(p, c, settled, 5, 55, 55, true), false),
		wireEntry(pair(p, c, closing, 6, 66, 60, false), true), wireEntry(pair(p, c, open, 7, 77, 77, false), false))
	hopeless.Patience = 1000
	_, err = w.place(c, hopeless)
	w.check(err)
	w.check(w.complain(accusation(c, p, open, 4)))
	w.check(w.complain(accusation(c, p, open, 9)))
	w.block(1)
	_, err = deliver(w, server{w.store}.TopUp, &pb.MsgTopUp{Consumer: c.account, Session: empty, Amount: 12})
	w.check(err)
	return w
}

func TestGenesisRoundTrip(t *testing.T) {
	w := busyWorld(t)
	first := w.module.ExportGenesis(w.ctx, w.cdc)
	for _, want := range []string{`"open"`, `"matched"`, `"cancelled"`, `"expired"`, `"closing"`, `"settled"`, `"released"`,
		`"close_window":"70"`, `"voucher_amount":"60"`, `"next_order":"13"`, `"explanation":"the only offer`, chainID,
		`"complaints":[{"session":"5","seq":"2"`, `"filed":"1000005"`} {
		if !strings.Contains(string(first), want) {
			t.Errorf("genesis lacks %s", want)
		}
	}
	again := emptyWorld(t)
	again.at(w.now())
	held := w.bank.GetBalance(w.ctx, authtypes.NewModuleAddress(Name), "udlt").Amount.Uint64()
	again.check(again.bank.balances.Set(again.ctx, string(authtypes.NewModuleAddress(Name)), held))
	again.check(again.module.ValidateGenesis(again.cdc, nil, first))
	again.module.InitGenesis(again.ctx, again.cdc, first)
	again.audit()
	if second := again.module.ExportGenesis(again.ctx, again.cdc); string(second) != string(first) {
		t.Fatalf("second export differs:\n%s\n%s", first, second)
	}
	// Both chains go on alike: every clock is still set.
	*again.registry = *w.registry
	for range 6 {
		w.block(1000)
		again.block(1000)
	}
	if w.snapshot() != again.snapshot() || w.count(job.OrderOpen) != 0 || w.stands(w.actor(2)) != again.stands(w.actor(2)) {
		t.Fatal("the restored chain goes on differently")
	}
}

func TestBadGenesisIsRefused(t *testing.T) {
	w := busyWorld(t)
	for name, spoil := range map[string]func(*pb.GenesisState){
		"no window":           func(g *pb.GenesisState) { g.Params.CloseWindow = 0 },
		"long window":         func(g *pb.GenesisState) { g.Params.ChallengeWindow = job.MaxWindow + 1 },
		"IDs from 0":          func(g *pb.GenesisState) { g.NextOrder = 0 },
		"ID to come":          func(g *pb.GenesisState) { g.NextOrder = 7 },
		"order twice":         func(g *pb.GenesisState) { g.Orders = append(g.Orders, g.Orders[0]) },
		"session twice":       func(g *pb.GenesisState) { g.Sessions[1] = g.Sessions[0] },
		"lost session":        func(g *pb.GenesisState) { g.Sessions = g.Sessions[1:] },
		"lost order":          func(g *pb.GenesisState) { g.Orders = g.Orders[1:] },
		"order state":         func(g *pb.GenesisState) { g.Orders[0].State = "lost" },
		"session state":       func(g *pb.GenesisState) { g.Sessions[0].State = "lost" },
		"loud account":        func(g *pb.GenesisState) { g.Orders[5].Consumer = strings.ToUpper(g.Orders[5].Consumer) },
		"loud provider":       func(g *pb.GenesisState) { g.Sessions[0].Provider = strings.ToUpper(g.Sessions[0].Provider) },
		"other consumer":      func(g *pb.GenesisState) { g.Sessions[0].Consumer = g.Sessions[0].Provider },
		"price over ceiling":  func(g *pb.GenesisState) { g.Sessions[0].OutputPrice = 201 },
		"unbalanced":          func(g *pb.GenesisState) { g.Sessions[0].Escrow.Deposited++ },
		"wrapped":             func(g *pb.GenesisState) { g.Sessions[3].Escrow.Paid, g.Sessions[3].Escrow.Refunded = 1<<63, 1<<63 },
		"no clock":            func(g *pb.GenesisState) { g.Sessions[1].Clock = 0 },
		"clock after all":     func(g *pb.GenesisState) { g.Sessions[0].Clock = 1 },
		"no window left":      func(g *pb.GenesisState) { g.Sessions[0].CloseWindow = 0 },
		"never expires":       func(g *pb.GenesisState) { g.Orders[7].Expires = 1 << 62 },
		"forged claim":        func(g *pb.GenesisState) { g.Sessions[0].Claim.ReceiptAmount++ },
		"claim elsewhere":     func(g *pb.GenesisState) { g.Sessions[0].Claim.Chain = "x" },
		"unreadable":          func(g *pb.GenesisState) { g.Orders[7].Explanation = "\xff" },
		"complaint twice":     func(g *pb.GenesisState) { g.Complaints[1] = g.Complaints[2] },
		"complaint forged":    func(g *pb.GenesisState) { g.Complaints[0].Receipt.Amount++ },
		"complaint of none":   func(g *pb.GenesisState) { g.Complaints[0].Session = 99 },
		"complaint elsewhere": func(g *pb.GenesisState) { g.Complaints[0].Provider = g.Complaints[0].Consumer },
		"complaint of others": func(g *pb.GenesisState) { g.Complaints[0].Session = 6 },
		"complaint seq":       func(g *pb.GenesisState) { g.Complaints[0].Seq = 0 },
		"complaint model":     func(g *pb.GenesisState) { g.Complaints[0].Model = "b" },
		"complaint root":      func(g *pb.GenesisState) { g.Complaints[0].Receipt.Root = "" },
		"complaint evidence":  func(g *pb.GenesisState) { g.Complaints[0].Evidence = canon.Hash{}.String() },
		"complaint signature": func(g *pb.GenesisState) { g.Complaints[0].Receipt.Signature = "" },
		"complaints too many": func(g *pb.GenesisState) {
			for seq := range uint64(MaxComplaints) {
				c := g.Complaints[0]
				c.Seq = 50 + seq
				g.Complaints = append(g.Complaints, c)
			}
		},
		"money missing": func(g *pb.GenesisState) { g.Orders[7].Terms.Escrow++ },
	} {
		g, err := w.store.dump(w.ctx)
		w.check(err)
		spoil(g)
		if _, err := w.store.parse(g); err == nil && name != "money missing" {
			t.Errorf("%s: passes validation", name)
		}
		again := emptyWorld(t)
		held := w.bank.GetBalance(w.ctx, authtypes.NewModuleAddress(Name), "udlt").Amount.Uint64()
		again.check(again.bank.balances.Set(again.ctx, string(authtypes.NewModuleAddress(Name)), held))
		if again.store.load(again.ctx, g) == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if w.module.ValidateGenesis(w.cdc, nil, []byte(`{"params":{"close_window":"1","challenge_window":"1"},"next_order":"1","extra":1}`)) == nil {
		t.Error("an unknown field was taken")
	}
}
