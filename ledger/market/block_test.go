package market

import (
	"fmt"
	"testing"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"daulat/core/job"
	"daulat/core/match"
	pb "daulat/gen/market"
)

// placeMany places n orders without looking at the state in between, and as if they
// were many accounts', of which each has few.
func (w *world) placeMany(c actor, n int, t pb.Terms) {
	w.t.Helper()
	for range n {
		_, err := server{w.store}.PlaceOrder(w.ctx, &pb.MsgPlaceOrder{Consumer: c.account,
			SessionKey: c.key.Public().String(), Terms: t})
		w.check(err)
		w.check(w.store.held.Remove(w.ctx, c.account))
	}
}

func (w *world) count(state job.OrderState) (n int) {
	w.t.Helper()
	w.check(w.store.orders.Walk(w.ctx, nil, func(_ uint64, o job.Order) (bool, error) {
		if o.State == state {
			n++
		}
		return false, nil
	}))
	return n
}

func TestTicksAreBoundedAndInOrder(t *testing.T) {
	w := newWorld(t)
	c := w.actor(1)
	terms := testTerms()
	terms.Escrow = 100
	const extra = 7
	w.placeMany(c, MaxTicks+extra, terms)
	w.at(w.now() + 600)
	w.check(w.store.tick(w.ctx))
	if n := w.count(job.OrderOpen); n != extra {
		t.Fatalf("%d orders are left", n)
	}
	if w.order(MaxTicks).State != job.OrderExpired || w.order(MaxTicks+1).State != job.OrderOpen {
		t.Fatal("the order is not that of the clocks")
	}
	w.check(w.store.tick(w.ctx))
	if n := w.count(job.OrderOpen); n != 0 || w.balance(c) != rich {
		t.Fatalf("%d orders are left, balance %d", n, w.balance(c))
	}
}

// Orders that nobody serves fill a whole batch; one behind them is served all
// the same.
func TestClearingIsBoundedAndFair(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 10)
	hopeless := testTerms()
	hopeless.Escrow, hopeless.OutputCeiling = 100, 1
	w.placeMany(c, match.MaxClear, hopeless)
	id, err := w.place(c, testTerms())
	w.check(err)
	w.block(1)
	if w.order(1).Explanation == "" || w.order(id).State != job.OrderOpen || w.order(id).Explanation != "" {
		t.Fatalf("order is %+v", w.order(id))
	}
	w.block(1)
	if w.order(id).State != job.OrderMatched {
		t.Fatalf("order waits behind %d others: %+v", match.MaxClear, w.order(id))
	}
	late, err := w.place(c, testTerms())
	w.check(err)
	w.block(1)
	w.block(1)
	if w.order(late).State != job.OrderMatched {
		t.Fatal("the circle does not close")
	}
}

// With many offers a block takes fewer orders.
func TestTriesAreBounded(t *testing.T) {
	w := newWorld(t)
	c := w.actor(1)
	for range match.MaxTries / 2 {
		w.registry.offers = append(w.registry.offers, match.Offer{Provider: "p", Executor: "other"})
	}
	terms := testTerms()
	terms.Escrow = 100
	w.placeMany(c, 5, terms)
	w.check(w.store.clear(w.ctx))
	if w.order(2).Explanation == "" || w.order(3).Explanation != "" {
		t.Fatal("a block looks at more pairs than it may")
	}
}

// A payee that can't be paid neither stops the chain nor others, keeps its
// money in escrow, and is tried again.
func TestFailedPaymentWaits(t *testing.T) {
	w := newWorld(t)
	c, d := w.actor(1), w.actor(3)
	mine, err := w.place(c, testTerms())
	w.check(err)
	other, err := w.place(d, testTerms())
	w.check(err)
	w.bank.blocked[string(c.raw)] = true
	w.block(600)
	if w.order(mine).State != job.OrderOpen || w.order(other).State != job.OrderExpired {
		t.Fatalf("%+v %+v", w.order(mine), w.order(other))
	}
	if len(w.events("clock_failed")) != 1 || len(w.events("order_closed")) != 1 {
		t.Fatalf("events %v", w.ctx.EventManager().Events())
	}
	delete(w.bank.blocked, string(c.raw))
	w.block(1)
	if w.order(mine).State != job.OrderOpen {
		t.Fatal("tried again at once")
	}
	w.block(Retry)
	if w.order(mine).State != job.OrderExpired || w.balance(c) != rich {
		t.Fatalf("%+v", w.order(mine))
	}
}

