package market

import (
	"strings"
	"testing"

	"daulat/core/job"
	pb "daulat/gen/market"
)

func TestFullLife(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 1)
	id, err := w.place(c, testTerms())
	w.check(err)
	if id != 1 || w.balance(c) != rich-10_000 {
		t.Fatalf("order %d, consumer has %d", id, w.balance(c))
	}
	if o := w.order(id); o.State != job.OrderOpen || o.Expires != w.now()+600 {
		t.Fatalf("order is %+v", o)
	}

	w.block(1)
	s := w.session(id)
	if w.order(id).State != job.OrderMatched || s.State != job.SessionOpen || s.Provider != p.account ||
		s.ProviderKey != p.key.Public() || s.Price.Output != 150 || s.Windows != DefaultWindows || s.Clock != w.now()+3000 {
		t.Fatalf("session is %+v", s)
	}
	if e := w.events("order_matched"); len(e) != 1 || e[0]["order"] != "1" || e[0]["provider"] != p.account {
		t.Fatalf("events %v", e)
	}

	r := w.settle(p, wireEntry(pair(p, c, id, 5, 4000, 4000, true), false))
	if r[0].Error != "" || r[0].State != string(job.SessionSettled) || r[0].Session != id {
		t.Fatalf("result %+v", r[0])
	}
	if e := w.events("session_changed"); len(e) != 1 || e[0]["reason"] != string(job.ReasonFinal) || e[0]["state"] != "settled" {
		t.Fatalf("events %v", e)
	}
	if w.balance(c) != rich-4000 || w.balance(p) != rich {
		t.Fatalf("consumer has %d, provider %d", w.balance(c), w.balance(p))
	}

	w.block(DefaultWindows.Challenge - 1)
	if w.balance(p) != rich {
		t.Fatal("pay is out before the challenge window ends")
	}
	w.block(1)
	if s := w.session(id); s.State != job.SessionReleased || w.balance(p) != rich+4000 || w.balance(c) != rich-4000 {
		t.Fatalf("session is %+v, provider has %d", s, w.balance(p))
	}
	if e := w.events("payment"); len(e) != 1 || e[0]["to"] != p.account || e[0]["amount"] != "4000" {
		t.Fatalf("events %v", e)
	}
	w.block(10 * DefaultWindows.Challenge)
	if w.balance(p) != rich+4000 || len(w.events("payment")) != 0 {
		t.Fatal("pay is out twice")
	}
}

func TestConsumerClosesAndProviderAnswers(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 4)
	id := w.opened(c)
	old, latest := pair(p, c, id, 1, 100, 100, false), pair(p, c, id, 9, 900, 900, false)
	if r := w.settle(c, wireEntry(old, true)); r[0].Error != "" || r[0].State != "closing" {
		t.Fatalf("%+v", r)
	}
	w.block(DefaultWindows.Close - 1)
	if r := w.settle(p, wireEntry(latest, false)); r[0].Error != "" || r[0].State != "closing" {
		t.Fatalf("%+v", r)
	}
	if r := w.settle(c, wireEntry(old, true)); !strings.Contains(r[0].Error, "newer pair") {
		t.Fatalf("stale pair: %+v", r)
	}
	w.block(1)
	s := w.session(id)
	if s.State != job.SessionSettled || s.Reason != job.ReasonConsumer || s.Escrow.Withheld != 900 || w.balance(c) != rich-900 {
		t.Fatalf("session is %+v", s)
	}
	w.block(DefaultWindows.Challenge)
	if w.balance(p) != rich+900 {
		t.Fatalf("provider has %d", w.balance(p))
	}
}

func TestProviderNeverAnswers(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 4)
	id := w.opened(c)
	if _, err := deliver(w, server{w.store}.CloseSession, &pb.MsgCloseSession{Sender: w.actor(3).account, Session: id}); err == nil {
		t.Fatal("a stranger closed a session")
	}
	_, err := deliver(w, server{w.store}.CloseSession, &pb.MsgCloseSession{Sender: c.account, Session: id})
	w.check(err)
	w.block(DefaultWindows.Close)
	if w.balance(c) != rich {
		t.Fatalf("consumer has %d", w.balance(c))
	}
	w.block(DefaultWindows.Challenge)
	if w.session(id).State != job.SessionReleased || w.balance(p) != rich {
		t.Fatalf("provider has %d", w.balance(p))
	}
}

func TestDeadlineEndsWhatNobodyEnds(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 4)
	id := w.opened(c)
	w.settle(p, wireEntry(pair(p, c, id, 3, 700, 600, false), false))
	w.block(3000)
	if s := w.session(id); s.State != job.SessionClosing || s.Reason != job.ReasonDeadline {
		t.Fatalf("session is %+v", s)
	}
	w.block(DefaultWindows.Close)
	w.block(DefaultWindows.Challenge)
	if w.balance(p) != rich+600 || w.balance(c) != rich-600 {
		t.Fatalf("provider has %d, consumer %d", w.balance(p), w.balance(c))
	}
}

