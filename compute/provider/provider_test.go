package provider_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/link"
	"daulat/link/linktest"
	"daulat/link/session"
	"daulat/link/session/sessiontest"
)

func TestServesAndIsPaid(t *testing.T) {
	s := start(t)
	a := s.lease(100, 20)
	before := s.chain.Writes()
	a.buy(2, 3)
	a.buy(4, 5)
	if n := s.chain.Writes() - before; n != 0 {
		t.Errorf("a warm session wrote %d times to the ledger", n)
	}
	if err := a.finish(a.served); err != nil {
		t.Fatal(err)
	}
	now := s.onLedger(a.session.ID)
	if now.State != job.SessionSettled || now.Reason != job.ReasonFinal || now.Escrow.Withheld != 14 || now.Escrow.Refunded != 86 {
		t.Errorf("session is %s (%s) with %+v", now.State, now.Reason, now.Escrow)
	}
	transcripts, err := s.journal.Transcripts(a.session.ID)
	if err != nil || len(transcripts) != 2 || !slices.Equal(transcripts[1].Answer.Tokens, []uint32{4, 5, 6, 7, 8}) {
		t.Errorf("journal holds %+v, %v", transcripts, err)
	}
	s.advance(sessiontest.Windows.Challenge)
	if got := s.chain.Balance("provider"); got != 14 {
		t.Errorf("provider got %d udlt", got)
	}
}

// Nothing is computed for a request that is not admitted, and the session goes
// on as if it had not come.
func TestRefusesAtAdmission(t *testing.T) {
	s := start(t)
	a := s.lease(30, 15)
	other := s.lease(30, 15)
	a.buy(1, 2)
	a.buy(1, 2)
	valid := func() session.Ask {
		a.seq = 2
		return a.ask(1, 2)
	}
	resigned := func(change func(*session.Ask)) session.Ask {
		ask := valid()
		change(&ask)
		return a.sign(ask.Ask, ask.Request)
	}
	request := func(change func(*receipt.Request)) session.Ask {
		return resigned(func(x *session.Ask) { change(&x.Request); x.Ask.Request = x.Request.Hash() })
	}
	forged := valid()
	forged.Signature = other.key.Sign(receipt.DomainAsk, forged.Ask)
	swapped := valid()
	swapped.Request.Seed[0]++
	before := s.toy.called()
	for name, c := range map[string]struct {
		ask  session.Ask
		code session.Code
	}{
		"a repeated ask":         {resigned(func(x *session.Ask) { x.Ask.Seq = 2 }), session.Invalid},
		"an older ask":           {resigned(func(x *session.Ask) { x.Ask.Seq = 1 }), session.Invalid},
		"another chain":          {resigned(func(x *session.Ask) { x.Ask.Chain = "elsewhere-1" }), session.Invalid},
		"another model":          {request(func(r *receipt.Request) { r.Model = canon.NewCID(canon.DagCBOR, canon.Hash{7}) }), session.Invalid},
		"another's request":      {request(func(r *receipt.Request) { r.Key = other.key.Public() }), session.Invalid},
		"a request not signed":   {swapped, session.Invalid},
		"beyond the step":        {request(func(r *receipt.Request) { r.Params.MaxTokens = 15 }), session.Spent},
		"beyond the escrow":      {request(func(r *receipt.Request) { r.Params.MaxTokens = 24 }), session.Spent},
		"a session nobody knows": {resigned(func(x *session.Ask) { x.Ask.Session = 99 }), session.Unknown},
	} {
		stream := a.send(session.Opening{Ask: &c.ask})
		_, _, err := hear(stream)
		stream.Reset() // if it was answered, nobody waits for a voucher
		a.refused(name, err, c.code)
	}
	if _, _, err := hear(a.send(session.Opening{Ask: &forged})); err == nil {
		t.Error("a forged ask was answered")
	}
	both := valid()
	final := a.voucher(a.served, true)
	for name, o := range map[string]session.Opening{"an empty opening": {}, "two things in one opening": {Ask: &both, Finish: &final}} {
		_, _, err := hear(a.send(o))
		a.refused(name, err, session.Invalid)
	}
	if n := s.toy.called() - before; n != 0 {
		t.Fatalf("%d refused requests were computed", n)
	}
	a.seq = 2
	a.buy(1, 2)
}

