package validator_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	cmttypes "github.com/cometbft/cometbft/types"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/ledger/client"
	"daulat/ledger/validator"
)

func export(t *testing.T, home string) (*cmttypes.GenesisDoc, map[string]json.RawMessage) {
	t.Helper()
	doc, err := validator.Export(home)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]json.RawMessage
	if err := json.Unmarshal(doc.AppState, &state); err != nil {
		t.Fatal(err)
	}
	return doc, state
}

// An export is a genesis: a ledger that starts from it has the same state.
func TestExportRoundTrip(t *testing.T) {
	home, ctx := t.TempDir(), t.Context()
	g := genesis(t)
	g.CloseWindow, g.ChallengeWindow = 3600, 3600
	if err := validator.Init(home, g); err != nil {
		t.Fatal(err)
	}
	v := start(t, home)
	alice, bob := as(t, v, aliceSeed), as(t, v, bobSeed)
	enter(t, v, alice, bob)
	_, model := manifest(t)
	id := must[uint64](t)(alice.PlaceOrder(ctx, session.Public(), ask(model)))
	low := ask(model)
	low.Ceiling = job.Price{}
	must[uint64](t)(alice.PlaceOrder(ctx, session.Public(), low))
	if errs := must[[]error](t)(bob.Settle(ctx, []client.Settlement{{Entry: pair(id, 1, 20_000, false)}})); errs[0] != nil {
		t.Fatal(errs[0])
	}
	record := must[[]byte](t)(alice.SessionRecord(ctx, id))
	redeemed, _ := welcomed(t, alice, 0x61)
	guest := as(t, v, strangerSeed).Account()
	if err := bob.RedeemInvite(ctx, redeemed.Public(), guest, claimed(redeemed, guest)); err != nil {
		t.Fatal(err)
	}
	open, _ := welcomed(t, alice, 0x62)
	welcomeRecord := must[[]byte](t)(alice.InviteRecord(ctx, open.Public()))
	stop(t, v)
	doc, before := export(t, home)

	moved := t.TempDir()
	copyHome(t, home, moved)
	if err := doc.SaveAs(filepath.Join(moved, "config", "genesis.json")); err != nil {
		t.Fatal(err)
	}
	v = start(t, moved)
	alice = as(t, v, aliceSeed)
	if got := must[[]byte](t)(alice.SessionRecord(ctx, id)); !bytes.Equal(got, record) {
		t.Fatal("the session's record changed")
	}
	if got := must[[]byte](t)(alice.InviteRecord(ctx, open.Public())); !bytes.Equal(got, welcomeRecord) {
		t.Fatal("the invite's record changed")
	}
	if height, _, err := alice.Status(ctx); err != nil || height < doc.InitialHeight || doc.InitialHeight < 2 {
		t.Fatalf("height %d, genesis starts at %d: %v", height, doc.InitialHeight, err)
	}
	stop(t, v)
	_, after := export(t, moved)
	for _, module := range []string{"bank", "registry", "market", "invite", "consensus", "feegrant"} {
		if !bytes.Equal(before[module], after[module]) {
			t.Errorf("%s:\n%s\nbecame\n%s", module, before[module], after[module])
		}
	}

	v = start(t, moved)
	if err := as(t, v, aliceSeed).CloseSession(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := as(t, v, bobSeed).RedeemInvite(ctx, open.Public(), guest, claimed(open, guest)); err == nil {
		t.Fatal("a guest came twice")
	}
	if err := as(t, v, aliceSeed).RevokeInvite(ctx, open.Public()); err != nil {
		t.Fatal(err)
	}
	if s := must[job.Session](t)(reader(t, v).Session(ctx, id)); s.State != job.SessionClosing || s.Version != canon.Version {
		t.Fatalf("session %+v", s)
	}
}

// reader only asks.
func reader(t *testing.T, v *validator.Validator) *client.Client {
	return client.New(must[client.RPC](t)(client.Dial(v.RPCAddress())), chain, nil)
}

// copyHome takes the node's keys along, and what the validator signed last.
func copyHome(t *testing.T, from, to string) {
	t.Helper()
	for _, name := range []string{"config/node_key.json", "config/priv_validator_key.json", "data/priv_validator_state.json"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
