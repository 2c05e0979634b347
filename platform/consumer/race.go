package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"daulat/core/job"
	"daulat/core/receipt"
)

// One request may be under way with several providers: whose first token comes
// first gives the answer, and the others are left. All of them are asked the same,
// so that all draw the same tokens.

// waves is how many sessions more are opened each time that patience ends without a
// token. Most providers are good, so the first wave is one; if that fails too, few
// may be, and several at once cost less than one after the other.
var waves = []int{1, 2, 4}

// maxEntrants is the first and all waves, and then some.
const maxEntrants = 16

// race is one request among the providers that it was put to.
type race struct {
	client  *Client
	terms   job.Terms
	prompt  Prompt
	counter uint64
	follow  *follower
	parent  context.Context
	ended   chan entrantEnd
	begun   chan struct{} // closed when somebody leads
	entered chan struct{} // one for each session that was opened in a wave
	mu      sync.Mutex
	leader  *entrant
	all     []*entrant
	over    bool // the request is done with, one way or the other
}

// entrant is one provider in a race. Its session is locked for it.
type entrant struct {
	session *Session
	cancel  context.CancelFunc
	due     time.Time // by when its first token should come
	late    bool      // that was over when it was left
}

// leave tells the provider that no more of its answer is wanted.
func (e *entrant) leave() {
	e.late = time.Now().After(e.due)
	e.cancel()
}

type entrantEnd struct {
	result  Result
	err     error
	led     bool
	opening bool // it never entered
}

// errBeaten says that another provider was faster.
var errBeaten = errors.New("another provider answers")

func (c *Client) race(ctx context.Context, terms job.Terms, p Prompt, counter uint64, f *follower) *race {
	return &race{client: c, terms: terms, prompt: p, counter: counter, follow: f, parent: ctx,
		ended: make(chan entrantEnd, maxEntrants), entered: make(chan struct{}, maxEntrants), begun: make(chan struct{})}
}

// run puts the request to s, and to others as patience ends.
func (r *race) run(s *Session) (Result, error) {
	defer r.finish()
	running, wave, opening, failed := 1, 0, 0, error(nil)
	patience := time.NewTimer(time.Until(r.enter(s)))
	defer patience.Stop()
	for {
		select {
		case e := <-r.ended:
			if running--; e.err == nil || e.led {
				return e.result, e.err
			}
			if e.opening {
				opening--
			}
			if failed = worse(failed, e.err); running == 0 {
				return Result{}, failed
			}
		case <-r.begun:
			return r.await(running)
		case <-r.entered:
			opening--
		case <-patience.C:
			if opening == 0 && wave < len(waves) { // who is only being ordered keeps nobody waiting yet
				opening = r.reinforce(waves[wave])
				running, wave = running+opening, wave+1
			}
			patience.Reset(r.client.limits.first(r.prompt.size(), 0))
		}
	}
}

// await waits for the leader's end.
func (r *race) await(running int) (Result, error) {
	for ; running > 0; running-- {
		if e := <-r.ended; e.led {
			return e.result, e.err
		}
	}
	return Result{}, errBeaten // cannot be: the leader ends too
}

// worse is the error that says more: that no other session was opened says less than
// what was wrong with one that was.
func worse(a, b error) error {
	if a == nil || errors.As(a, new(unopenedError)) {
		return b
	}
	return a
}

// enter puts the request to a session, which is locked, and returns when its first
// token is due.
func (r *race) enter(s *Session) time.Time {
	ctx, cancel := context.WithCancel(r.parent)
	before := r.client.memory.of(s.provider, s.model, time.Now()).First
	e := &entrant{session: s, cancel: cancel, due: time.Now().Add(r.client.limits.first(r.prompt.size(), before))}
	r.mu.Lock()
	r.all = append(r.all, e)
	if r.over || r.leader != nil {
		e.leave()
	}
	r.mu.Unlock()
	go r.ask(ctx, e)
	return e.due
}