func TestPromptThatTheModelRefusesCostsNothing(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 500)
	ask := a.ask(room, 1)
	_, _, err := hear(a.send(session.Opening{Ask: &ask}))
	a.refused("a prompt beyond the context", err, session.Invalid)
	a.buy(2, 3)
	if err := a.finish(a.served); err != nil {
		t.Fatal(err)
	}
	if now := s.onLedger(a.session.ID); now.Escrow.Withheld != 5 {
		t.Errorf("%d udlt are due", now.Escrow.Withheld)
	}
}

func TestSessionOfAnotherProvider(t *testing.T) {
	s := start(t)
	a := s.lease(30, 15)
	// The account moves to another key: what was opened before names the old one.
	s.stop()
	s.key = linktest.Key(t)
	s.run()
	ask := a.ask(1, 1)
	_, _, err := hear(a.send(session.Opening{Ask: &ask}))
	a.refused("a session under another identity key", err, session.Unknown)
}

// A voucher counts only if it is signed by the session key for exactly what was
// served; any other leaves the answer unpaid.
func TestRefusesVouchers(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 500)
	stranger := linktest.Key(t)
	a.buy(1, 2)
	old := *a.last
	changed := func(m job.Served, change func(*receipt.Voucher)) session.Payment {
		p := a.voucher(m, false)
		change(&p.Voucher)
		p.Signature = a.key.Sign(receipt.DomainVoucher, p.Voucher)
		return p
	}
	for name, bad := range map[string]func(job.Served) session.Payment{
		"the voucher before": func(job.Served) session.Payment { return old },
		"less":               func(m job.Served) session.Payment { return changed(m, func(v *receipt.Voucher) { v.Amount-- }) },
		"more":               func(m job.Served) session.Payment { return changed(m, func(v *receipt.Voucher) { v.Amount++ }) },
		"another count":      func(m job.Served) session.Payment { return changed(m, func(v *receipt.Voucher) { v.Seq++ }) },
		"another history":    func(m job.Served) session.Payment { return changed(m, func(v *receipt.Voucher) { v.Root[0]++ }) },
		"another chain":      func(m job.Served) session.Payment { return changed(m, func(v *receipt.Voucher) { v.Chain = "x" }) },
		"another session":    func(m job.Served) session.Payment { return changed(m, func(v *receipt.Voucher) { v.Session++ }) },
		"another signature": func(m job.Served) session.Payment {
			p := a.voucher(m, false)
			p.Signature = stranger.Sign(receipt.DomainVoucher, p.Voucher)
			return p
		},
	} {
		stream, next := a.answered(a.ask(1, 2))
		if err := pay(stream, bad(next)); err == nil {
			t.Fatalf("%s was taken for pay", name)
		}
		r, err := s.journal.Record(a.session.ID)
		if err != nil || r.Unpaid == nil || r.Newest == nil || r.Newest.Voucher != old.Voucher {
			t.Fatalf("after %s the journal holds %+v, %v", name, r, err)
		}
		// The right voucher, late.
		p := a.voucher(next, false)
		a.served, a.last, old = next, &p, p
		a.buy(1, 2)
		old = *a.last
	}
}

// Whoever takes answers and never pays gets no more than one exposure step.
func TestConsumerThatNeverPays(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 50)
	var taken uint64
	for range 100 {
		ask := a.ask(4, 7)
		stream := a.send(session.Opening{Ask: &ask})
		answer, _, err := hear(stream)
		stream.Reset()
		if err != nil {
			a.refused("beyond the step", err, session.Spent)
			break
		}
		taken += uint64(len(ask.Request.Tokens) + len(answer.Tokens))
	}
	if taken == 0 || taken > 50 {
		t.Fatalf("%d udlt of work were taken, and the step is 50", taken)
	}
}

