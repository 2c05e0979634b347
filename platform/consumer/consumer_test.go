package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/link/linktest"
	wire "daulat/link/session"
	"daulat/link/session/sessiontest"
	"daulat/platform/consumer"
)

func TestAsksAndPays(t *testing.T) {
	s := start(t)
	x := s.sells("seller", 1)
	first := s.buy(2, 3)
	if first.Provider != "seller" || first.Usage.Input != 2 || first.Price != 5 || !slices.Equal(first.Answer.Tokens, []uint32{0, 1, 2}) {
		t.Fatalf("result is %+v", first)
	}
	before := s.chain.Writes()
	if second := s.buy(4, 5); second.Session != first.Session || second.Price != 9 {
		t.Errorf("second result is %+v", second)
	}
	if n := s.chain.Writes() - before; n != 0 {
		t.Errorf("a warm session wrote %d times to the ledger", n)
	}
	if paid := x.vouchers(); len(paid) != 2 || paid[1].Voucher.Amount != 14 || paid[1].Voucher.Final {
		t.Errorf("vouchers are %+v", paid)
	}
	if err := s.client.CloseAll(s.ctx); err != nil {
		t.Fatal(err)
	}
	now := s.onLedger(first.Session)
	if now.State != job.SessionSettled || now.Escrow.Withheld != 14 || s.chain.Balance("consumer") != wallet-14 {
		t.Errorf("session is %s with %+v", now.State, now.Escrow)
	}
}

// A provider that does not keep to the rules gets no voucher for that answer,
// keeps what it earned before, and is not asked again.
func TestProviderThatBreaksTheRules(t *testing.T) {
	stranger := linktest.Key(t)
	receipts := func(change func(*receipt.Receipt)) conduct {
		return conduct{done: func(d *wire.Done) { change(&d.Receipt) }}
	}
	for name, c := range map[string]conduct{
		"another key signs":            {signer: &stranger},
		"asks more":                    receipts(func(r *receipt.Receipt) { r.Amount++ }),
		"asks less":                    receipts(func(r *receipt.Receipt) { r.Amount-- }),
		"counts more output":           receipts(func(r *receipt.Receipt) { r.Output++ }),
		"counts more input":            receipts(func(r *receipt.Receipt) { r.Input++ }),
		"counts a request twice":       receipts(func(r *receipt.Receipt) { r.Seq++ }),
		"signs another history":        receipts(func(r *receipt.Receipt) { r.Root[0]++ }),
		"signs for another session":    receipts(func(r *receipt.Receipt) { r.Session++ }),
		"signs for another chain":      receipts(func(r *receipt.Receipt) { r.Chain = "elsewhere-1" }),
		"names another end":            {done: func(d *wire.Done) { d.Finish = receipt.FinishStop }},
		"sends more than asked":        {extra: 1},
		"sends a reply without tokens": {empty: true},
		"answers half and dies":        {cut: 2},
		"refuses":                      {refuse: &wire.Refusal{Code: wire.Internal, Reason: "broken"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			bad, good := s.sells("bad", 1), s.sells("good", 2)
			first := s.buy(1, 3)
			bad.behave(c)
			if r := s.buy(1, 4); r.Provider != "good" || !slices.Equal(r.Answer.Tokens, []uint32{0, 1, 2, 3}) {
				t.Errorf("result is %+v", r)
			}
			if n, m := len(bad.vouchers()), len(good.vouchers()); n != 1 || m != 1 {
				t.Errorf("%d vouchers went to the bad one, %d to the good one", n, m)
			}
			s.quiet() // the bad one's session is closed in the background
			if now := s.onLedger(first.Session); now.State != job.SessionSettled || now.Escrow.Withheld != 4 {
				t.Errorf("session is %s with %+v", now.State, now.Escrow)
			}
		})
	}
}

