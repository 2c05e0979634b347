package consumer_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	wire "daulat/link/session"
	"daulat/platform/consumer"
)

// openWith counts the sessions with a provider that are open on the ledger.
func (s *setup) openWith(provider string) int {
	s.t.Helper()
	all, err := s.account.Sessions(s.ctx, provider, job.SessionOpen)
	if err != nil {
		s.t.Error(err)
	}
	return len(all)
}

func bounded(n uint64) func(*job.Terms, *consumer.Prompt) {
	return func(_ *job.Terms, p *consumer.Prompt) { p.PerOwner = n }
}

// holds has a seller keep each answer until the returned function is called; came has
// one for each that it holds.
func (x *seller) holds(came chan<- string) (release func()) {
	until := make(chan struct{})
	x.behave(conduct{shown: func(r *wire.Reply) {
		if r.Tokens[0] == 1 {
			came <- x.name
			<-until
		}
	}})
	return sync.OnceFunc(func() { close(until) })
}

// An owner that has as many sessions as it may gets no more, though it asks less, and
// also among those that are pinned; if all have, that is said, and a session that gets
// free is taken.
func TestPerOwner(t *testing.T) {
	s := start(t)
	came := make(chan string, 9)
	var all sync.WaitGroup
	releaseA, releaseB := s.sells("a", 1).holds(came), s.sells("b", 2).holds(came)
	defer func() { releaseA(); releaseB(); all.Wait() }()
	ask := func(change func(*job.Terms, *consumer.Prompt)) {
		all.Go(func() {
			if _, err := s.asks(change); err != nil {
				t.Error(err)
			}
		})
	}
	ask(bounded(1))
	if got := <-came; got != "a" {
		t.Errorf("%s is first", got)
	}
	pinned := func(t *job.Terms, p *consumer.Prompt) { t.Preferred, t.Only, p.PerOwner = []string{"a", "b"}, true, 1 }
	ask(pinned)
	if got := <-came; got != "b" {
		t.Errorf("%s is second", got)
	}
	var full *consumer.FullError
	if _, err := s.asks(bounded(1)); !errors.As(err, &full) || full.PerOwner != 1 {
		t.Errorf("%v", err)
	}
	if s.openWith("a") != 1 || s.openWith("b") != 1 {
		t.Errorf("%d and %d sessions are open", s.openWith("a"), s.openWith("b"))
	}
	ask(bounded(2))
	if got := <-came; got != "a" {
		t.Errorf("%s is third", got)
	}
	ask(bounded(1)) // which waits for one that gets free
	releaseA()
	releaseB()
	all.Wait()
	if s.openWith("a") != 2 || s.openWith("b") != 1 {
		t.Errorf("%d and %d sessions are open", s.openWith("a"), s.openWith("b"))
	}
}

// The bound holds for requests that come at the same time.
func TestPerOwnerAtTheSameTime(t *testing.T) {
	s := start(t)
	s.sells("a", 1)
	s.sells("b", 2)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := s.asks(bounded(1)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if s.openWith("a") > 1 || s.openWith("b") > 1 {
		t.Errorf("%d and %d sessions are open", s.openWith("a"), s.openWith("b"))
	}
}

// Who is full says so, for every model; accounts in one network are one owner.
func TestFullIsShown(t *testing.T) {
	s := start(t)
	s.sells("a", 1)
	s.sells("b", 2)
	s.buy(1, 3)
	wanted, offers := terms(), s.offers()
	shows := func(perOwner uint64, want int) {
		t.Helper()
		_, unfit := s.client.Ranking(wanted, offers, consumer.Owners{PerOwner: perOwner})
		if len(unfit) != want {
			t.Fatalf("%d per owner: %+v", perOwner, unfit)
		}
		for _, u := range unfit {
			if !u.Full || u.Why != "full: its owner has as many sessions of this home as it may, 1" {
				t.Errorf("%+v", u)
			}
		}
	}
	shows(0, 0)
	shows(1, 1)
	shows(2, 0)
	for i := range offers {
		offers[i].Addrs = []string{strings.Replace(offers[i].Addrs[0], "127.0.0.1", "203.0.113."+string('1'+rune(i)), 1)}
	}
	shows(1, 2)
	for i := range offers {
		offers[i].Offer.Model = canon.NewCID(canon.DagCBOR, canon.Hash{2})
	}
	wanted.Model = offers[0].Offer.Model
	shows(1, 2)
}