// Nor does a step of all the escrow help: what the longest answer costs is the
// provider's own bound. Who pays may take ever so many.
func TestStepThatTheConsumerChoseTooLarge(t *testing.T) {
	const longest = 2 * reach // udlt: prompt and answer
	s := start(t)
	a := s.lease(9000, 9000)
	a.buy(1, 1000)
	taken := 0
	for range 20 {
		ask := a.ask(1, 1000)
		stream := a.send(session.Opening{Ask: &ask})
		answer, _, err := hear(stream)
		stream.Reset()
		if err != nil {
			a.refused("beyond the longest answer", err, session.Spent)
			break
		}
		taken += len(ask.Request.Tokens) + len(answer.Tokens)
	}
	if taken == 0 || taken > longest {
		t.Fatalf("%d udlt of work were taken, and the longest answer costs %d", taken, longest)
	}
}

// The same for one that hangs up when it has read enough: what was sent counts,
// in memory and after a crash.
func TestConsumerThatHangsUpHalfWay(t *testing.T) {
	const step, most, read = 2500, 1000, 400
	s := start(t)
	s.toy.pause = func(i int) {
		if i > read { // so slowly that the hang-up arrives before the end
			time.Sleep(time.Millisecond)
		}
	}
	a := s.lease(9000, step)
	taken := 0
	for range 20 {
		ask := a.ask(1, most)
		stream := a.send(session.Opening{Ask: &ask})
		got := 0
		for got < read {
			var r session.Reply
			if err := stream.Receive(&r); err != nil || r.Refused != nil {
				break
			}
			got += len(r.Tokens)
		}
		stream.Reset()
		if taken += got; got == 0 {
			break
		}
	}
	if taken < read || taken > step {
		t.Fatalf("%d udlt of work were taken, and the step is %d", taken, step)
	}
	s.crash()
	ask := a.ask(1, most)
	_, _, err := hear(a.send(session.Opening{Ask: &ask}))
	a.refused("beyond the step after a crash", err, session.Spent)
}

// A voucher that was lost on the way comes with the next request, or with the
// end; an answer that was lost is left out, and the two sides agree again.
func TestSidesAgreeAgainAfterALoss(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 100)
	a.buy(1, 2)

	stream, next := a.answered(a.ask(1, 2)) // the voucher is lost
	stream.Reset()
	p := a.voucher(next, false)
	a.served, a.last = next, &p
	a.buy(1, 2)

	ask := a.ask(1, 2) // the answer is lost
	a.answer(ask)
	a.buy(1, 2)

	stream, next = a.answered(a.ask(1, 2)) // the last voucher is lost
	stream.Reset()
	if err := a.finish(next); err != nil {
		t.Fatal(err)
	}
	if now := s.onLedger(a.session.ID); now.Escrow.Withheld != 15 {
		t.Errorf("%d udlt are due, not 15 for 5 answers", now.Escrow.Withheld)
	}
}

// answer lets the provider answer and hangs up on the receipt.
func (a *asker) answer(ask session.Ask) {
	a.t.Helper()
	s := a.send(session.Opening{Ask: &ask})
	if _, _, err := hear(s); err != nil {
		a.t.Fatal(err)
	}
	s.Reset()
}

// What was acknowledged is on disk before the acknowledgement: a provider that
// is killed right after it finds the voucher and settles it before the deadline,
// though the consumer is gone.
func TestCrashAfterTheVoucher(t *testing.T) {
	s := start(t)
	a := s.lease(100, 50)
	a.buy(1, 2)
	a.buy(2, 3)
	s.crash()
	s.advance(duration - 30)
	s.eventually("the provider settles before the deadline", func() bool { return s.onLedger(a.session.ID).Claim != nil })
	s.advance(sessiontest.Windows.Close)
	s.advance(sessiontest.Windows.Challenge)
	if got := s.chain.Balance("provider"); got != 8 {
		t.Errorf("provider got %d of 8 udlt", got)
	}
}

