package consumer_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	wire "daulat/link/session"
	"daulat/platform/consumer"
)

// asks puts one question with terms that change makes, and returns who answered.
func (s *setup) asks(change func(*job.Terms, *consumer.Prompt)) (string, error) {
	t, p := terms(), prompt(1, 3)
	change(&t, &p)
	r, err := s.client.Ask(s.ctx, t, p, willing, deaf)
	return r.Provider, err
}

// Once a provider failed, nothing more is asked of it: its other sessions are left at
// once, and one that still answers when that is done.
func TestShunnedProviderLosesItsOpenSessions(t *testing.T) {
	s := start(t)
	bad := s.sells("bad", 1)
	s.sells("good", 2)
	came := make(chan struct{}, 9)
	hold := func(until chan struct{}) conduct { // in the middle of an answer
		return conduct{shown: func(r *wire.Reply) {
			if r.Tokens[0] == 1 {
				came <- struct{}{}
				<-until
			}
		}}
	}
	s.client.Auditor = judge(func(a receipt.Answer) bool { return a.Tokens[0] == 0 })
	three, last := make(chan struct{}), make(chan struct{})
	answer := sync.OnceFunc(func() { close(last) })
	defer answer()
	var all sync.WaitGroup
	bad.behave(hold(three))
	for range 3 {
		all.Go(func() { s.buy(1, 2) })
		<-came // so the next request opens a session
	}
	close(three)
	all.Wait()

	var r consumer.Result
	bad.behave(hold(last))
	all.Go(func() { r = s.buy(1, 2) })
	<-came
	bad.behave(conduct{shift: 1})
	var lie *consumer.LieError
	if _, err := s.try(s.ctx, 1, 2); !errors.As(err, &lie) { // nothing is asked after it
		t.Errorf("got %v", err)
	}
	open := func() int {
		all, err := s.account.Sessions(s.ctx, "bad", job.SessionOpen)
		if err != nil {
			t.Error(err)
		}
		return len(all)
	}
	s.eventually("those that are not in use are left", func() bool { return open() == 1 })
	answer()
	all.Wait()
	if r.Provider != "bad" {
		t.Errorf("%s answered what was under way", r.Provider)
	}
	s.eventually("all are left", func() bool { return open() == 0 })
	if n := len(bad.asked()); n != 5 {
		t.Errorf("it was asked %d times", n)
	}
}

// So is a session that an earlier run left open with a provider that it shunned.
func TestShunnedInAnEarlierRun(t *testing.T) {
	s := start(t)
	s.sells("bad", 1)
	s.sells("good", 2)
	open := s.buy(1, 3)
	s.keeper = &kept{consumer.Memory{Providers: map[string]consumer.Remembered{"bad": {Shunned: time.Now().Add(time.Minute).Unix()}}}}
	s.crash(s.disk())
	if err := s.client.Recover(s.ctx); err != nil {
		t.Fatal(err)
	}
	if r := s.buy(1, 3); open.Provider != "bad" || r.Provider != "good" {
		t.Errorf("%s answered after %s", r.Provider, open.Provider)
	}
	s.eventually("the session is left", func() bool { return s.onLedger(open.Session).State != job.SessionOpen })
}

// A pinned request goes to its account though a cheaper one has a warm session,
// and an excluded account gets none.
func TestPinAndExclude(t *testing.T) {
	s := start(t)
	s.sells("cheap", 1)
	s.sells("middle", 2)
	s.sells("dear", 3)
	for _, c := range []struct {
		want   string
		change func(*job.Terms, *consumer.Prompt)
	}{
		{"cheap", func(*job.Terms, *consumer.Prompt) {}},
		{"dear", func(t *job.Terms, _ *consumer.Prompt) { t.Preferred, t.Only = []string{"dear"}, true }},
		{"cheap", func(*job.Terms, *consumer.Prompt) {}},
		{"middle", func(t *job.Terms, _ *consumer.Prompt) { t.Excluded = []string{"cheap", "dear"} }},
		{"dear", func(t *job.Terms, _ *consumer.Prompt) { t.Excluded = []string{"cheap", "middle"} }},
	} {
		if got, err := s.asks(c.change); got != c.want {
			t.Errorf("%s answered, not %s: %v", got, c.want, err)
		}
	}
	var none *consumer.NoMatchError
	_, err := s.asks(func(t *job.Terms, _ *consumer.Prompt) { t.Preferred, t.Only = []string{"nobody"}, true })
	if !errors.As(err, &none) || !strings.Contains(none.Explanation, "3 are not among those that the order names") {
		t.Errorf("%v", err)
	}
}

// Requests that shall be spread go round the owners, and new sessions are opened
// while there is one that serves none.
func TestSpread(t *testing.T) {
	s := start(t)
	for _, name := range []string{"a", "b", "c"} {
		s.sells(name, 1)
	}
	won := map[string]int{}
	for range 9 {
		got, err := s.asks(func(_ *job.Terms, p *consumer.Prompt) { p.Spread = true })
		if err != nil {
			t.Fatal(err)
		}
		won[got]++
	}
	if len(won) != 3 || slices.Min(slices.Collect(maps.Values(won))) != 3 {
		t.Errorf("%v", won)
	}
}