func (r *race) ask(ctx context.Context, e *entrant) {
	defer e.cancel()
	c, s := r.client, e.session
	result, err := s.put(ctx, r.prompt, r.counter, lane{r, e})
	led := r.leads(e)
	switch {
	case err == nil || isInvalid(err) || led && errors.Is(err, errStopped):
		c.release(s)
	case !led && ctx.Err() != nil && r.parent.Err() == nil: // beaten
		if r.wasLate(e) {
			s.blamed = c.shun(r.parent, s.record.Session.Provider, errSlow)
		}
		r.follow.beside.Add(result.Price)
		c.leave(s)
	case errors.Is(err, errStopped), errors.Is(err, errCutOff):
		c.release(s)
	default:
		c.abandon(r.parent, s, err)
	}
	r.ended <- entrantEnd{result: result, err: err, led: led}
}

func (r *race) wasLate(e *entrant) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return e.late
}

func (r *race) leads(e *entrant) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leader == e
}

// claim makes e the leader, if nobody is, and leaves all others.
func (r *race) claim(e *entrant) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader == nil && !r.over {
		r.leader = e
		for _, other := range r.all {
			if other != e {
				other.leave()
			}
		}
		close(r.begun)
	}
	return r.leader == e
}

// finish leaves whoever is still asked.
func (r *race) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, e := range r.all {
		if e != r.leader {
			e.leave()
		}
	}
}

// reinforce opens n sessions with providers that were not asked yet, in the
// background, and enters them as they come.
func (r *race) reinforce(n int) int {
	r.mu.Lock()
	terms := r.terms
	for _, e := range r.all {
		terms.Excluded = append(slices.Clone(terms.Excluded), e.session.provider)
	}
	r.mu.Unlock()
	if r.prompt.PerOwner > 0 {
		n = 1 // the next would have to know whose this one is
	}
	next := make([]*spare, n)
	for i := range next {
		next[i] = r.client.expect(terms.Model)
	}
	go r.wave(next, terms)
	return n
}

// wave opens sessions with one choice, each with another provider of it. It is not
// broken off with the request: an order on its way would be matched, and nobody would
// know of the session.
func (r *race) wave(next []*spare, terms job.Terms) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.parent), aheadTimeout)
	defer cancel()
	done, err := r.client.alone(ctx, r.prompt.Owners)
	o := order{most: r.prompt.worst(), Owners: Owners{PerOwner: r.prompt.PerOwner}, until: time.Now().Add(matchWait), known: true, of: len(next)}
	var chosen choice
	if err == nil {
		defer done()
		chosen, err = r.client.choose(ctx, terms, o)
	}
	var all sync.WaitGroup
	for i := range next {
		o.place = i
		at := o
		all.Go(func() { r.open(ctx, next[i], terms, chosen, at, err) })
	}
	all.Wait()
}

func (r *race) open(ctx context.Context, next *spare, terms job.Terms, chosen choice, o order, err error) {
	c := r.client
	var s *Session
	if err == nil {
		s, err = c.place(ctx, terms, chosen, o)
	}
	if err != nil {
		c.arrived(next, nil)
		r.ended <- entrantEnd{err: unopenedError{err}, opening: true}
		return
	}
	s.tryLock() // nobody else has it yet
	c.arrived(next, s)
	r.enter(s)
	r.entered <- struct{}{}
}

// lane is one provider's way to the follower.
type lane struct {
	race    *race
	entrant *entrant
}

func (l lane) admit(a Admission) error { return l.race.follow.admit(a) }

func (l lane) told() bool { return l.race.follow.told() }

// again lets the provider repeat its answer from the start, unless another leads.
func (l lane) again() {
	l.race.mu.Lock()
	defer l.race.mu.Unlock()
	if l.race.leader == nil || l.race.leader == l.entrant {
		l.race.follow.again()
	}
}

func (l lane) next(t receipt.Token) error {
	if !l.race.claim(l.entrant) {
		return errBeaten
	}
	return l.race.follow.next(t)
}
