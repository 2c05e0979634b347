package provider_test

import (
	"testing"
	"time"

	"daulat/core/receipt"
	"daulat/link"
	"daulat/link/session"
)

// told reads an answer's first frames, up to so many tokens.
func told(t *testing.T, s *link.Stream, tokens int) {
	t.Helper()
	for got := 0; got < tokens; {
		var r session.Reply
		if err := s.Receive(&r); err != nil || len(r.Tokens) == 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		got += len(r.Tokens)
	}
}

// Whoever stops an answer gets a receipt for what came, pays it, and owes nothing.
func TestStoppedAnswer(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 20)
	s.toy.holds.Store(4)
	for range 5 { // together they are worth more than one exposure step
		ask := a.ask(4, 10)
		stream := a.send(session.Opening{Ask: &ask})
		told(t, stream, 3)
		if err := stream.Send(session.Word{Stop: true}); err != nil {
			t.Fatal(err)
		}
		rest, done, err := hear(stream)
		if err != nil || done.Finish != receipt.FinishCancelled || len(rest.Tokens) != 0 {
			t.Fatalf("%+v, %+v, %v", rest, done, err)
		}
		next, err := a.session.Serve(a.served, receipt.NewLeaf(ask.Ask, ask.Request, ask.Request.Cut([]receipt.Token{{ID: 4}, {ID: 5}, {ID: 6}})))
		if err != nil || done.Receipt != next.Tally.Receipt(done.Receipt.Chain, a.session.ID) {
			t.Fatalf("%+v, %v", done.Receipt, err)
		}
		p := a.voucher(next, false)
		if err := pay(stream, p); err != nil {
			t.Fatal(err)
		}
		a.served, a.last = next, &p
	}
	if a.served.Tally.Amount != 5*7 {
		t.Errorf("%d udlt were paid", a.served.Tally.Amount)
	}
}

// Nothing is owed for an answer that was stopped before it began, and the session
// goes on.
func TestStoppedBeforeItBegan(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 20)
	s.toy.holds.Store(1)
	ask := a.ask(4, 10)
	stream := a.send(session.Opening{Ask: &ask})
	if err := stream.Send(session.Word{Stop: true}); err != nil {
		t.Fatal(err)
	}
	_, _, err := hear(stream)
	a.refused("stopped before it began", err, session.Stopped)
	s.toy.holds.Store(0)
	a.buy(4, 16) // all of the step
}

// A stop that comes too late changes nothing: the answer is whole, and is paid for.
func TestStopTooLate(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 20)
	stream, next := a.answered(a.ask(4, 10))
	if err := stream.Send(session.Word{Stop: true}); err != nil {
		t.Fatal(err)
	}
	if err := pay(stream, a.voucher(next, false)); err != nil {
		t.Fatal(err)
	}
}

// Words that say nothing, or twice the same, end the answer unpaid.
func TestForeignWords(t *testing.T) {
	p := &session.Payment{}
	for name, said := range map[string][]session.Word{
		"nothing":          {{}},
		"both":             {{Stop: true, Payment: p}},
		"stop twice":       {{Stop: true}, {Stop: true}},
		"no voucher":       {{Payment: p}},
		"stop, no voucher": {{Stop: true}, {Payment: p}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			a := s.lease(1000, 20)
			stream, _ := a.answered(a.ask(4, 10))
			for _, w := range said {
				if err := stream.Send(w); err != nil {
					t.Fatal(err)
				}
			}
			stream.SetFrameTimeout(10 * time.Second)
			a.refused(name, paid(stream), session.Invalid)
			r, err := s.journal.Record(a.session.ID)
			if err != nil || r.Served.Paid != 0 || r.Unpaid == nil {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// What a consumer has of an answer on which it hung up counts as lost, whatever the
// engine returns.
func TestHangingUpIsOwed(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 20)
	s.toy.holds.Store(4)
	ask := a.ask(4, 10)
	stream := a.send(session.Opening{Ask: &ask})
	told(t, stream, 3)
	stream.Reset()
	s.eventually("what came is noted as lost", func() bool {
		r, err := s.journal.Record(a.session.ID)
		return err == nil && r.Served.Lost == 7
	})
	s.toy.holds.Store(0)
	next := a.ask(4, 10) // with the 7 that are lost it is one more than the step
	_, _, err := hear(a.send(session.Opening{Ask: &next}))
	a.refused("one more", err, session.Spent)
}

// Whoever is cut off and asks the same again gets the same answer, so what was lost
// of it is not held against it, nor counts once it is paid for.
func TestSameAnswerAgain(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 20)
	s.toy.holds.Store(4)
	ask := a.ask(4, 16) // all of the step
	for range 3 {
		stream := a.send(session.Opening{Ask: &ask})
		told(t, stream, 3)
		stream.Reset()
		a.seq++
		again := ask.Ask
		again.Seq = a.seq
		ask = a.sign(again, ask.Request)
	}
	s.eventually("what came is noted as lost", func() bool {
		r, err := s.journal.Record(a.session.ID)
		return err == nil && r.Served.Lost == 7
	})
	s.toy.holds.Store(0)
	stream, next := a.answered(ask)
	p := a.voucher(next, false)
	if err := pay(stream, p); err != nil {
		t.Fatal(err)
	}
	a.served, a.last = next, &p
	a.buy(4, 16)
}
