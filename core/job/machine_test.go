package job_test

import (
	"reflect"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	"daulat/core/receipt"
)

const (
	chain    = "test-chain"
	consumer = "consumer"
	provider = "provider"
	stranger = "stranger"
)

func key(t testing.TB, name string) canon.PrivateKey {
	t.Helper()
	k, err := canon.GenerateKey(strings.NewReader(strings.Repeat(name, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testTerms() job.Terms {
	return job.Terms{Version: canon.Version, Kind: job.Inference, Executor: "float/1", Model: canon.NewCID(canon.DagCBOR, canon.Hash{1}),
		Assurance: job.Sampled, Privacy: job.Open, Ceiling: job.Price{Input: 1000, Output: 2000}, Escrow: 10, Step: 5, Patience: 2, Duration: 3}
}

// world is everything that the machines' rules act on.
type world struct {
	Now      uint64            `cbor:"now"`
	Order    job.Order         `cbor:"order"`
	Session  *job.Session      `cbor:"session,omitempty"`
	Wallets  map[string]uint64 `cbor:"wallets"`
	Revoked  bool              `cbor:"revoked"` // the provider's key
	ToppedUp bool              `cbor:"topped"`
}

func (w world) clone() world {
	c := w
	c.Wallets = map[string]uint64{}
	for k, v := range w.Wallets {
		c.Wallets[k] = v
	}
	if w.Session != nil {
		s := *w.Session
		c.Session = &s
	}
	return c
}

func (w *world) pay(payments []escrow.Payment) {
	for _, p := range payments {
		w.Wallets[p.To] += p.Amount
	}
}

func (w world) money() uint64 {
	sum := w.Wallets[consumer] + w.Wallets[provider]
	if w.Session != nil {
		return sum + w.Session.Escrow.Locked + w.Session.Escrow.Withheld
	}
	if w.Order.State == job.OrderOpen {
		return sum + w.Order.Terms.Escrow
	}
	return sum
}

func (w world) final() bool {
	if w.Session != nil {
		return w.Session.State == job.SessionReleased
	}
	return w.Order.State != job.OrderOpen
}

// event is one thing that may happen; it returns false where the rules refuse.
type event struct {
	name string
	do   func(*world) bool
}

// explorer walks the machines through every interleaving of the events.
type explorer struct {
	t       *testing.T
	events  []event
	seen    map[canon.Hash]bool
	vouched uint64 // the most that the consumer ever signed
}

func (x *explorer) visit(w world) {
	id := canon.Sum(canon.MustMarshal(w))
	if x.seen[id] {
		return
	}
	x.seen[id] = true
	x.check(w)
	x.checkEnds(w.clone())
	for _, e := range x.events {
		next := w.clone()
		before := canon.Sum(canon.MustMarshal(next))
		if e.do(&next) {
			x.visit(next)
		} else if canon.Sum(canon.MustMarshal(next)) != before {
			x.t.Fatalf("%s was refused and changed the state", e.name)
		}
	}
}

const total = 100

func (x *explorer) check(w world) {
	if w.money() != total {
		x.t.Fatalf("money is not conserved: %d of %d in %+v", w.money(), total, w)
	}
	if w.Session == nil {
		return
	}
	s := *w.Session
	if !s.Escrow.Balanced() {
		x.t.Fatalf("escrow is not balanced: %+v", s.Escrow)
	}
	if w.Wallets[provider] > x.vouched {
		x.t.Fatalf("provider was paid %d, more than the %d vouched for", w.Wallets[provider], x.vouched)
	}
	if w.Wallets[provider] > 0 && s.State != job.SessionReleased {
		x.t.Fatalf("provider was paid in state %s", s.State)
	}
	if s.State != job.SessionOpen && s.Reason == "" {
		x.t.Fatalf("session is %s without a reason", s.State)
	}
	if !w.final() && s.Clock == 0 {
		x.t.Fatalf("session is %s without a clock", s.State)
	}
}

// checkEnds lets only time pass, and expects a final state within the bound.
func (x *explorer) checkEnds(w world) {
	const bound = 2 + 3 + 2 + 2 + 4 // patience, duration, both windows, and a tick for each
	for range bound {
		if w.final() {
			return
		}
		tick(&w)
	}
	x.t.Fatalf("time alone does not end %+v", w)
}

func tick(w *world) bool {
	w.Now++
	if next, expired := w.Order.Tick(w.Now); expired {
		w.Order = next
		w.Wallets[consumer] += next.Terms.Escrow
	}
	if w.Session != nil {
		s, payments, err := w.Session.Tick(w.Now)
		if err != nil {
			return false
		}
		w.Session = &s
		w.pay(payments)
	}
	return true
}

func entries(t *testing.T, identity, session canon.PrivateKey) []receipt.Entry {
	var all []receipt.Entry
	for _, c := range []struct {
		seq, amount, vouched uint64
		final                bool
	}{{1, 2, 2, false}, {2, 4, 4, false}, {2, 4, 4, true}, {3, 30, 30, false}, {2, 4, 3, false}, {4, 40, 1, false}} {
		root := canon.Sum([]byte{byte(c.seq)})
		r := receipt.Receipt{Chain: chain, Session: 7, Seq: c.seq, Amount: c.amount, Root: root}
		v := receipt.Voucher{Chain: chain, Session: 7, Seq: c.seq, Amount: c.vouched, Root: root, Final: c.final}
		all = append(all, receipt.Entry{Receipt: r, ReceiptSignature: identity.Sign(receipt.DomainReceipt, r),
			Voucher: v, VoucherSignature: session.Sign(receipt.DomainVoucher, v)})
	}
	return all
}

func TestEveryInterleavingEndsAndConservesMoney(t *testing.T) {
	identity, session := key(t, "i"), key(t, "s")
	order, err := job.Place(7, consumer, session.Public(), testTerms(), 0)
	if err != nil {
		t.Fatal(err)
	}
	party := job.Party{Account: provider, Key: identity.Public(), Price: job.Price{Input: 1000, Output: 1000}}
	_, opened, err := order.Match(party, 0)
	if err != nil {
		t.Fatal(err)
	}
	start := world{Order: order, Wallets: map[string]uint64{consumer: total - order.Terms.Escrow, provider: 0}}
	x := explorer{t: t, seen: map[canon.Hash]bool{}, vouched: 30}
	x.events = []event{
		{"tick", func(w *world) bool { return w.Now < 20 && tick(w) }},
		{"cancel", func(w *world) bool {
			next, err := w.Order.Cancel(consumer)
			if err != nil {
				return false
			}
			w.Order = next
			w.Wallets[consumer] += next.Terms.Escrow
			return true
		}},
		{"cancel by a stranger", func(w *world) bool {
			if _, err := w.Order.Cancel(stranger); err == nil {
				t.Fatal("a stranger cancelled")
			}
			return false
		}},
		{"match", func(w *world) bool {
			o, s, err := w.Order.Match(party, w.Now)
			if err != nil {
				return false
			}
			s = s.Freeze(job.Windows{Close: 2, Challenge: 2})
			w.Order, w.Session = o, &s
			return true
		}},
		{"revoke", func(w *world) bool {
			again := w.Revoked
			w.Revoked = true
			return !again
		}},
		{"top up", func(w *world) bool {
			if w.Session == nil || w.ToppedUp {
				return false
			}
			s, err := w.Session.TopUp(consumer, 5)
			if err != nil {
				return false
			}
			w.Session, w.ToppedUp = &s, true
			w.Wallets[consumer] -= 5
			return true
		}},
	}
	for _, by := range []string{consumer, provider, stranger} {
		x.events = append(x.events, event{by + " closes", func(w *world) bool {
			if w.Session == nil {
				return false
			}
			s, err := w.Session.Close(by, w.Now)
			if err != nil {
				return false
			}
			w.Session = &s
			return true
		}})
		for _, e := range entries(t, identity, session) {
			p, err := opened.Check(chain, e)
			if err != nil {
				t.Fatal(err)
			}
			for _, shut := range []bool{false, true} {
				x.events = append(x.events, event{by + " settles", func(w *world) bool {
					if w.Session == nil {
						return false
					}
					s, payments, err := w.Session.Record(by, p, w.Revoked, shut, w.Now)
					if by == stranger && err == nil {
						onlyRecorded(t, *w.Session, s, payments, p, e, shut)
					}
					if w.Revoked && err == nil {
						t.Fatalf("%s brings %+v under a revoked key", by, e)
					}
					if err != nil {
						kept(t, *w, by, e)
						return false
					}
					w.Session = &s
					w.pay(payments)
					return true
				}})
			}
		}
	}
	x.visit(start)
	if len(x.seen) < 1000 {
		t.Fatalf("only %d states were reached", len(x.seen))
	}
	t.Logf("%d states", len(x.seen))
}

// onlyRecorded expects that a stranger who brought e did what the consumer too
// could have done and nothing else: in particular, it reached no state that the
// parties alone can't reach.
func onlyRecorded(t *testing.T, before, after job.Session, payments []escrow.Payment, p job.Sound, e receipt.Entry, shut bool) {
	t.Helper()
	want := before
	want.Claim = &e
	if shut || len(payments) > 0 || !reflect.DeepEqual(after, want) {
		t.Fatalf("a stranger (close: %t) turned %+v into %+v with payments %v", shut, before, after, payments)
	}
	same, _, err := before.Record(consumer, p, false, false, 1)
	if err != nil || !reflect.DeepEqual(same, after) {
		t.Fatalf("the consumer would have got %+v, %v", same, err)
	}
}

// kept expects that a pair was refused to its provider only if the ledger
// already holds one that is worth as much, or its key is revoked: no order of
// events, and nothing that the consumer signs, takes back what it promised.
func kept(t *testing.T, w world, by string, e receipt.Entry) {
	t.Helper()
	s := *w.Session
	live := !w.Revoked && (s.State == job.SessionOpen || s.State == job.SessionClosing)
	if live && by == provider && (s.Claim == nil || s.Claim.Due() < e.Due()) {
		t.Fatalf("a pair worth %d is refused to the provider of %+v", e.Due(), s)
	}
}

func TestSettleRefuses(t *testing.T) {
	identity, session, other := key(t, "i"), key(t, "s"), key(t, "o")
	order, err := job.Place(7, consumer, session.Public(), testTerms(), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, s, err := order.Match(job.Party{Account: provider, Key: identity.Public(), Price: job.Price{Input: 1, Output: 1}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	good := entries(t, identity, session)[1]
	resign := func(e receipt.Entry, i, s canon.PrivateKey) receipt.Entry {
		e.ReceiptSignature, e.VoucherSignature = i.Sign(receipt.DomainReceipt, e.Receipt), s.Sign(receipt.DomainVoucher, e.Voucher)
		return e
	}
	for name, change := range map[string]func(receipt.Entry) receipt.Entry{
		"receipt by another key": func(e receipt.Entry) receipt.Entry { return resign(e, other, session) },
		"voucher by another key": func(e receipt.Entry) receipt.Entry { return resign(e, identity, other) },
		"another chain": func(e receipt.Entry) receipt.Entry {
			e.Receipt.Chain, e.Voucher.Chain = "other", "other"
			return resign(e, identity, session)
		},
		"another session": func(e receipt.Entry) receipt.Entry {
			e.Receipt.Session, e.Voucher.Session = 8, 8
			return resign(e, identity, session)
		},
		"another root": func(e receipt.Entry) receipt.Entry {
			e.Receipt.Root[0]++
			return resign(e, identity, session)
		},
		"another count": func(e receipt.Entry) receipt.Entry {
			e.Receipt.Seq++
			return resign(e, identity, session)
		},
		"raised amount": func(e receipt.Entry) receipt.Entry {
			e.Voucher.Amount++
			return e
		},
	} {
		if _, _, err := s.Settle(provider, chain, change(good), false, 1); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, _, err := s.Settle(provider, chain, good, false, 1); err != nil {
		t.Fatal(err)
	}
}
