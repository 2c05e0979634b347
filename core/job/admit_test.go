package job_test

import (
	"errors"
	"testing"

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
