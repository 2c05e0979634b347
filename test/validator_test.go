package test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cmttypes "github.com/cometbft/cometbft/types"

	"daulat/ui/control"
)

// TestFifthValidator: a node that nobody can dial becomes a validator, its signature
// is in the ledger's commits, and the ledger survives by its vote when one of the
// four founders dies: without it, three of five thousand votes would be missing two.
func TestFifthValidator(t *testing.T) {
	net := testnet(t)
	home := filepath.Join(t.TempDir(), "fifth")
	fifth := background[control.Node](t, home, "node", net.ready.Invites[0])
	reaches(t, 3, fifth.ready)

	r := run(t.Context(), t, home, "validator")
	if r.status != 1 || !strings.Contains(r.stderr, "needs 1000000: somebody who has coins sends the rest with daulat wallet send daulat1") {
		t.Fatalf("without coins it ended with status %d and said %q", r.status, r.stderr)
	}
	account := must[control.Account](t, home, "wallet").Address
	if s := must[control.Status](t, home, "status"); s.Wallet.Address != account || s.Ledger != fifth.ready.Ledger || s.Chain != fifth.ready.Chain {
		t.Errorf("the status of a node that runs: %+v", s)
	}
	founder := net.ready.Home
	for _, at := range []string{home, founder} {
		if r := run(t.Context(), t, at, "job", "ls"); r.status != 1 || !strings.Contains(r.stderr, "a ledger node runs in this home") {
			t.Errorf("jobs where none can be: status %d: %s", r.status, r.stderr)
		}
	}
	if s := must[control.Status](t, founder, "status"); s.Chain != fifth.ready.Chain || s.Wallet.Balance == 0 {
		t.Errorf("the status of a testnet's home: %+v", s)
	}
	line := must[control.NewInvite](t, founder, "invite")
	must[map[string]any](t, founder, "invite", "revoke", line.ID)
	if all := must[control.Invites](t, founder, "invite", "ls"); len(all.Invites) != len(net.ready.Invites)+1 || all.Open != uint64(len(net.ready.Invites)) {
		t.Errorf("the invites of a testnet: %+v", all)
	}
	const stake = "1000000000"
	must[map[string]any](t, net.ready.Home, "wallet", "send", account, stake)
	eventually(t, func() (bool, string) {
		return must[control.Account](t, home, "wallet").Balance == 1_000_000_000, "the coins at the fifth's own node"
	})
	made := must[control.Validator](t, home, "validator", "--moniker", "kelima")
	if made.Account != account || made.Stake != 1_000_000_000 || made.Moniker != "kelima" || !made.Here {
		t.Fatalf("it became %+v", made)
	}
	eventually(t, func() (bool, string) {
		all := must[[]control.Validator](t, home, "validator", "ls")
		i := slices.IndexFunc(all, func(v control.Validator) bool { return v.Here })
		return len(all) == 5 && i >= 0 && all[i].State == control.ValidatorBonded && all[i].Power == 1000, "a fifth validator with a fifth of the power"
	})
	eventually(t, func() (bool, string) {
		height := tip(t, net.ready.Validators[0].Node) - 1
		c, err := asking(t, net.ready.Validators[0].Node).Commit(t.Context(), &height)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.Commit.Signatures {
			if s.BlockIDFlag == cmttypes.BlockIDFlagCommit && strings.EqualFold(s.ValidatorAddress.String(), made.Key) {
				return true, ""
			}
		}
		return false, "the fifth validator's signature in a commit"
	})

	killed(t, net.ready.Validators[1])
	left := []control.Node{net.ready.Validators[0].Node, net.ready.Validators[2].Node, net.ready.Validators[3].Node, fifth.ready}
	reaches(t, tip(t, left[0])+5, left...)
	agrees(t, left...)

	second := run(t.Context(), t, home, "node")
	if second.status != 1 || !strings.Contains(second.stderr, "another daulat runs in "+home) {
		t.Fatalf("a second node of one home ended with status %d and said %q", second.status, second.stderr)
	}
	must[map[string]any](t, home, "validator", "leave")
	eventually(t, func() (bool, string) {
		v := must[control.Validator](t, home, "validator")
		return v.State == control.ValidatorAside && v.Why == "it left", "the end of the fifth validator"
	})
}
