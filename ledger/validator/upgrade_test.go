package validator_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daulat/ledger/app"
	"daulat/ledger/client"
	"daulat/ledger/validator"
)

// TestProgramThatLacksAnUpgradeStops: validators vote for a plan that this program
// does not know; at its height the node halts with a sentence that names it, and a
// start refuses with the same, the last block before it kept.
func TestProgramThatLacksAnUpgradeStops(t *testing.T) {
	home := filepath.Join(t.TempDir(), "chain")
	g := genesis(t)
	g.VotingPeriod = 2 * time.Second
	if err := validator.Init(home, g); err != nil {
		t.Fatal(err)
	}
	v := start(t, home)
	alice := client.New(v.RPC(), chain, key(t, aliceSeed))
	operator := client.New(v.RPC(), chain, key(t, operatorSeed))
	now, err := v.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, err := alice.ProposeUpgrade(t.Context(), "next", now+400)
	if err != nil {
		t.Fatal(err)
	}
	if err := operator.Vote(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	for { // until it is decided, long before the height
		plan, err := alice.Planned(t.Context())
		if err == nil && plan == (client.Plan{Name: "next", Height: now + 400}) {
			break
		}
		if !errors.Is(err, client.ErrNotFound) {
			t.Fatalf("planned is %+v: %v", plan, err)
		}
		if _, err := alice.WaitBlock(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	all, err := alice.Proposals(t.Context())
	if err != nil || len(all) != 1 || all[0].State != "passed" || all[0].Plan != "next" {
		t.Fatalf("proposals %+v: %v", all, err)
	}
	err = v.WaitBlock(t.Context(), now+400)
	const want = `by upgrade "next": start this home with the program that carries it`
	if !errors.Is(err, app.ErrUpgradeDue) || !strings.Contains(err.Error(), want) || !errors.Is(v.Err(), app.ErrUpgradeDue) {
		t.Fatalf("at the height it said %v, and halted with %v", err, v.Err())
	}
	if err := v.Stop(); err != nil {
		t.Fatal(err)
	}
	again, err := validator.Start(t.Context(), validator.Config{Home: home})
	if err == nil {
		stop(t, again)
	}
	if !errors.Is(err, app.ErrUpgradeDue) || !strings.Contains(err.Error(), want) {
		t.Fatalf("a start at the height said %v", err)
	}
}
