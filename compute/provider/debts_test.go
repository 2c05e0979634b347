package provider_test

import (
	"strings"
	"testing"

	"daulat/core/job"
	"daulat/link"
	"daulat/link/session"
	"daulat/link/session/sessiontest"
)

// taken asks once. It returns the stream on which a voucher is waited for, and the
// final one for all so far.
func (a *asker) taken(prompt, most int) (*link.Stream, session.Payment) {
	a.t.Helper()
	stream, next := a.answered(a.ask(prompt, most))
	return stream, a.voucher(next, true)
}

// over ends the session without paying.
func (a *asker) over() {
	a.t.Helper()
	if err := a.account.CloseSession(a.t.Context(), a.session.ID); err != nil {
		a.t.Fatal(err)
	}
	a.advance(sessiontest.Windows.Close)
	a.eventually("the provider notes the end", func() bool {
		r, err := a.journal.Record(a.session.ID)
		return err == nil && r.Session.State == job.SessionSettled
	})
}

// distrusted expects that the account gets no answer, and is told why.
func (a *asker) distrusted(when string) {
	a.t.Helper()
	ask := a.ask(4, 7)
	_, _, err := hear(a.send(session.Opening{Ask: &ask}))
	a.refused(when, err, session.Busy)
	if err == nil || !strings.Contains(err.Error(), "too many answers unpaid") {
		a.t.Errorf("%s: the reason is %v", when, err)
	}
}

// Whoever leaves one session without paying and takes the next gets one step more
// and then nothing, in any session, after a restart too, and whatever it signs when
// that is worth nothing any more. Others are served, and an hour later it is too.
func TestAccountThatDefaultsAgain(t *testing.T) {
	s := start(t)
	first := s.lease(1000, 50)
	for range 4 { // all but the last are dropped by the next
		stream, _ := first.taken(4, 7)
		stream.Reset()
	}
	first.over()

	second := s.lease(1000, 50)
	stream, late := second.taken(4, 40)
	stream.Reset()
	third := s.lease(1000, 50)
	third.buy(4, 7) // the second may still pay
	second.over()
	third.distrusted("after two sessions without pay")
	second.refused("a final voucher that is too late", paid(second.send(session.Opening{Finish: &late})), session.Spent)
	third.distrusted("after a voucher that was worth nothing")
	fourth := s.lease(1000, 50)
	fourth.distrusted("in a new session")
	s.leaseOf("somebody else", 1000, 50).buy(4, 7)

	s.crash()
	fourth.distrusted("after a restart")
	s.advance(job.DebtLasts - 100)
	s.lease(1000, 50).distrusted("a while later")
	s.advance(100)
	s.lease(1000, 50).buy(4, 7)
}

// A consumer that keeps its stream open until the session is over pays nothing by
// the voucher that it then sends.
func TestVoucherAfterTheEnd(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 50)
	stream, late := a.taken(4, 46)
	if err := a.account.CloseSession(t.Context(), a.session.ID); err != nil {
		t.Fatal(err)
	}
	s.advance(sessiontest.Windows.Close)
	before := s.ledger.looks.Load()
	s.eventually("the end is seen", func() bool { return s.ledger.looks.Load() >= before+2 }) // as the stream is open, each round looks again
	a.refused("a voucher after the end", pay(stream, late), session.Spent)
}