// Where one provider broke off, the next goes on: each token is shown once. If
// it says something else, somebody lies, and neither is paid.
func TestAnswerThatBreaksOffGoesOnElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		shift uint32
		want  []uint32
		paid  int
	}{"the same answer": {0, []uint32{0, 1, 2, 3}, 1}, "another answer": {7, []uint32{0, 1}, 0}} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			bad, good := s.sells("bad", 1), s.sells("good", 2)
			bad.behave(conduct{cut: 2})
			good.behave(conduct{shift: c.shift})
			var shown []uint32
			begun := 0
			_, err := s.client.Ask(s.ctx, terms(), prompt(1, 4), func(consumer.Admission) error { begun++; return nil },
				func(token receipt.Token) error { shown = append(shown, token.ID); return nil })
			if (err == nil) != (c.paid == 1) || !slices.Equal(shown, c.want) || begun != 1 {
				t.Errorf("shown %v after %d admissions, %v", shown, begun, err)
			}
			if n, m := len(bad.vouchers()), len(good.vouchers()); n != 0 || m != c.paid {
				t.Errorf("%d vouchers went to the bad one, %d to the good one", n, m)
			}
		})
	}
}

// An older receipt is as bad as a forged one.
func TestReplayedReceipt(t *testing.T) {
	s := start(t)
	bad, _ := s.sells("bad", 1), s.sells("good", 2)
	var old wire.Done
	bad.behave(conduct{done: func(d *wire.Done) { old = *d }})
	s.buy(1, 3)
	bad.behave(conduct{done: func(d *wire.Done) { *d = old }})
	if r := s.buy(1, 3); r.Provider != "good" {
		t.Error("a replayed receipt was taken")
	}
	if paid := bad.vouchers(); len(paid) != 1 {
		t.Errorf("%d vouchers left", len(paid))
	}
}

func TestProviderThatNeverAnswers(t *testing.T) {
	s := start(t)
	bad := s.sells("bad", 1)
	ctx, cancel := context.WithCancel(s.ctx)
	bad.behave(conduct{silent: true, early: func(wire.Ask) { cancel() }})
	if _, err := s.try(ctx, 1, 3); err == nil {
		t.Fatal("silence is an answer")
	}
	s.quiet()
	if got := s.onLedger(1); got.State != job.SessionSettled || got.Escrow.Refunded != 100 {
		t.Errorf("session is %s with %+v", got.State, got.Escrow)
	}
}

// A provider that is silent to the end does not keep the consumer from its
// money: it closes alone.
func TestProviderThatIsSilentToTheEnd(t *testing.T) {
	t.Parallel()
	s := start(t)
	bad := s.sells("bad", 1)
	s.buy(1, 3)
	ctx, cancel := context.WithCancel(s.ctx)
	s.client.SetLimits(time.Minute, time.Minute, time.Minute)
	bad.behave(conduct{silent: true, deadEnd: true, early: func(wire.Ask) { cancel() }})
	if _, err := s.try(ctx, 1, 3); err == nil {
		t.Fatal("silence is an answer")
	}
	s.eventually("the consumer closes alone", func() bool { return s.onLedger(1).State == job.SessionClosing })
	s.advance(sessiontest.Windows.Close)
	if got := s.onLedger(1); got.Escrow.Withheld != 4 || s.chain.Balance("consumer") != wallet-4 {
		t.Errorf("session is %s with %+v", got.State, got.Escrow)
	}
}