// A clock that was put off while a message moved its session on does nothing.
func TestPutOffClockOfAMovedSession(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 4)
	id := w.opened(c)
	w.settle(c, wireEntry(pair(p, c, id, 1, 10, 10, false), true))
	w.bank.blocked[string(c.raw)] = true
	w.block(DefaultWindows.Close)
	if w.session(id).State != job.SessionClosing {
		t.Fatal("split without paying")
	}
	delete(w.bank.blocked, string(c.raw))
	if r := w.settle(p, wireEntry(pair(p, c, id, 1, 10, 10, true), false)); r[0].State != "settled" {
		t.Fatalf("%+v", r)
	}
	w.block(Retry)
	if w.session(id).State != job.SessionSettled || w.balance(p) != rich {
		t.Fatalf("%+v", w.session(id))
	}
	w.block(DefaultWindows.Challenge)
	if w.session(id).State != job.SessionReleased || w.balance(p) != rich+10 {
		t.Fatalf("%+v", w.session(id))
	}
}

// The draw between equal offers depends on the previous block's result and on
// nothing that differs between two machines.
func TestDrawIsThatOfTheBlock(t *testing.T) {
	run := func(app string) (winners string) {
		w := newWorld(t)
		c := w.actor(1)
		for n := byte(10); n < 20; n++ {
			w.offer(w.actor(n), 150, 1)
		}
		header := w.ctx.BlockHeader()
		header.AppHash, header.ChainID = []byte(app), chainID
		w.ctx = w.ctx.WithBlockHeader(header)
		w.placeMany(c, 10, testTerms())
		w.check(w.store.EndBlock(w.ctx))
		for id := range uint64(10) {
			winners += w.session(id+1).Provider + " "
		}
		return winners
	}
	if run("a") != run("a") {
		t.Fatal("the same block draws differently")
	}
	if run("a") == run("b") {
		t.Fatal("the draw does not depend on the block before")
	}
}

// Nothing due, nothing read but the head of the index: a block's gas does not
// grow with the sessions that wait.
func TestIdleBlockCostsTheSameWhateverWaits(t *testing.T) {
	cost := func(sessions int) uint64 {
		w := newWorld(t)
		c, p := w.actor(1), w.actor(2)
		w.offer(p, 150, 1000)
		w.placeMany(c, sessions, testTerms())
		w.block(1)
		before := w.ctx.GasMeter().GasConsumed()
		w.check(w.store.EndBlock(w.ctx))
		return w.ctx.GasMeter().GasConsumed() - before
	}
	if few, many := cost(2), cost(300); few != many {
		t.Fatalf("an idle block costs %d gas with 2 sessions and %d with 300", few, many)
	}
}

func BenchmarkTick(b *testing.B) {
	w := newWorld(b)
	terms := testTerms()
	terms.Escrow = 100
	w.placeMany(w.actor(1), MaxTicks, terms)
	w.at(w.now() + 600)
	for b.Loop() {
		branch, _ := w.ctx.CacheContext()
		if err := w.store.tick(branch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClear(b *testing.B) {
	for _, offers := range []int{10, 1000} {
		b.Run(fmt.Sprintf("offers=%d", offers), func(b *testing.B) {
			w := newWorld(b)
			for n := range offers {
				p := w.actor(2)
				p.account = sdk.AccAddress(fmt.Sprintf("%020d", n)).String()
				w.offer(p, 150, 1000)
			}
			terms := testTerms()
			terms.Escrow = 100
			w.placeMany(w.actor(1), match.MaxClear, terms)
			for b.Loop() {
				branch, _ := w.ctx.CacheContext()
				if err := w.store.clear(branch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
