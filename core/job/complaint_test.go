package job_test

import (
	"errors"
	"testing"

	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	"daulat/core/receipt"
)

func TestComplain(t *testing.T) {
	s, _ := lease(t, testTerms())
	evidence := canon.Sum([]byte("evidence"))
	signed := func(edit func(*receipt.Receipt), by string) receipt.Signed {
		r := receipt.Receipt{Chain: chain, Session: s.ID, Seq: 3, Input: 1, Output: 2, Amount: 3, Root: canon.Hash{1}}
		edit(&r)
		return receipt.Signed{Receipt: r, Signature: key(t, by).Sign(receipt.DomainReceipt, r)}
	}
	same := func(*receipt.Receipt) {}
	good := signed(same, "i")
	changed := good
	changed.Receipt.Amount++
	in := func(state job.SessionState) job.Session {
		s := s
		s.State = state
		return s
	}
	complain := func(s job.Session, by string, seq uint64, r receipt.Signed, h canon.Hash) error {
		c, err := s.Complain(by, chain, seq, r, h, 50)
		if err != nil && c != (job.Complaint{}) {
			t.Errorf("a refused complaint is not empty: %+v", c)
		}
		return err
	}
	for _, state := range []job.SessionState{job.SessionOpen, job.SessionClosing, job.SessionSettled} {
		c, err := in(state).Complain(consumer, chain, 9, good, evidence, 50)
		want := job.Complaint{Version: canon.Version, Session: 7, Seq: 9, Consumer: consumer, Provider: provider,
			Model: s.Terms.Model, Receipt: good, Evidence: evidence, Filed: 50}
		if err != nil || c != want {
			t.Fatalf("%s: %+v, %v", state, c, err)
		}
	}
	any := errors.New("any")
	for name, c := range map[string]struct{ err, want error }{
		"by the provider":       {complain(s, provider, 1, good, evidence), job.ErrStranger},
		"by a stranger":         {complain(s, stranger, 1, good, evidence), job.ErrStranger},
		"released":              {complain(in(job.SessionReleased), consumer, 1, good, evidence), job.ErrReleased},
		"no sequence number":    {complain(s, consumer, 0, good, evidence), any},
		"no evidence":           {complain(s, consumer, 1, good, canon.Hash{}), any},
		"another chain":         {complain(s, consumer, 1, signed(func(r *receipt.Receipt) { r.Chain = "x" }, "i"), evidence), receipt.ErrChain},
		"another session":       {complain(s, consumer, 1, signed(func(r *receipt.Receipt) { r.Session++ }, "i"), evidence), receipt.ErrSession},
		"covers nothing":        {complain(s, consumer, 1, signed(func(r *receipt.Receipt) { r.Seq = 0 }, "i"), evidence), any},
		"signed by another":     {complain(s, consumer, 1, signed(same, "x"), evidence), canon.ErrSignature},
		"signed by the session": {complain(s, consumer, 1, signed(same, "s"), evidence), canon.ErrSignature},
		"changed":               {complain(s, consumer, 1, changed, evidence), canon.ErrSignature},
	} {
		if c.err == nil || c.want != any && !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
}

// A complaint holds against its own session and no other.
func TestComplaintBelongsToItsSession(t *testing.T) {
	s, _ := lease(t, testTerms())
	r := receipt.Receipt{Chain: chain, Session: s.ID, Seq: 1}
	c, err := s.Complain(consumer, chain, 1, receipt.Signed{Receipt: r, Signature: key(t, "i").Sign(receipt.DomainReceipt, r)},
		canon.Hash{1}, 5)
	if err != nil {
		t.Fatal(err)
	}
	s.State = job.SessionReleased
	if err := c.Check(chain, s); err != nil {
		t.Fatalf("a complaint lapses with the session: %v", err)
	}
	for name, spoil := range map[string]func(*job.Complaint){
		"version":  func(c *job.Complaint) { c.Version++ },
		"session":  func(c *job.Complaint) { c.Session++ },
		"consumer": func(c *job.Complaint) { c.Consumer = stranger },
		"provider": func(c *job.Complaint) { c.Provider = stranger },
		"model":    func(c *job.Complaint) { c.Model[5] ^= 1 },
		"seq":      func(c *job.Complaint) { c.Seq = 0 },
		"evidence": func(c *job.Complaint) { c.Evidence = canon.Hash{} },
		"receipt":  func(c *job.Complaint) { c.Receipt.Receipt.Output++ },
	} {
		bad := c
		spoil(&bad)
		if bad.Check(chain, s) == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

// A standing is the same whether it followed a session step by step or is taken
// from where the session ended, and stops at the end of 64 bits.
func TestStandingFollowsTheSession(t *testing.T) {
	open := job.Session{State: job.SessionOpen, Escrow: escrow.Lock(10)}
	closing := open
	closing.State = job.SessionClosing
	closing.Claim = &receipt.Entry{Receipt: receipt.Receipt{Seq: 4}}
	settled := closing
	settled.State, settled.Escrow = job.SessionSettled, escrow.Account{Deposited: 10, Withheld: 7, Refunded: 3}
	released := settled
	released.State, released.Escrow = job.SessionReleased, escrow.Account{Deposited: 10, Paid: 7, Refunded: 3}

	start := job.Standing{Withheld: 100, Released: 200, Sessions: 1, Requests: 2, Complaints: 3, Unserved: 4}
	want := []job.Standing{start, start,
		{Withheld: 107, Released: 200, Sessions: 2, Requests: 6, Complaints: 3, Unserved: 4},
		{Withheld: 100, Released: 207, Sessions: 2, Requests: 6, Complaints: 3, Unserved: 4}}
	got, before := start, job.Session{}
	for i, after := range []job.Session{open, closing, settled, released} {
		if got = got.Moved(before, after); got != want[i] {
			t.Fatalf("%s: %+v, want %+v", after.State, got, want[i])
		}
		if direct := start.Moved(job.Session{}, after); direct != want[i] {
			t.Fatalf("%s: at once %+v, want %+v", after.State, direct, want[i])
		}
		before = after
	}
	if got := start.Accused(); got.Complaints != 4 || got.Requests != start.Requests {
		t.Fatalf("%+v", got)
	}
	for name, claim := range map[string]*receipt.Entry{"no pair": nil, "a pair of no answer": {}} {
		empty := job.Session{State: job.SessionSettled, Claim: claim}
		want := start
		want.Sessions, want.Unserved = 2, 5
		if got := start.Moved(closing, empty).Moved(empty, empty); got != want {
			t.Fatalf("a session with %s: %+v", name, got)
		}
	}
	unused := job.Session{State: job.SessionSettled, Reason: job.ReasonFinal, Claim: &receipt.Entry{}}
	if got := start.Moved(open, unused); got != start {
		t.Fatalf("a session that both sides ended unused: %+v", got)
	}
	full := job.Standing{Released: ^uint64(0), Sessions: ^uint64(0), Requests: ^uint64(0) - 1, Complaints: ^uint64(0)}
	top := job.Standing{Released: ^uint64(0), Sessions: ^uint64(0), Requests: ^uint64(0), Complaints: ^uint64(0)}
	if got := full.Moved(job.Session{}, released).Accused(); got != top {
		t.Fatalf("%+v", got)
	}
}
