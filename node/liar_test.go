package node

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"daulat/ledger/validator"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
	"daulat/ui/web"
)

// TestLiarIsAskedAgain: an honest answer is no end before the third, and anything
// else is one at once.
func TestLiarIsAskedAgain(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		answers []error // nil is a lie
		want    error
		asked   int
	}{
		"at once":      {[]error{nil}, nil, 1},
		"second":       {[]error{errHonest, nil}, nil, 2},
		"third":        {[]error{errHonest, fmt.Errorf("again: %w", errHonest), nil}, nil, 3},
		"never":        {[]error{errHonest, errHonest, errHonest, nil}, errHonest, 3},
		"broken":       {[]error{broken, nil}, broken, 1},
		"broken later": {[]error{errHonest, broken, nil}, broken, 2},
	} {
		asked := 0
		receipt, err := caught(func() (string, error) {
			asked++
			if c.answers[asked-1] != nil {
				return "", c.answers[asked-1]
			}
			return "7-1", nil
		})
		if !errors.Is(err, c.want) || asked != c.asked || (receipt == "7-1") != (c.want == nil) {
			t.Errorf("%s: asked %d times, %q, %v", name, asked, receipt, err)
		}
	}
}

// TestLieOf: only the liar's own true answer says that the altered tensor
// changed nothing, whoever else may sell here.
func TestLieOf(t *testing.T) {
	lie := fmt.Errorf("ask: %w", &consumer.LieError{Receipt: "7-1"})
	if receipt, err := lieOf("liar", gateway.Result{}, lie); receipt != "7-1" || err != nil {
		t.Errorf("a lie: %q, %v", receipt, err)
	}
	if _, err := lieOf("liar", gateway.Result{Provider: "somebody"}, nil); !errors.Is(err, errHonest) {
		t.Errorf("another provider's answer: %v", err)
	}
	if _, err := lieOf("liar", gateway.Result{Provider: "liar"}, nil); err == nil || errors.Is(err, errHonest) {
		t.Errorf("the liar's true answer: %v", err)
	}
	broken := errors.New("broken")
	if _, err := lieOf("liar", gateway.Result{}, broken); err != broken {
		t.Errorf("no answer: %v", err)
	}
}

// TestLiarCostsNothingUnasked: a second liar, or one that its token may not pay,
// is refused before anything is spent; for this home has neither wallet nor model.
func TestLiarCostsNothingUnasked(t *testing.T) {
	shelf, err := shelfOf(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	o := operations{up: &up{seller: seller{tenant: tenant{shelf: shelf, store: shelf.store}}, validator: &validator.Validator{}}}
	spent := errors.New("spent")
	charge := func() error { return spent }
	if _, err := o.liar(t.Context(), charge, func(string) {}); !errors.Is(err, spent) {
		t.Errorf("a token at its limit: %v", err)
	}
	o.lying.Lock()
	charge = func() error { t.Error("a second liar is charged for"); return spent }
	if _, err := o.liar(t.Context(), charge, func(string) {}); !errors.Is(err, errLying) {
		t.Errorf("a second liar: %v", err)
	}
	if _, err := (page{o}).Liar(t.Context()); !errors.Is(err, web.ErrBusy) {
		t.Errorf("a second liar on the page: %v", err)
	}
	o.lying.Unlock()
	g, err := gateway.New(gateway.Config{Backend: backend{}, Ledger: &spending{path: filepath.Join(t.TempDir(), "spent.json"), all: map[string]gateway.Spend{}},
		Tokens: []gateway.Token{{Name: "poor", Secret: "dlt-0123456789abcdef", DailySpend: liarCost - 1, Concurrent: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	o.gateway = g
	g.Handle("/", g.Guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := (page{o}).Liar(r.Context()); !errors.Is(err, web.ErrSpent) {
			t.Errorf("a token that may not spend so much: %v", err)
		}
	})))
	r := httptest.NewRequest("POST", "http://localhost/", nil)
	r.Header.Set("Authorization", "Bearer dlt-0123456789abcdef")
	w := httptest.NewRecorder()
	if g.Handler().ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
}
