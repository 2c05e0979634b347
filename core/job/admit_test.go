package job_test

import (
	"errors"
	"testing"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
)

// lease is an open session with price 1 udlt per token, escrow 10, step 5.
func lease(t *testing.T, terms job.Terms) (job.Session, canon.PrivateKey) {
	t.Helper()
	session := key(t, "s")
	o, err := job.Place(7, consumer, session.Public(), terms, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, s, err := o.Match(job.Party{Account: provider, Key: key(t, "i").Public(), Price: job.Price{Input: 1000, Output: 1000}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s, session
}

func request(s job.Session, prompt, most int) receipt.Request {
	return receipt.Request{Version: canon.Version, Key: s.SessionKey, Counter: 1, Model: s.Terms.Model,
		Tokens: make([]uint32, prompt), Params: receipt.Params{MaxTokens: uint64(most), TopP: receipt.MaxTopP}}
}

func TestAdmit(t *testing.T) {
	s, session := lease(t, testTerms())
	admit := func(s job.Session, m job.Served, seq uint64, r receipt.Request, by canon.PrivateKey) error {
		ask := receipt.Ask{Chain: chain, Session: s.ID, Seq: seq, Request: r.Hash()}
		_, err := s.Admit(chain, m, ask, by.Sign(receipt.DomainAsk, ask), r)
		return err
	}
	if err := admit(s, job.Served{}, 1, request(s, 2, 3), session); err != nil {
		t.Fatal(err)
	}
	closed := s
	closed.State = job.SessionClosing
	foreign := request(s, 2, 3)
	foreign.Model = canon.NewCID(canon.DagCBOR, canon.Hash{9})
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"beyond the step":       {admit(s, job.Served{}, 1, request(s, 3, 3), session), job.ErrExposure},
		"step used by losses":   {admit(s, job.Served{Lost: 1}, 1, request(s, 2, 3), session), job.ErrExposure},
		"beyond the escrow":     {admit(s, job.Served{Tally: job.Tally{Input: 6, Amount: 6}, Paid: 6}, 1, request(s, 2, 3), session), job.ErrEscrow},
		"a repeated ask":        {admit(s, job.Served{Seq: 1}, 1, request(s, 2, 3), session), job.ErrDuplicate},
		"another model":         {admit(s, job.Served{}, 1, foreign, session), job.ErrForeign},
		"another's signature":   {admit(s, job.Served{}, 1, request(s, 2, 3), key(t, "x")), canon.ErrSignature},
		"a session that closes": {admit(closed, job.Served{}, 1, request(s, 2, 3), session), job.ErrNotOpen},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
}

// A consumer that takes answers and never pays gets no more than one step's
// worth, however it goes about it.
func TestUnpaidWorkIsAtMostOneStep(t *testing.T) {
	terms := testTerms()
	terms.Escrow, terms.Step = 1000, 50
	s, session := lease(t, terms)
	m, taken := job.Served{}, uint64(0)
	for seq := uint64(1); ; seq++ {
		r := request(s, 4, 7)
		r.Counter = seq
		ask := receipt.Ask{Chain: chain, Session: s.ID, Seq: seq, Request: r.Hash()}
		admitted, err := s.Admit(chain, m, ask, session.Sign(receipt.DomainAsk, ask), r)
		if errors.Is(err, job.ErrExposure) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		a := receipt.Answer{Tokens: make([]uint32, 7), Finish: receipt.FinishLength}
		unpaid, err := s.Serve(admitted, receipt.NewLeaf(ask, r, a))
		if err != nil {
			t.Fatal(err)
		}
		taken += unpaid.Tally.Amount - m.Tally.Amount
		m = s.Drop(m, unpaid)
	}
	if taken == 0 || taken > terms.Step {
		t.Fatalf("%d udlt of work were taken, and the step is %d", taken, terms.Step)
	}
}

// lose has a session answer r, as far as so many tokens, and lose the answer.
func lose(t *testing.T, s job.Session, m job.Served, by canon.PrivateKey, r receipt.Request, tokens int) (job.Served, error) {
	t.Helper()
	unpaid, err := serve(t, s, m, by, r, tokens)
	if err != nil {
		return m, err
	}
	return s.Drop(m, unpaid), nil
}

func serve(t *testing.T, s job.Session, m job.Served, by canon.PrivateKey, r receipt.Request, tokens int) (job.Served, error) {
	t.Helper()
	ask := receipt.Ask{Chain: chain, Session: s.ID, Seq: m.Seq + 1, Request: r.Hash()}
	admitted, err := s.Admit(chain, m, ask, by.Sign(receipt.DomainAsk, ask), r)
	if err != nil {
		return m, err
	}
	unpaid, err := s.Serve(admitted, receipt.NewLeaf(ask, r, receipt.Answer{Tokens: make([]uint32, tokens)}))
	if err != nil {
		t.Fatal(err)
	}
	return unpaid, nil
}

func payFor(t *testing.T, s job.Session, m job.Served, by canon.PrivateKey) job.Served {
	t.Helper()
	v := m.Tally.Voucher(chain, s.ID, false)
	m, err := s.Pay(chain, m, v, by.Sign(receipt.DomainVoucher, v))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// An answer that is lost and asked again, as when the asker's address changed, is
// lost once, and not at all once it is paid for. Another request has no part in that.
func TestSameAnswerIsLostOnce(t *testing.T) {
	terms := testTerms()
	terms.Escrow, terms.Step = 1000, 11 // what 4 and 7 tokens cost
	s, session := lease(t, terms)
	r, other := request(s, 4, 7), request(s, 4, 7)
	other.Counter++
	m := job.Served{}
	for _, tokens := range []int{2, 5, 3} {
		var err error
		if m, err = lose(t, s, m, session, r, tokens); err != nil {
			t.Fatal(err)
		}
	}
	if m.Lost != 4+5 {
		t.Errorf("%d udlt are lost, and the longest part is worth 9", m.Lost)
	}
	if _, err := serve(t, s, m, session, other, 7); !errors.Is(err, job.ErrExposure) {
		t.Errorf("another request: %v", err)
	}
	if err := s.Trusts(m, 20, r.Hash()); err != nil {
		t.Errorf("11 are owed besides the same answer: %v", err)
	}
	if err := s.Trusts(m, 20, other.Hash()); !errors.Is(err, job.ErrDebt) {
		t.Errorf("20 are owed: %v", err)
	}
	unpaid, err := serve(t, s, m, session, r, 7)
	if err != nil {
		t.Fatal(err)
	}
	if m = payFor(t, s, unpaid, session); m.Lost != 0 {
		t.Errorf("%d udlt are lost of an answer that was paid for", m.Lost)
	}
	if m, err = lose(t, s, m, session, r, 1); err != nil || m.Lost != 5 {
		t.Fatalf("%d, %v", m.Lost, err)
	}
	if m = payFor(t, s, m, session); m.Lost != 5 { // a voucher for the history without it
		t.Errorf("what was not paid for is forgotten: %d", m.Lost)
	}
}

// Nobody has one answer computed without end by losing it each time.
func TestSameAnswerIsComputedSoOften(t *testing.T) {
	terms := testTerms()
	terms.Escrow, terms.Step = 1000, 50
	s, session := lease(t, terms)
	m, err := job.Served{}, error(nil)
	for computed := 0; ; computed++ {
		if m, err = lose(t, s, m, session, request(s, 4, 7), 7); err != nil {
			break
		}
		if computed > 50 {
			t.Fatal("one answer was computed 50 times for nothing")
		}
	}
	if !errors.Is(err, job.ErrExposure) {
		t.Error(err)
	}
}

// A declared model says something else each time, so all of it is lost.
func TestDeclaredAnswersAreLostEachTime(t *testing.T) {
	_, declared, err := artifact.Declaration{Version: canon.Version, Name: "small"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	terms := testTerms()
	terms.Escrow, terms.Step = 1000, 100
	s, _ := lease(t, terms)
	s.Terms.Model = declared
	m := job.Served{}
	for range 2 {
		unpaid := m
		unpaid.Request = canon.Hash{1}
		unpaid.Tally.Amount += 10
		m = s.Drop(m, unpaid)
	}
	if m.Lost != 20 {
		t.Errorf("%d udlt are lost", m.Lost)
	}
}

func TestCostRoundsUpOnceAndRefusesOverflow(t *testing.T) {
	p := job.Price{Input: 1, Output: 3}
	for _, c := range []struct{ in, out, want uint64 }{{0, 0, 0}, {1, 0, 1}, {1000, 0, 1}, {1001, 0, 2}, {1, 333, 1}, {1, 334, 2}} {
		if got, err := p.Cost(c.in, c.out); err != nil || got != c.want {
			t.Errorf("cost of %d and %d is %d (%v), want %d", c.in, c.out, got, err, c.want)
		}
	}
	const most = ^uint64(0)
	if got, err := (job.Price{Input: 1000}).Cost(most, 0); err != nil || got != most {
		t.Errorf("the highest cost is %d, %v", got, err)
	}
	for _, p := range []job.Price{{Input: 1001}, {Input: most, Output: most}, {Input: 1000, Output: 1}} {
		if _, err := p.Cost(most, most); !errors.Is(err, job.ErrOverflow) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
