package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

const guest = "a-secret-of-another-one"

// askAs asks with a token of one's own.
func askAs(g *Gateway, secret string) *httptest.ResponseRecorder {
	r := request("POST", "/v1/chat/completions", question)
	r.Header.Set("Authorization", "Bearer "+secret)
	w := httptest.NewRecorder()
	g.Handler().ServeHTTP(w, r)
	return w
}

func add(t *testing.T, g *Gateway, token Token) {
	t.Helper()
	if err := g.Add(token); err != nil {
		t.Fatal(err)
	}
}

func TestTokensComeAndGoWhileServing(t *testing.T) {
	g := start(t, config(says("hello")))
	if w := askAs(g, guest); w.Code != http.StatusUnauthorized {
		t.Fatalf("before it was added: status %d", w.Code)
	}
	add(t, g, Token{Name: "guest", Secret: guest, DailySpend: 120, Concurrent: 1})
	if w := askAs(g, guest); w.Code != http.StatusOK {
		t.Fatalf("added: status %d, %s", w.Code, w.Body)
	}
	if u := g.Usage(); len(u) != 2 || u[1] != (Usage{"guest", 120, 1, 40}) {
		t.Errorf("usage is %+v", u)
	}
	// Of 120 udlt 40 are spent, and an answer may cost 100.
	if w := askAs(g, guest); w.Code != http.StatusTooManyRequests || code(t, w) != "insufficient_quota" {
		t.Errorf("beyond its limit: status %d, %s", w.Code, w.Body)
	}
	if w := ask(g, question); w.Code != http.StatusOK {
		t.Errorf("the other token: status %d", w.Code)
	}
	if !g.Remove("guest") || g.Remove("guest") {
		t.Error("a token is removed once")
	}
	if w := askAs(g, guest); w.Code != http.StatusUnauthorized {
		t.Errorf("after it was removed: status %d", w.Code)
	}
}

func TestTokensThatCannotBeAdded(t *testing.T) {
	g := start(t, config(says("hello")))
	for name, token := range map[string]Token{
		"no name":        {Secret: guest, Concurrent: 1},
		"no secret":      {Name: "guest", Concurrent: 1},
		"a short secret": {Name: "guest", Secret: "short", Concurrent: 1},
		"no request":     {Name: "guest", Secret: guest},
		"the same name":  {Name: "t", Secret: guest, Concurrent: 1},
		"the same hash":  {Name: "guest", Secret: secret, Concurrent: 1},
	} {
		if err := g.Add(token); err == nil || len(g.Usage()) != 1 {
			t.Errorf("%s: %v, %d tokens", name, err, len(g.Usage()))
		}
	}
	if err := g.Add(Token{Name: "t", Secret: guest, Concurrent: 1}); !errors.Is(err, ErrTokenTaken) {
		t.Errorf("a name that is taken: %v", err)
	}
}

// Revoking ends what is being answered too, and what that cost afterwards does
// not count for a token that has the name since.
func TestRevokedTokenEndsItsAnswers(t *testing.T) {
	began := make(chan struct{})
	b := &backend{answer: func(ctx context.Context, _ Prompt, begin func(Admission) error, _ func(string, ...AnswerToken) error) (Result, error) {
		if err := begin(admission); err != nil {
			return Result{}, err
		}
		close(began)
		<-ctx.Done()
		return Result{Receipt: "s1-7", Price: 10}, ctx.Err()
	}}
	c := config(b)
	c.AnswerTimeout = 5 * time.Second // reached only if revoking goes unnoticed
	ledger := c.Ledger.(*memory)
	g := start(t, c)
	add(t, g, Token{Name: "guest", Secret: guest, DailySpend: 1000, Concurrent: 1})
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- askAs(g, guest) }()
	<-began
	g.Remove("guest")
	if w := <-done; code(t, w) != "cancelled" {
		t.Errorf("its answer ended with status %d: %s", w.Code, w.Body)
	}
	if got := ledger.spent("guest"); got < 100 {
		t.Errorf("a token of that name would start with %d udlt, and the revoked one may have spent 100", got)
	}
}

func TestOnlyOwnersPassOwner(t *testing.T) {
	g := start(t, config(says("hello")))
	add(t, g, Token{Name: "guest", Secret: guest, DailySpend: 1000, Concurrent: 1})
	add(t, g, Token{Name: "home", Secret: guest + "2", Concurrent: 1, Owner: true})
	reached := 0
	g.Handle("/owner", g.Owner(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })))
	for secret, want := range map[string]int{guest: http.StatusForbidden, guest + "2": http.StatusOK, guest + "3": http.StatusUnauthorized} {
		r := request("POST", "/owner", "")
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		g.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("status %d, want %d", w.Code, want)
		}
	}
	if reached != 1 {
		t.Errorf("reached %d times", reached)
	}
}

// A token of which only the hash is known is as good as one with its secret.
func TestTokenByItsHash(t *testing.T) {
	g := start(t, config(says("hello")))
	add(t, g, Token{Name: "guest", Hash: HashSecret(guest), DailySpend: 1000, Concurrent: 1})
	if w := askAs(g, guest); w.Code != http.StatusOK {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
}