func TestTopUp(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 4)
	id := w.opened(c)
	topUp := func(by actor, amount uint64) error {
		_, err := deliver(w, server{w.store}.TopUp, &pb.MsgTopUp{Consumer: by.account, Session: id, Amount: amount})
		return err
	}
	for name, err := range map[string]error{
		"by the provider": topUp(p, 5), "of nothing": topUp(c, 0), "beyond the balance": topUp(c, rich), "beyond 64 bits": topUp(c, 1<<64-1),
	} {
		if err == nil || w.balance(c) != rich-10_000 || w.balance(p) != rich {
			t.Fatalf("top up %s: %v", name, err)
		}
	}
	w.check(topUp(c, 5000))
	if w.session(id).Escrow.Locked != 15_000 || w.balance(c) != rich-15_000 {
		t.Fatalf("session is %+v", w.session(id))
	}
	w.settle(p, wireEntry(pair(p, c, id, 3, 1<<60, 1<<60, true), false))
	w.block(DefaultWindows.Challenge)
	if w.balance(p) != rich+15_000 {
		t.Fatal("pay is not capped at the escrow")
	}
	if topUp(c, 1) == nil {
		t.Fatal("a released session took money")
	}
}

func TestCancelAndExpire(t *testing.T) {
	w := newWorld(t)
	c := w.actor(1)
	first, err := w.place(c, testTerms())
	w.check(err)
	second, err := w.place(c, testTerms())
	w.check(err)
	cancel := func(by actor, id uint64) error {
		_, err := deliver(w, server{w.store}.CancelOrder, &pb.MsgCancelOrder{Consumer: by.account, Order: id})
		return err
	}
	if cancel(w.actor(2), first) == nil || cancel(c, 99) == nil || w.balance(c) != rich-20_000 {
		t.Fatal("a stranger cancelled, or an order that does not exist")
	}
	w.check(cancel(c, first))
	if w.balance(c) != rich-10_000 || cancel(c, first) == nil || w.balance(c) != rich-10_000 {
		t.Fatalf("consumer has %d", w.balance(c))
	}
	w.block(599)
	if w.order(second).State != job.OrderOpen {
		t.Fatal("expired too early")
	}
	w.block(1)
	if w.order(second).State != job.OrderExpired || w.balance(c) != rich {
		t.Fatalf("order is %+v, consumer has %d", w.order(second), w.balance(c))
	}
}

func TestBadOrdersChangeNothing(t *testing.T) {
	w := newWorld(t)
	c := w.actor(1)
	for name, spoil := range map[string]func(*pb.MsgPlaceOrder){
		"account":    func(m *pb.MsgPlaceOrder) { m.Consumer = "cosmos1nobody" },
		"no key":     func(m *pb.MsgPlaceOrder) { m.SessionKey = "" },
		"zero key":   func(m *pb.MsgPlaceOrder) { m.SessionKey = strings.Repeat("0", 64) },
		"kind":       func(m *pb.MsgPlaceOrder) { m.Terms.Kind = "mining" },
		"model":      func(m *pb.MsgPlaceOrder) { m.Terms.Model = "bafy" },
		"no escrow":  func(m *pb.MsgPlaceOrder) { m.Terms.Escrow = 0 },
		"not UTF-8":  func(m *pb.MsgPlaceOrder) { m.Terms.Executor = "float\xff" },
		"too dear":   func(m *pb.MsgPlaceOrder) { m.Terms.Escrow = rich + 1 },
		"patience":   func(m *pb.MsgPlaceOrder) { m.Terms.Patience = job.MaxPatience + 1 },
		"excluded":   func(m *pb.MsgPlaceOrder) { m.Terms.Excluded = []string{"nobody"} },
		"preferred":  func(m *pb.MsgPlaceOrder) { m.Terms.Preferred = []string{"nobody"} },
		"privacy A1": func(m *pb.MsgPlaceOrder) { m.Terms.Privacy = string(job.Private) },
	} {
		m := &pb.MsgPlaceOrder{Consumer: c.account, SessionKey: c.key.Public().String(), Terms: testTerms()}
		spoil(m)
		if _, err := deliver(w, server{w.store}.PlaceOrder, m); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	id, err := w.place(c, testTerms())
	if w.check(err); id != 1 || w.balance(c) != rich-10_000 {
		t.Fatalf("order %d, balance %d", id, w.balance(c))
	}
}

// Bech32 has a second spelling, in upper case, of which the SDK's signature
// check thinks the same; parties are compared as text.
func TestAccountsHaveOneForm(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 1)
	loud := c
	loud.account = strings.ToUpper(c.account)
	id := w.opened(loud)
	if got := w.session(id).Consumer; got != c.account {
		t.Fatalf("consumer is %s", got)
	}
	if r := w.settle(loud, wireEntry(pair(p, c, id, 1, 5, 5, false), true)); r[0].Error != "" {
		t.Fatalf("%+v", r)
	}
}

