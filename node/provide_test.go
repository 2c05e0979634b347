package node

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daulat/core/job"
	"daulat/ui/control"
)

// TestLastWordsSayUntilWhen: the latest end of the provider's own sessions, and
// nothing where nothing is withheld.
func TestLastWordsSayUntilWhen(t *testing.T) {
	end := time.Date(2026, 5, 4, 3, 2, 1, 0, time.Local)
	session := func(provider string, after time.Duration) job.Session {
		return job.Session{Provider: provider, Clock: uint64(end.Add(after).Unix())}
	}
	mine := []job.Session{session("me", -time.Hour), session("me", 0), session("me", -time.Minute), session("other", time.Hour)}
	for name, c := range map[string]struct {
		withheld uint64
		settled  []job.Session
		want     string
	}{
		"withheld":       {3, mine, "earned 10 udlt: 5 in open sessions, 2 released, 3 withheld, which the ledger releases by itself until 2026-05-04 03:02:01"},
		"released":       {0, mine, "earned 7 udlt: 5 in open sessions, 2 released, 0 withheld"},
		"already moved":  {3, nil, "earned 10 udlt: 5 in open sessions, 2 released, 3 withheld"},
		"only of others": {3, mine[3:], "earned 10 udlt: 5 in open sessions, 2 released, 3 withheld"},
	} {
		if got := lastWords(control.Earnings{Address: "me", Open: 5, Released: 2, Withheld: c.withheld}, c.settled); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// sellerOn is a fresh home that may join a network, and how it is to sell there.
func sellerOn(t *testing.T, a control.Attached) (Home, control.ProvideOptions) {
	t.Helper()
	invite, err := a.Operations.NewInvite(t.Context(), control.InviteTerms{Grant: 1_000, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	home, err := OpenHome(filepath.Join(t.TempDir(), "seller"))
	if err != nil {
		t.Fatal(err)
	}
	return home, control.ProvideOptions{Home: home.dir, Invite: invite.Line, Model: NoiseModel, Upstream: control.UpstreamNone}
}

// TestFailedStartTakesItsOfferBack: when the last step of a seller's start fails, its
// offer was on the ledger already.
func TestFailedStartTakesItsOfferBack(t *testing.T) {
	a := runs(t, control.UpOptions{Home: filepath.Join(t.TempDir(), "home"), Noise: true})
	home, o := sellerOn(t, a)
	if err := os.Mkdir(home.path(runningFile), 0o700); err != nil {
		t.Fatal(err)
	}
	announced := false
	say := func(step string) { announced = announced || strings.HasPrefix(step, "registering the provider") }
	err := Runtime{}.Provide(t.Context(), o, say, func(control.Providing) { t.Error("it served") })
	if err == nil || !announced || !strings.Contains(err.Error(), runningFile) {
		t.Fatalf("the start ended with %v", err)
	}
	if offers, err := a.Operations.Providers(t.Context(), ""); err != nil || len(offers) != 1 {
		t.Errorf("%d offers besides the network's own, %v", len(offers)-1, err)
	}
}

// TestPageTokenReadsTheStateAlone: whoever is shown a seller's page commands nothing,
// and what commands opens no page.
func TestPageTokenReadsTheStateAlone(t *testing.T) {
	a := runs(t, control.UpOptions{Home: filepath.Join(t.TempDir(), "home"), Noise: true})
	home, o := sellerOn(t, a)
	ctx, end := context.WithCancel(t.Context())
	err := Runtime{}.Provide(ctx, o, func(string) {}, func(p control.Providing) {
		defer end()
		var r running
		base, token, _ := strings.Cut(p.Page, "/#token=")
		if err := loadJSON(home.path(runningFile), &r); err != nil || r.Base != base || token == "" {
			t.Errorf("the page is %s, and the home says %s, %v", p.Page, r.Base, err)
		}
		for _, c := range []struct {
			method, path, token string
			status              int
		}{
			{"GET", "/daulat/v1/status", token, 200},
			{"GET", "/daulat/v1/status", r.Secret, 401},
			{"POST", control.Prefix + "status", r.Secret, 200},
			{"POST", control.Prefix + "status", token, 401},
			{"POST", control.Prefix + "send", token, 401},
		} {
			q, err := http.NewRequest(c.method, base+c.path, strings.NewReader("{}"))
			if err != nil {
				t.Error(err)
				return
			}
			q.Header.Set("Authorization", "Bearer "+c.token)
			reply, err := http.DefaultClient.Do(q)
			if err != nil {
				t.Error(err)
				return
			}
			reply.Body.Close()
			if reply.StatusCode != c.status {
				t.Errorf("%s %s: %d, want %d", c.method, c.path, reply.StatusCode, c.status)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}
