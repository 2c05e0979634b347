package consumer_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	wire "daulat/link/session"
	"daulat/link/session/sessiontest"
)

type account = sessiontest.Account // embedded under a name that is none of its methods

// overseen is a ledger that counts what is asked of it in the path of a request,
// and can hold up the closing of sessions.
type overseen struct {
	*account
	waited atomic.Int64
	held   chan struct{}                 // if set, CloseSession waits until it is closed
	gaveUp atomic.Bool                   // a close ended before that
	shown  func(job.Session) job.Session // if set, what the node makes of a session
	purse  func(uint64) uint64           // if set, what it makes of the balance
	gone   atomic.Bool                   // it can't be asked
}

var errGone = errors.New("nobody answers")

func (o *overseen) Addresses(ctx context.Context, provider string) ([]string, error) {
	if o.gone.Load() {
		return nil, errGone
	}
	return o.account.Addresses(ctx, provider)
}

type inPath struct{} // key of what marks a request's context

func (o *overseen) see(ctx context.Context) {
	if ctx.Value(inPath{}) != nil {
		o.waited.Add(1)
	}
}

func (o *overseen) Purse(ctx context.Context) (uint64, error) {
	o.see(ctx)
	if o.gone.Load() {
		return 0, errGone
	}
	udlt, err := o.account.Purse(ctx)
	if o.purse != nil {
		udlt = o.purse(udlt)
	}
	return udlt, err
}

func (o *overseen) PlaceOrder(ctx context.Context, key canon.PublicKey, t job.Terms) (uint64, error) {
	o.see(ctx)
	return o.account.PlaceOrder(ctx, key, t)
}

func (o *overseen) Order(ctx context.Context, id uint64) (job.Order, error) {
	o.see(ctx)
	return o.account.Order(ctx, id)
}

func (o *overseen) Session(ctx context.Context, id uint64) (job.Session, error) {
	o.see(ctx)
	s, err := o.account.Session(ctx, id)
	if o.shown != nil {
		s = o.shown(s)
	}
	return s, err
}

func (o *overseen) Now(ctx context.Context) (uint64, error) {
	o.see(ctx)
	return o.account.Now(ctx)
}

func (o *overseen) CloseSession(ctx context.Context, id uint64) error {
	o.see(ctx)
	if o.held != nil {
		select {
		case <-o.held:
		case <-ctx.Done():
			o.gaveUp.Store(true)
		}
	}
	return o.account.CloseSession(ctx, id)
}

// open counts the consumer's sessions that still hold escrow.
func (s *setup) open() (n int) {
	s.t.Helper()
	for _, state := range []job.SessionState{job.SessionOpen, job.SessionClosing} {
		all, err := s.account.Sessions(s.ctx, "consumer", state)
		if err != nil {
			s.t.Fatal(err)
		}
		n += len(all)
	}
	return n
}

func (s *setup) quiet() {
	s.t.Helper()
	if err := s.client.Quiet(s.ctx); err != nil {
		s.t.Fatal(err)
	}
}

// Where requests come no faster than sessions open, none waits for the ledger
// once it is warm, and a lane holds no more than two sessions.
func TestStreamOfRequestsNeverWaitsForTheLedger(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		s := start(t)
		s.sells("seller", 1)
		s.warm(lanes)
		before := s.ledger.waited.Load()
		sessions := map[uint64]bool{}
		for range 200 / lanes {
			for _, id := range s.together(lanes) {
				sessions[id] = true
			}
			s.quiet()
			if n := s.open(); n > 2*lanes {
				t.Fatalf("%d lanes hold %d sessions", lanes, n)
			}
		}
		if n := s.ledger.waited.Load() - before; n != 0 {
			t.Errorf("%d lanes: warm requests waited for %d calls of the ledger", lanes, n)
		}
		if len(sessions) < 4 {
			t.Errorf("%d sessions: the test asks for too little", len(sessions))
		}
	}
}

// warm opens a session for each lane.
func (s *setup) warm(lanes int) {
	s.together(lanes)
	s.quiet()
}

// together asks once in each lane at the same time and returns the sessions.
func (s *setup) together(lanes int) (sessions []uint64) {
	s.t.Helper()
	ctx := context.WithValue(s.ctx, inPath{}, true)
	var mu sync.Mutex
	var all, met sync.WaitGroup
	met.Add(lanes)
	for range lanes {
		all.Go(func() {
			first := true
			r, err := s.client.Ask(ctx, terms(), prompt(1, 1), willing, func(receipt.Token) error {
				if first { // so that each request has a session of its own
					first = false
					met.Done()
					met.Wait()
				}
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			if sessions = append(sessions, r.Session); err != nil {
				s.t.Error(err)
			}
		})
	}
	all.Wait()
	return sessions
}

// A client that nobody asks opens nothing, even as its session comes to its end.
func TestIdleClientOpensNothing(t *testing.T) {
	s := start(t)
	s.sells("seller", 1)
	s.buy(1, 1)
	before := s.chain.Writes()
	s.advance(uint64(terms().Duration) - 100)
	s.quiet()
	if n := s.chain.Writes() - before; n != 0 || s.open() != 1 {
		t.Errorf("%d writes to the ledger, %d sessions", n, s.open())
	}
}

// A request whose provider failed goes to the next one at once; the clean-up may
// take long, and is waited for at the end.
func TestRetryDoesNotWaitForTheCleanUp(t *testing.T) {
	s := start(t)
	s.client.SetLimits(time.Minute, time.Minute, time.Minute) // or others would be asked besides
	bad, _ := s.sells("bad", 1), s.sells("good", 2)
	held := make(chan struct{})
	s.ledger.held = held
	bad.behave(conduct{early: func(wire.Ask) { go bad.node.Close() }, silent: true})
	if r := s.buy(1, 3); r.Provider != "good" {
		t.Errorf("%s answered", r.Provider)
	}
	if s.ledger.gaveUp.Load() || s.onLedger(1).State != job.SessionOpen {
		t.Errorf("the request waited for the clean-up; session is %s", s.onLedger(1).State)
	}
	done := make(chan error, 1)
	go func() { done <- s.client.CloseAll(s.ctx) }()
	close(held)
	s.eventually("the session closes", func() bool { return s.onLedger(1).State == job.SessionClosing })
	s.advance(sessiontest.Windows.Close)
	if err := <-done; err != nil || s.open() != 0 {
		t.Errorf("%d sessions are left, %v", s.open(), err)
	}
}