// A receipt is on disk before it is sent: a provider that is killed while it
// waits for the voucher takes that voucher later.
func TestCrashBeforeTheVoucher(t *testing.T) {
	s := start(t)
	a := s.lease(100, 50)
	a.buy(1, 2)
	_, next := a.answered(a.ask(1, 2))
	s.crash()
	p := a.voucher(next, false)
	a.served, a.last = next, &p
	a.buy(1, 2)
	_, next = a.answered(a.ask(1, 2))
	s.crash()
	if err := a.finish(next); err != nil {
		t.Fatal(err)
	}
	if now := s.onLedger(a.session.ID); now.Escrow.Withheld != 12 {
		t.Errorf("%d udlt are due, not 12 for 4 answers", now.Escrow.Withheld)
	}
	if all, err := s.journal.Transcripts(a.session.ID); err != nil || len(all) != 4 {
		t.Errorf("journal holds %d transcripts, %v", len(all), err)
	}
}

// An ask that was answered is not answered again, whatever happened since.
func TestAskIsNotRepeatedAfterACrash(t *testing.T) {
	s := start(t)
	a := s.lease(100, 50)
	a.buy(1, 2)
	ask := a.ask(1, 2)
	_, next := a.answered(ask)
	s.crash()
	p := a.voucher(next, false)
	ask.Last = &p
	before := s.toy.called()
	_, _, err := hear(a.send(session.Opening{Ask: &ask}))
	a.refused("an ask of before the crash", err, session.Invalid)
	if s.toy.called() != before {
		t.Error("it was computed again")
	}
}

// A consumer that brings an old pair to the ledger gains nothing by it.
func TestOldPairIsAnsweredOnTheLedger(t *testing.T) {
	s := start(t)
	a := s.lease(100, 50)
	a.buy(1, 2)
	r, err := s.journal.Record(a.session.ID)
	if err != nil || r.Newest == nil {
		t.Fatal(r, err)
	}
	old := *r.Newest
	a.buy(2, 30)
	if results, err := a.account.Settle(t.Context(), []receipt.Settlement{{Entry: old, Close: true}}); err != nil || results[0] != nil {
		t.Fatal(results, err)
	}
	s.eventually("the newer pair is brought", func() bool { return s.onLedger(a.session.ID).Claim.Voucher.Seq == 2 })
	s.advance(sessiontest.Windows.Close)
	if now := s.onLedger(a.session.ID); now.Escrow.Withheld != 35 {
		t.Errorf("%d udlt are due", now.Escrow.Withheld)
	}
}

// A session that is over while an answer in it goes on holds up no other.
func TestEndlessAnswerHoldsUpNoSettlement(t *testing.T) {
	s := start(t)
	a, b := s.lease(100, 50), s.lease(100, 50)
	b.buy(1, 2)
	r, err := s.journal.Record(b.session.ID)
	if err != nil || r.Newest == nil {
		t.Fatal(r, err)
	}
	b.buy(2, 30)
	begun, end := make(chan struct{}), make(chan struct{})
	s.toy.pause = func(i int) {
		if i == 0 {
			close(begun)
			<-end
		}
	}
	defer close(end)
	ask := a.ask(1, 2)
	defer a.send(session.Opening{Ask: &ask}).Reset()
	<-begun
	if err := a.account.CloseSession(t.Context(), a.session.ID); err != nil {
		t.Fatal(err)
	}
	s.advance(sessiontest.Windows.Close)
	s.rounds(2) // in which the end of the first session is seen
	if results, err := b.account.Settle(t.Context(), []receipt.Settlement{{Entry: *r.Newest, Close: true}}); err != nil || results[0] != nil {
		t.Fatal(results, err)
	}
	s.eventually("the newer pair is brought", func() bool { return s.onLedger(b.session.ID).Claim.Voucher.Seq == 2 })
}

