package provider_test

import (
	"errors"
	"testing"
	"time"

	"daulat/link/session"
)

// A consumer whose address changed asks again while its former stream still seems
// to be open: the newer ask ends the older one, whose answer it does not wait for.
func TestNewerAskEndsTheOlderOne(t *testing.T) {
	s := start(t)
	a := s.lease(1000, 500)
	hold := make(chan struct{})
	s.toy.pause = func(i int) {
		if i == 1 {
			<-hold
		}
	}
	older := a.ask(2, 3)
	former := a.send(session.Opening{Ask: &older})
	var r session.Reply
	if err := former.Receive(&r); err != nil || len(r.Tokens) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	// What a stranger asks in the session's name ends nothing.
	forged := a.ask(2, 3)
	forged.Signature[0]++
	_, _, err := hear(a.send(session.Opening{Ask: &forged}))
	a.refused("a forged ask", err, session.Invalid)

	newer := a.ask(2, 3)
	latter := a.send(session.Opening{Ask: &newer})
	former.SetFrameTimeout(10 * time.Second)
	err = former.Receive(&r)
	close(hold)
	var late interface{ Timeout() bool }
	if err == nil || errors.As(err, &late) && late.Timeout() {
		t.Fatalf("the former stream goes on: %v", err)
	}
	if answer, _, err := hear(latter); err != nil || len(answer.Tokens) != 3 {
		t.Fatalf("%+v, %v", answer, err)
	}
}