// What a drawn audit finds wrong is not paid, is on record, and costs the
// provider its place.
func TestWrongAnswerIsFoundAndNotPaid(t *testing.T) {
	s := start(t)
	s.auditor = judge(func(a receipt.Answer) bool { return len(a.Tokens) < 5 })
	if err := s.journal.Close(); err != nil {
		t.Fatal(err)
	}
	s.run()
	liar, honest := s.sells("liar", 1), s.sells("honest", 2)
	first := s.buy(1, 3)
	_, err := s.try(s.ctx, 1, 5)
	var lie *consumer.LieError
	if !errors.As(err, &lie) {
		t.Fatalf("got %v", err)
	}
	if n := s.chain.Complaints("liar"); n != 1 || len(liar.vouchers()) != 1 {
		t.Errorf("%d complaints, %d vouchers", n, len(liar.vouchers()))
	}
	s.quiet()
	if now := s.onLedger(first.Session); now.State != job.SessionClosing || now.Reason != job.ReasonConsumer {
		t.Errorf("session is %s since %q", now.State, now.Reason)
	}
	session, seq, err := consumer.ParseReceiptID(lie.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.journal.Lie(session, seq)
	if err != nil || canon.Verify(liar.key.Public(), receipt.DomainReceipt, kept.Receipt.Receipt, kept.Receipt.Signature) != nil {
		t.Errorf("evidence is %+v, %v", kept, err)
	}
	s.buy(1, 2)
	if len(honest.vouchers()) != 1 {
		t.Error("the liar was asked again")
	}
	s.crash(s.disk()) // what knows of the lie now is the journal alone
	settled := make(chan error, 1)
	go func() { settled <- s.client.Settle(context.WithValue(s.ctx, inPath{}, true), first.Session) }()
	s.eventually("the client waits for the ledger", func() bool { return s.ledger.waited.Load() > 2 || len(settled) > 0 })
	s.advance(sessiontest.Windows.Close)
	if err := <-settled; err != nil {
		t.Error(err)
	}
	if now := s.onLedger(first.Session); now.Escrow.Withheld != 4 || now.Reason != job.ReasonConsumer {
		t.Errorf("the liar is due %d udlt, since %q", now.Escrow.Withheld, now.Reason)
	}
}

// A model that its provider does not serve counts as a lie. What the asker could
// not check for a reason of its own is neither paid nor held against anybody.
func TestAnswerThatCannotBeChecked(t *testing.T) {
	unavailable := fmt.Errorf("fetch the weights: %w", verify.ErrUnavailable)
	for name, c := range map[string]struct {
		fails   error
		leaves  bool // the asker gives up while the audit is on
		accused int
	}{
		"model not served": {fails: unavailable, accused: 1},
		"own disk full":    {fails: errors.New("no space left on device")},
		"asker left":       {fails: unavailable, leaves: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			ctx, leave := context.WithCancel(s.ctx)
			defer leave()
			s.client.SetLimits(time.Minute, time.Minute, time.Minute)
			s.client.Auditor = failing(func(ctx context.Context) error {
				if c.leaves {
					leave()
					<-ctx.Done() // it may go on for a while
				}
				return c.fails
			})
			x := s.sells("seller", 1)
			_, err := s.try(ctx, 1, 5)
			var lie *consumer.LieError
			if found := errors.As(err, &lie); err == nil || found != (c.accused > 0) {
				t.Fatalf("got %v", err)
			}
			if lie != nil && (lie.Verdict.Outcome != verify.Unavailable || !strings.Contains(lie.Error(), "unavailable: fetch the weights")) {
				t.Errorf("the result says %q", lie)
			}
			s.quiet()
			if n := s.chain.Complaints("seller"); n != c.accused || len(x.vouchers()) != 0 {
				t.Errorf("%d complaints, %d vouchers", n, len(x.vouchers()))
			}
			if now := s.onLedger(1); lie != nil && (now.State != job.SessionClosing || now.Reason != job.ReasonConsumer) {
				t.Errorf("session is %s since %q", now.State, now.Reason)
			}
			s.advance(sessiontest.Windows.Close)
			if err := s.client.CloseAll(s.ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// failing is an auditor that can't check.
type failing func(context.Context) error

func (f failing) Replay(ctx context.Context, _ canon.CID, _ receipt.Request, _ receipt.Answer) (verify.Verdict, error) {
	return verify.Verdict{}, f(ctx)
}

type judge func(receipt.Answer) bool

func (j judge) Replay(_ context.Context, _ canon.CID, _ receipt.Request, a receipt.Answer) (verify.Verdict, error) {
	if j(a) {
		return verify.Verdict{Outcome: verify.Agree}, nil
	}
	return verify.Verdict{Outcome: verify.Disagree}, nil
}

// The answer counts though the acknowledgement was lost, and the next request
// brings the voucher again.
func TestLostAcknowledgement(t *testing.T) {
	s := start(t)
	x := s.sells("seller", 1)
	x.behave(conduct{unheard: true})
	s.buy(1, 3)
	x.behave(conduct{})
	s.buy(1, 3)
	asks, paid := x.asked(), x.vouchers()
	if len(asks) != 2 || asks[0].Last != nil || asks[1].Last == nil || *asks[1].Last != paid[0] {
		t.Errorf("asks were %+v", asks)
	}
}

// A voucher is on disk before it leaves: a client that is killed right then
// knows what it promised, and goes on in the same session.
func TestCrashAfterTheVoucher(t *testing.T) {
	s := start(t)
	x := s.sells("seller", 1)
	var disk []byte
	x.behave(conduct{vouched: func() { disk = s.disk() }})
	first := s.buy(1, 3)
	s.crash(disk)
	x.behave(conduct{})
	r, err := s.journal.Record(first.Session)
	if err != nil || r.Newest == nil || r.Newest.Voucher != x.vouchers()[0].Voucher {
		t.Fatalf("journal holds %+v, %v", r, err)
	}
	if second := s.buy(1, 3); second.Session != first.Session || second.Seq <= first.Seq {
		t.Errorf("went on with %+v", second)
	}
	if err := s.client.CloseAll(s.ctx); err != nil {
		t.Fatal(err)
	}
	if now := s.onLedger(first.Session); now.Escrow.Withheld != 8 {
		t.Errorf("%d udlt are due", now.Escrow.Withheld)
	}
}

// No number of an ask and no counter of a request is used twice, even if the
// client is killed when the ask has just left.
func TestCrashAfterTheAsk(t *testing.T) {
	for name, bought := range map[string]int{"first": 0, "later": 2} {
		t.Run(name, func(t *testing.T) { crashAfterTheAsk(t, bought) })
	}
}

func crashAfterTheAsk(t *testing.T, bought int) {
	s := start(t)
	x := s.sells("seller", 1)
	for range bought {
		s.buy(1, 3)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	left := make(chan []byte, 1)
	x.behave(conduct{silent: true, early: func(wire.Ask) { left <- s.disk() }})
	var gone sync.WaitGroup
	dead := s.client // hangs to the end of the test, as a dead one would
	gone.Go(func() { _, _ = dead.Ask(ctx, terms(), prompt(1, 3), willing, deaf) })
	disk := <-left
	x.behave(conduct{})
	old := s.journal
	s.restore(disk)
	s.buy(1, 3)
	asks := x.asked()
	last, lost := asks[bought+1], asks[bought]
	if last.Ask.Session != lost.Ask.Session || last.Ask.Seq <= lost.Ask.Seq || last.Request.Counter <= lost.Request.Counter {
		t.Errorf("asked %+v after %+v", last.Ask, lost.Ask)
	}
	if err := s.client.CloseAll(s.ctx); err != nil {
		t.Error(err)
	}
	cancel()
	gone.Wait()
	if err := old.Close(); err != nil {
		t.Error(err)
	}
}

func TestEscrowThatIsUsedUp(t *testing.T) {
	s := start(t)
	s.sells("seller", 1)
	first := s.buy(10, 35)
	if second := s.buy(10, 35); second.Session != first.Session {
		t.Error("a new session though the old one carries the request")
	}
	third := s.buy(10, 35)
	if third.Session == first.Session {
		t.Error("the request was put to a session that can't carry it")
	}
	s.quiet()
	if now := s.onLedger(first.Session); now.State != job.SessionSettled || now.Escrow.Withheld != 90 {
		t.Errorf("the used-up session is %s with %+v", now.State, now.Escrow)
	}
}

// The consumer risks no more than the step ahead of what is paid for.
func TestRequestBeyondTheStepIsNotPutToAWarmSession(t *testing.T) {
	s := start(t)
	s.sells("seller", 1)
	first := s.buy(1, 3)
	_, _ = s.try(s.ctx, 1, 60)
	s.quiet()
	if now := s.onLedger(first.Session); now.State != job.SessionSettled {
		t.Errorf("session is %s", now.State)
	}
}

func TestClosesAloneAfterTheProviderIsGone(t *testing.T) {
	s := start(t)
	x := s.sells("seller", 1)
	first := s.buy(1, 3)
	if err := x.node.Close(); err != nil {
		t.Fatal(err)
	}
	s.crash(s.disk())
	closed := make(chan error, 1)
	go func() { closed <- s.client.Settle(s.ctx, first.Session) }()
	s.eventually("the session closes", func() bool {
		now := s.onLedger(first.Session)
		if now.State == job.SessionClosing {
			s.advance(sessiontest.Windows.Close)
		}
		return now.State == job.SessionSettled
	})
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if now := s.onLedger(first.Session); now.Escrow.Withheld != 4 {
		t.Errorf("%d udlt are due", now.Escrow.Withheld)
	}
}

// A node that shows another session than the one that was ordered gets no request
// out of the client.
func TestAnotherSessionThanOrdered(t *testing.T) {
	s := start(t)
	x := s.sells("seller", 1)
	s.ledger.shown = func(j job.Session) job.Session {
		j.Terms.Step++
		return j
	}
	if _, err := s.try(s.ctx, 1, 3); !errors.Is(err, job.ErrOtherOrder) {
		t.Errorf("got %v", err)
	}
	if n := len(x.asked()); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// A session carries one request at a time, however many come at once.
func TestRequestsAtOnce(t *testing.T) {
	s := start(t)
	x := s.sells("seller", 1)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 5 {
				if _, err := s.try(s.ctx, 1, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	next := map[uint64]uint64{}
	for _, a := range x.asked() {
		if next[a.Ask.Session]++; a.Ask.Seq != next[a.Ask.Session] {
			t.Errorf("ask %d of session %d came in place %d", a.Ask.Seq, a.Ask.Session, next[a.Ask.Session])
		}
	}
	if x.most != 1 || len(x.vouchers()) != 20 || len(next) > 4 {
		t.Errorf("%d sessions, %d requests in one of them at once, %d vouchers", len(next), x.most, len(x.vouchers()))
	}
}

func TestAskerCanEndARequest(t *testing.T) {
	s := start(t)
	x := s.sells("seller", 1)
	enough := errors.New("enough")
	if _, err := s.client.Ask(s.ctx, terms(), prompt(1, 3), func(a consumer.Admission) error {
		if a.Ceiling != 12 || a.Provider != "seller" || a.Receipt != "1-1" {
			t.Errorf("admission is %+v", a)
		}
		return enough
	}, deaf); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if n := len(x.asked()); n != 0 {
		t.Errorf("%d asks left", n)
	}
}

func TestOrderWithoutAMatchIsTakenBack(t *testing.T) {
	s := start(t)
	s.sells("dear", 9)
	ctx, cancel := context.WithCancel(s.ctx)
	asked := make(chan error, 1)
	go func() { _, err := s.try(ctx, 1, 3); asked <- err }()
	s.eventually("the order is explained", func() bool {
		o, err := s.account.Order(s.ctx, 1)
		return err == nil && strings.Contains(o.Explanation, "price ceiling")
	})
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := s.chain.Balance("consumer"); got != wallet {
		t.Errorf("wallet holds %d", got)
	}
}

func TestReceiptIDs(t *testing.T) {
	if a, b, err := consumer.ParseReceiptID(consumer.ReceiptID(7, 9)); a != 7 || b != 9 || err != nil {
		t.Error(a, b, err)
	}
	for _, bad := range []string{"", "7", "7-", "-7-9", "7-9 ", "07-9", "7-9x", "18446744073709551616-1"} {
		if _, _, err := consumer.ParseReceiptID(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// After Renew the cheapest provider gets the next request, whatever went before:
// a session of an earlier run with a dearer one, and a failure of the cheap one.
func TestRenewMatchesAnew(t *testing.T) {
	s := start(t)
	s.sells("dear", 2)
	s.buy(1, 3)
	s.crash(s.disk())
	cheap := s.sells("cheap", 1)
	cheap.behave(conduct{cut: 1})
	for _, want := range []string{"dear", "cheap"} {
		if err := s.client.Renew(s.ctx, model); err != nil {
			t.Fatal(err)
		}
		if r := s.buy(1, 3); r.Provider != want {
			t.Errorf("%s answered, not %s", r.Provider, want)
		}
		cheap.behave(conduct{})
	}
	if n := len(cheap.asked()); n != 2 {
		t.Errorf("the cheap one was asked %d times", n)
	}
}