func TestExplanation(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	id, err := w.place(c, testTerms())
	w.check(err)
	w.block(1)
	if got := w.order(id).Explanation; got != "no provider offers anything yet" {
		t.Fatalf("explanation %q", got)
	}
	w.offer(p, 201, 1)
	w.block(1)
	got := w.order(id).Explanation
	if !strings.Contains(got, "the only offer asks more than the price ceiling") || !strings.Contains(got, p.account) {
		t.Fatalf("explanation %q", got)
	}
	w.registry.offers[0].Price.Output = 200
	w.block(1)
	if o := w.order(id); o.State != job.OrderMatched || o.Explanation != "" {
		t.Fatalf("order is %+v", o)
	}
}

// An order that excludes an account in upper case excludes it all the same.
func TestExcludedProvider(t *testing.T) {
	w := newWorld(t)
	c, cheap, dear := w.actor(1), w.actor(2), w.actor(3)
	w.offer(cheap, 100, 1)
	terms := testTerms()
	terms.Excluded = []string{strings.ToUpper(cheap.account)}
	id, err := w.place(c, terms)
	w.check(err)
	w.block(1)
	if got := w.order(id).Explanation; !strings.Contains(got, "the only offer is excluded by the order") {
		t.Fatalf("explanation %q", got)
	}
	w.offer(dear, 200, 1)
	w.block(1)
	if got := w.session(id); got.Provider != dear.account || got.Terms.Excluded[0] != cheap.account {
		t.Fatalf("session is %+v", got)
	}
}

// An order goes to whom it prefers, though another is cheaper, and a pinned one
// waits for its own.
func TestPreferredProvider(t *testing.T) {
	w := newWorld(t)
	c, cheap, dear, absent := w.actor(1), w.actor(2), w.actor(3), w.actor(4)
	w.offer(cheap, 100, 1)
	w.offer(dear, 200, 1)
	terms := testTerms()
	terms.Preferred = []string{absent.account, strings.ToUpper(dear.account)}
	id, err := w.place(c, terms)
	w.check(err)
	w.block(1)
	if got := w.session(id); got.Provider != dear.account || got.Terms.Preferred[1] != dear.account {
		t.Fatalf("session is %+v", got)
	}
	terms.Only = true
	id, err = w.place(c, terms)
	w.check(err)
	w.block(1)
	if got := w.order(id).Explanation; !strings.Contains(got, "1 is not one of those that the order names, 1 has no free slot") {
		t.Fatalf("explanation %q", got)
	}
	w.offer(absent, 200, 1)
	w.block(1)
	if got := w.session(id); got.Provider != absent.account || !got.Terms.Only {
		t.Fatalf("session is %+v", got)
	}
}

// An account holds so many orders and sessions and no more; what ends makes room again.
func TestOneAccountHoldsSoMany(t *testing.T) {
	w := newWorld(t)
	c, p, other := w.actor(1), w.actor(2), w.actor(3)
	w.offer(p, 150, job.MaxHeld)
	terms := testTerms()
	terms.Escrow = 100
	first, err := w.place(c, terms)
	w.check(err)
	for range job.MaxHeld - 1 {
		_, err := w.place(c, terms)
		w.check(err)
	}
	full := func(when string) {
		t.Helper()
		if _, err := w.place(c, terms); err == nil || !strings.Contains(err.Error(), "at most 256 orders and sessions open") {
			t.Fatalf("%s: %v", when, err)
		}
	}
	full("orders")
	w.block(1)
	if w.session(first).State != job.SessionOpen {
		t.Fatal("the first order opened no session")
	}
	full("sessions")
	_, err = w.place(other, terms)
	w.check(err)
	_, err = deliver(w, server{w.store}.CloseSession, &pb.MsgCloseSession{Sender: c.account, Session: first})
	w.check(err)
	_, err = w.place(c, terms)
	w.check(err)
	full("a session closed and an order came")
}

func TestSlotsAreCountedAcrossBlocks(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 1)
	first := w.opened(c)
	second, err := w.place(c, testTerms())
	w.check(err)
	w.block(1)
	if got := w.order(second).Explanation; !strings.Contains(got, "has 1 of 1 slots in use") {
		t.Fatalf("explanation %q", got)
	}
	w.settle(p, wireEntry(pair(p, c, first, 1, 5, 5, true), false))
	w.block(1)
	if w.session(second).State != job.SessionOpen {
		t.Fatal("the slot did not come free")
	}
}