// Open sessions are not asked about in each round.
func TestQuietSessionsCostFewQueries(t *testing.T) {
	s := start(t)
	s.ledger.window = 3600
	for range 5 {
		s.lease(100, 50).buy(1, 2)
	}
	before := s.ledger.looks.Load()
	s.rounds(2)
	if n := s.ledger.looks.Load() - before; n != 0 {
		t.Errorf("5 quiet sessions were asked about %d times in 2 rounds", n)
	}
}

func TestClosedSessionTakesNoRequest(t *testing.T) {
	s := start(t)
	a := s.lease(100, 50)
	a.buy(1, 2)
	if err := a.finish(a.served); err != nil {
		t.Fatal(err)
	}
	s.eventually("the provider notes the end", func() bool {
		r, err := s.journal.Record(a.session.ID)
		return err == nil && r.Session.State == job.SessionSettled
	})
	ask := a.ask(1, 2)
	_, _, err := hear(a.send(session.Opening{Ask: &ask}))
	a.refused("a settled session", err, session.Spent)
}

func TestFinishMustBeFinalAndForWhatWasServed(t *testing.T) {
	s := start(t)
	a := s.lease(100, 50)
	a.buy(1, 2)
	before := a.served
	a.buy(1, 2)
	if err := a.finish(before); err == nil {
		t.Error("a final voucher for an older history was taken")
	}
	soft := a.voucher(a.served, false)
	a.refused("a finish that is not final", paid(a.send(session.Opening{Finish: &soft})), session.Invalid)
	if now := s.onLedger(a.session.ID); now.State != job.SessionOpen || now.Claim != nil {
		t.Errorf("session is %s with %+v", now.State, now.Claim)
	}
}

func TestTopUpIsNoticed(t *testing.T) {
	s := start(t)
	a := s.lease(10, 10)
	a.buy(2, 6)
	ask := a.ask(2, 6)
	_, _, err := hear(a.send(session.Opening{Ask: &ask}))
	a.refused("beyond the escrow", err, session.Spent)
	if err := s.chain.TopUp("consumer", a.session.ID, 20); err != nil {
		t.Fatal(err)
	}
	a.buy(2, 6)
}

// Two requests of one session are served one after the other, those of two
// sessions at the same time.
func TestRequestsAtOnce(t *testing.T) {
	s := start(t)
	a, b := s.lease(100, 50), s.lease(100, 50)
	var met sync.WaitGroup
	met.Add(2)
	s.toy.pause = func(i int) {
		if i == 0 {
			met.Done()
			met.Wait()
		}
	}
	var both sync.WaitGroup
	for _, x := range []*asker{a, b} {
		ask := x.ask(1, 2)
		stream := x.send(session.Opening{Ask: &ask})
		both.Go(func() {
			if _, _, err := hear(stream); err != nil {
				t.Error(err)
			}
			stream.Reset()
		})
	}
	both.Wait()

	s.toy.pause = nil
	var inside, most atomic.Int64
	together := make(chan struct{})
	s.toy.within = func() func() {
		now := inside.Add(1)
		if most.Store(max(most.Load(), now)); now == 2 {
			close(together)
		}
		select { // gives the other one time to come, where nothing stops it
		case <-together:
		case <-time.After(100 * time.Millisecond):
		}
		return func() { inside.Add(-1) }
	}
	c := s.lease(100, 50)
	streams := map[uint64]*link.Stream{}
	for range 2 {
		ask := c.ask(1, 2)
		streams[ask.Ask.Seq] = c.send(session.Opening{Ask: &ask})
	}
	for _, stream := range streams {
		both.Go(func() {
			_, _, _ = hear(stream) // the second may be over its turn's history
			stream.Reset()
		})
	}
	both.Wait()
	if n := most.Load(); n != 1 {
		t.Errorf("%d requests of one session were computed at once", n)
	}
}
