package app_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	cmttypes "github.com/cometbft/cometbft/types"

	"daulat/ledger/app"
	"daulat/ledger/client"
	"daulat/ledger/validator"
)

// TestBlocksPastAnUpgrade: a ledger went through an upgrade, and nodes that join get
// its blocks one by one. The program before it stops at the height, though the blocks
// beyond are there; the one that carries it goes on from the same home; and the new
// program, which has no rules for the blocks before, says so.
func TestBlocksPastAnUpgrade(t *testing.T) {
	app.Carry()
	t.Cleanup(func() { app.Carry() })
	home := t.TempDir()
	operator, err := client.NewAccountKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := validator.MakeKeys(home)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.NewGenesis(validator.Genesis{ChainID: "daulat-test", VotingPeriod: time.Second,
		Accounts: []validator.Funding{{Address: operator.Account(), Amount: 1_000_000_000}}},
		[]validator.Founder{{Account: operator.Account(), Keys: keys}})
	if err != nil {
		t.Fatal(err)
	}
	old := begin(t, home, doc)
	due := planned(t, client.New(old.RPC(), "daulat-test", operator))
	if err := waited(t, old, due); !errors.Is(err, app.ErrUpgradeDue) {
		t.Fatalf("at the height the old program said %v", err)
	}
	end(t, old)
	app.Carry("next")
	founder := begin(t, home, doc)
	if err := waited(t, founder, due+5); err != nil {
		t.Fatal(err)
	}

	joining := t.TempDir()
	app.Carry()
	old = begin(t, joining, doc, founder.Peer())
	if err := waited(t, old, due); !errors.Is(err, app.ErrUpgradeDue) || !strings.Contains(err.Error(), `by upgrade "next"`) {
		t.Fatalf("while it got blocks past the height the old program said %v", err)
	}
	end(t, old)
	app.Carry("next")
	joined := begin(t, joining, doc, founder.Peer())
	if err := waited(t, joined, due+6); err != nil {
		t.Fatal(err)
	}
	var roots []string
	for _, v := range []*validator.Validator{founder, joined} {
		at := due + 5
		c, err := v.RPC().Commit(t.Context(), &at)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, c.AppHash.String())
	}
	if roots[0] != roots[1] {
		t.Fatalf("states after the upgrade: %q", roots)
	}
	early := begin(t, t.TempDir(), doc, founder.Peer())
	if err := waited(t, early, due); !errors.Is(err, app.ErrWrongProgram) || !strings.Contains(err.Error(), "use the program before it until then") {
		t.Fatalf("over blocks before the height the new program said %v", err)
	}
}

func begin(t *testing.T, home string, doc *cmttypes.GenesisDoc, peers ...string) *validator.Validator {
	t.Helper()
	if !validator.Exists(home) {
		if err := validator.Adopt(home, doc); err != nil {
			t.Fatal(err)
		}
	}
	v, err := validator.Start(t.Context(), validator.Config{Home: home, TimeoutCommit: 50 * time.Millisecond, Peers: peers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, v) })
	return v
}

func end(t *testing.T, v *validator.Validator) {
	t.Helper()
	if err := v.Stop(); err != nil {
		t.Error(err)
	}
}

// waited is why a block does not come, nil if it does.
func waited(t *testing.T, v *validator.Validator, height int64) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return v.WaitBlock(ctx, height)
}

// planned has the ledger decide on an upgrade and returns its height.
func planned(t *testing.T, c *client.Client) (due int64) {
	t.Helper()
	now, _, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	due = now + 100
	id, err := c.ProposeUpgrade(t.Context(), "next", due)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Vote(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	for {
		plan, err := c.Planned(t.Context())
		if err == nil && plan == (client.Plan{Name: "next", Height: due}) {
			return due
		}
		if !errors.Is(err, client.ErrNotFound) {
			t.Fatalf("planned is %+v: %v", plan, err)
		}
		if now, err = c.WaitBlock(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
}
