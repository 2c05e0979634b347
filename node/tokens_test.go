package node

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daulat/platform/gateway"
	"daulat/ui/control"
)

// tokensOf opens the tokens that a folder keeps, with a gateway of their own.
func tokensOf(t *testing.T, dir string) *tokens {
	t.Helper()
	spent, err := openSpending(filepath.Join(dir, "spent.json"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{Backend: backend{shelf: &Shelf{}, declared: newCatalogue(nil, &record{})}, Ledger: spent,
		Tokens: []gateway.Token{{Name: homeToken, Secret: strings.Repeat("h", 16), Concurrent: 1, Owner: true}}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := openTokens(filepath.Join(dir, "tokens.json"), g)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// opens reports that the gateway takes the secret.
func opens(t *tokens, secret string) bool {
	r := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
	r.Host = "localhost"
	r.Header.Set("Authorization", "Bearer "+secret)
	w := httptest.NewRecorder()
	t.gateway.Handler().ServeHTTP(w, r)
	return w.Code == http.StatusOK
}

var bot = control.TokenTerms{Name: "bot", Daily: 1000, AtOnce: 2}

func TestTokensOnDiskOpenNothing(t *testing.T) {
	dir := t.TempDir()
	all := tokensOf(t, dir)
	made, err := all.add(bot)
	if err != nil || !opens(all, made.Token) {
		t.Fatalf("%+v, %v", made, err)
	}
	data, err := os.ReadFile(all.path)
	if err != nil || !strings.Contains(string(data), "bot") {
		t.Fatalf("%v: %s", err, data)
	}
	random := strings.TrimPrefix(made.Token, "dlt-")
	if strings.Contains(string(data), random) {
		t.Errorf("the secret is on disk: %s", data)
	}
	if again := tokensOf(t, dir); !opens(again, made.Token) || opens(again, again.kept[0].Hash) {
		t.Error("after a restart the secret opens nothing, or its hash does")
	}
}

func TestTokensKeepTheirLimits(t *testing.T) {
	dir := t.TempDir()
	all := tokensOf(t, dir)
	if _, err := all.add(bot); err != nil {
		t.Fatal(err)
	}
	for _, all := range []*tokens{all, tokensOf(t, dir)} {
		if u := all.gateway.Usage(); len(u) != 2 || u[1] != (gateway.Usage{Name: "bot", DailySpend: 1000, Concurrent: 2}) {
			t.Errorf("the gateway holds %+v", u)
		}
	}
}

func TestRevokedTokensStayRevoked(t *testing.T) {
	dir := t.TempDir()
	all := tokensOf(t, dir)
	made, err := all.add(bot)
	if err != nil {
		t.Fatal(err)
	}
	if err := all.revoke("bot"); err != nil || opens(all, made.Token) {
		t.Errorf("revoked, with error %v, it still opens", err)
	}
	if opens(tokensOf(t, dir), made.Token) {
		t.Error("a restart brought it back")
	}
	if again, err := all.add(bot); err != nil || again.Token == made.Token {
		t.Errorf("the name is not free again: %v", err)
	}
}

// What can't be written down is not taken, and not revoked either.
func TestTokensFollowTheDisk(t *testing.T) {
	all := tokensOf(t, t.TempDir())
	made, err := all.add(bot)
	if err != nil {
		t.Fatal(err)
	}
	all.path = filepath.Join(all.path, "missing", "tokens.json")
	if _, err := all.add(control.TokenTerms{Name: "other", Daily: 1, AtOnce: 1}); err == nil || len(all.gateway.Usage()) != 2 {
		t.Errorf("%v, %d tokens", err, len(all.gateway.Usage()))
	}
	if err := all.revoke("bot"); err == nil || !opens(all, made.Token) {
		t.Errorf("%v", err)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	all := tokensOf(t, t.TempDir())
	if _, err := all.add(bot); err != nil {
		t.Fatal(err)
	}
	var wrong control.WrongInput
	for _, terms := range []control.TokenTerms{bot, {Name: homeToken, Daily: 1, AtOnce: 1}, {Name: "A", Daily: 1, AtOnce: 1}, {Name: "b", AtOnce: 1}, {Name: "b", Daily: 1}} {
		if _, err := all.add(terms); !errors.As(err, &wrong) || len(all.kept) != 1 {
			t.Errorf("%+v: %v, %d kept", terms, err, len(all.kept))
		}
	}
	if err := all.revoke(homeToken); !errors.As(err, &wrong) {
		t.Errorf("the home's own token: %v", err)
	}
	if err := all.revoke("nobody"); err == nil || errors.As(err, &wrong) {
		t.Errorf("an unknown name: %v", err)
	}
}