// next is the client's next run.
func (s *setup) next() {
	s.t.Helper()
	s.closeAll()
	s.crash(s.disk())
	if err := s.client.Recover(s.ctx); err != nil {
		s.t.Fatal(err)
	}
}

// So they do if each is a run of its own, whoever is known and whoever asks less, and
// also among those that are pinned; one that lied gets none.
func TestSpreadOutlastsTheRun(t *testing.T) {
	s := remembering(t)
	s.sells("a", 1)
	s.buy(1, 3)
	s.sells("b", 2)
	spread := func(_ *job.Terms, p *consumer.Prompt) { p.Spread = true }
	pinned := func(t *job.Terms, p *consumer.Prompt) { t.Preferred, t.Only, p.Spread = []string{"a", "b"}, true, true }
	for i, c := range []struct {
		want   string
		change func(*job.Terms, *consumer.Prompt)
	}{{"b", spread}, {"a", spread}, {"b", spread}, {"a", spread}, {"b", pinned}, {"a", pinned}, {"b", spread}} {
		s.next()
		if got, err := s.asks(c.change); got != c.want {
			t.Errorf("question %d: %s answered, not %s: %v", i, got, c.want, err)
		}
	}
	s.closeAll()
	a := s.keeper.Memory.Providers["a"]
	a.Shunned, a.Lied = time.Now().Add(time.Hour).Unix(), true
	s.keeper.Memory.Providers["a"] = a
	for range 2 {
		s.next()
		if got, err := s.asks(spread); got != "b" {
			t.Errorf("%q answered beside a liar: %v", got, err)
		}
	}
}

// kept is a Keeper in memory.
type kept struct{ consumer.Memory }

func (k *kept) Load() (consumer.Memory, error) { return k.Memory, nil }
func (k *kept) Save(m consumer.Memory) error   { k.Memory = m; return nil }

// What was learnt of providers outlives the process: who failed gets no order, and
// who served is measured.
func TestWhatWasLearntIsKept(t *testing.T) {
	s := remembering(t)
	bad := s.sells("bad", 1)
	bad.behave(conduct{cut: 1})
	s.sells("good", 2)
	if r := s.buy(1, 3); r.Provider != "good" {
		t.Fatalf("%s answered", r.Provider)
	}
	s.closeAll()
	if m := s.keeper.Memory; m.Providers["good"].Served != 1 || m.Providers["good"].Models[model.String()].First == 0 || m.Providers["bad"].Failed != 1 || m.Providers["bad"].Shunned == 0 || m.Sessions != 2 {
		t.Fatalf("%+v", m)
	}
	s.crash(s.disk())
	if err := s.client.Recover(s.ctx); err != nil {
		t.Fatal(err)
	}
	fit, unfit := s.client.Ranking(terms(), s.offers(), consumer.Owners{})
	if len(fit) != 1 || fit[0].Offer.Provider != "good" || fit[0].Facts.Served != 1 || len(unfit) != 1 || unfit[0].Why != "failed here just now" {
		t.Fatalf("%+v, %+v", fit, unfit)
	}
}

// How fast a provider was with one model says nothing of another, also after a restart;
// that it served and failed does.
func TestSpeedIsOfOneModel(t *testing.T) {
	s := remembering(t)
	s.sells("seller", 1)
	s.buy(1, 3)
	s.buy(1, 3)
	of := func(model canon.CID) match.Facts {
		wanted, offers := terms(), s.offers()
		wanted.Model, offers[0].Offer.Model = model, model
		fit, unfit := s.client.Ranking(wanted, offers, consumer.Owners{})
		if len(fit) != 1 {
			t.Fatalf("%+v", unfit)
		}
		return fit[0].Facts
	}
	check := func(when string) {
		if f := of(model); f.First == 0 || f.Speed == 0 || f.Answers != 2 || f.Served != 2 {
			t.Errorf("%s, the model that was asked: %+v", when, f)
		}
		if f := of(canon.NewCID(canon.DagCBOR, canon.Hash{2})); f.Pace != (match.Pace{}) || f.Served != 2 {
			t.Errorf("%s, another: %+v", when, f)
		}
	}
	check("at once")
	s.closeAll()
	s.crash(s.disk())
	if err := s.client.Recover(s.ctx); err != nil {
		t.Fatal(err)
	}
	check("after a restart")
}

// A provider without history gets one session in sixteen, however little it asks.
func TestNewcomersGetTheirShare(t *testing.T) {
	s := start(t)
	known := s.sells("known", 3)
	s.buy(1, 3)
	fresh := s.sells("fresh", 1)
	fresh.behave(conduct{cut: 1})
	for range 30 {
		s.closeAll()
		s.client.Forget(model)
		s.buy(1, 3)
	}
	if n := len(fresh.asked()); n != 1 {
		t.Errorf("the fresh one, which fails, was asked %d times", n)
	}
	if n := len(known.asked()); n != 31 {
		t.Errorf("the known one was asked %d times", n)
	}
}
