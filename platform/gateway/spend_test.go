package gateway

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// counting counts the writes.
type counting struct {
	memory
	writes int
}

func (c *counting) Save(name string, s Spend) error {
	c.writes++
	return c.memory.Save(name, s)
}

// TestSpendOnRecord: at any moment, what a crash leaves is no less than what was
// spent and reserved, and at most 1 % of the limit more.
func TestSpendOnRecord(t *testing.T) {
	const limit, ceiling, slack = 1_000_000, 400, 10_000
	ledger := &counting{memory: *newMemory()}
	a, err := newAccount(Token{Name: "t", Secret: secret, DailySpend: limit, Concurrent: 1}, ledger)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var open []reservation
	var spent uint64 // the test's own account of it
	check := func(day int64) {
		t.Helper()
		crashed, err := newAccount(Token{Name: "t", Secret: secret, DailySpend: limit, Concurrent: 1}, ledger)
		if err != nil {
			t.Fatal(err)
		}
		if s := crashed.spend; s.Day != day || s.Spent < spent || s.Spent > spent+slack || a.spend.Spent != spent {
			t.Fatalf("%+v on record and %d in memory, with %d spent on day %d", s, a.spend.Spent, spent, day)
		}
	}
	const requests = 3000
	for range requests {
		r, err := a.reserve(time.Unix(0, 0), ceiling)
		if err != nil {
			t.Fatal(err)
		}
		open, spent = append(open, r), spent+ceiling
		check(0)
		for len(open) > random.IntN(40) {
			price := random.Uint64N(ceiling / 2)
			if err := a.settle(open[0], price); err != nil {
				t.Fatal(err)
			}
			open, spent = open[1:], spent-ceiling+price
			check(0)
		}
	}
	if ledger.writes > requests/10 {
		t.Errorf("%d writes for %d requests", ledger.writes, requests)
	}
	for range 100 { // more than the slack at once, and then next to nothing of it is paid
		r, err := a.reserve(time.Unix(0, 0), ceiling)
		if err != nil {
			t.Fatal(err)
		}
		open, spent = append(open, r), spent+ceiling
		check(0)
	}
	for _, r := range open {
		if err := a.settle(r, 1); err != nil {
			t.Fatal(err)
		}
		spent -= ceiling - 1
		check(0)
	}
	if err := a.settle(reservation{}, 2*slack); err == nil { // above its ceiling of 0, and yet paid
		t.Fatal("a price above its ceiling was not reported")
	}
	spent += 2 * slack
	check(0)
	if _, err := a.reserve(time.Unix(86400, 0), ceiling); err != nil {
		t.Fatal(err)
	}
	spent = ceiling
	check(1)
	if err := a.exact(); err != nil || ledger.spent("t") != spent {
		t.Errorf("%d on record after a clean stop, with %d spent, %v", ledger.spent("t"), spent, err)
	}
}

// TestWholeLimitCanBeSpent: what is written ahead takes nothing from the limit.
func TestWholeLimitCanBeSpent(t *testing.T) {
	ledger := newMemory()
	for range 10 { // a new gateway each time, after a clean stop
		a, err := newAccount(Token{Name: "t", Secret: secret, DailySpend: 1000, Concurrent: 1}, ledger)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.reserve(time.Unix(0, 0), 100); err != nil {
			t.Fatal(err)
		}
		if err := a.exact(); err != nil {
			t.Fatal(err)
		}
	}
	if got := ledger.spent("t"); got != 1000 {
		t.Errorf("%d on record", got)
	}
}

func TestFailedRecordChangesNothing(t *testing.T) {
	ledger := newMemory()
	a, err := newAccount(Token{Name: "t", Secret: secret, DailySpend: 1000, Concurrent: 1}, ledger)
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.reserve(time.Unix(0, 0), 100)
	if err != nil {
		t.Fatal(err)
	}
	ledger.err = errors.New("disk full")
	if _, err := a.reserve(time.Unix(0, 0), 100); err == nil || a.spend.Spent != 100 {
		t.Errorf("a reservation off the record: %v, spent %d", err, a.spend.Spent)
	}
	if err := a.settle(r, 30); err == nil || a.spend.Spent != 30 {
		t.Errorf("a settlement off the record: %v, spent %d", err, a.spend.Spent)
	}
	if ledger.err = nil; a.exact() != nil || ledger.spent("t") != 30 {
		t.Errorf("%d on record", ledger.spent("t"))
	}
}

// TestChargesCountAgainstTheToken: what a handler behind the guard spends is the
// token's, up to its limit, and without a token nothing is spent.
func TestChargesCountAgainstTheToken(t *testing.T) {
	g := start(t, config(says("hello")))
	add(t, g, Token{Name: "guest", Secret: guest, DailySpend: 1000, Concurrent: 1})
	var charged error
	g.Handle("/charge", g.Guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { charged = g.Charge(r.Context(), 400) })))
	for i, want := range []error{nil, nil, ErrSpend} {
		r := request("POST", "/charge", "")
		r.Header.Set("Authorization", "Bearer "+guest)
		g.Handler().ServeHTTP(httptest.NewRecorder(), r)
		if !errors.Is(charged, want) {
			t.Errorf("charge %d: %v, want %v", i+1, charged, want)
		}
	}
	for _, u := range g.Usage() {
		if u.Name == "guest" && u.Spent != 800 {
			t.Errorf("%d udlt count as spent, want 800", u.Spent)
		}
	}
	if err := g.Charge(t.Context(), 1); err == nil {
		t.Error("nobody's token was charged")
	}
}
