package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"

	"daulat/ui/control"
)

// impatient makes the ledger of a home set a validator aside that missed more than 10 of
// 20 blocks, for two seconds.
func impatient(t *testing.T, home string) {
	t.Helper()
	file := filepath.Join(home, "chain", "config", "genesis.json")
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"signed_blocks_window": "20", "min_signed_per_window": "0.500000000000000000", "downtime_jail_duration": "2s"} {
		field := regexp.MustCompile(`("` + name + `": ?)"[^"]*"`)
		if len(field.FindAll(doc, -1)) != 1 {
			t.Fatalf("the genesis has no %s", name)
		}
		doc = field.ReplaceAll(doc, []byte(`${1}"`+value+`"`))
	}
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
}

// listed is how daulat validator ls shows an account's validator to the first machine.
func listed(t *testing.T, founded control.Testnet, own string) (row string, v control.Validator) {
	t.Helper()
	all := must[[]control.Validator](t, founded.Machines[0].Home, "validator", "ls")
	at := slices.IndexFunc(all, func(v control.Validator) bool { return v.Account == own })
	if at < 0 {
		t.Fatalf("%s is not among %+v", own, all)
	}
	text := run(t.Context(), t, founded.Machines[0].Home, "validator", "ls").stdout
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, own) {
			return line, all[at]
		}
	}
	t.Fatalf("%s is not in\n%s", own, text)
	return "", v
}

// signed reports whether a validator's signature is in the newest commit.
func signed(t *testing.T, n control.Node, v control.Validator) bool {
	t.Helper()
	height := tip(t, n) - 1
	c, err := asking(t, n).Commit(t.Context(), &height)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(c.Commit.Signatures, func(s cmttypes.CommitSig) bool {
		return s.BlockIDFlag == cmttypes.BlockIDFlagCommit && strings.EqualFold(s.ValidatorAddress.String(), v.Key)
	})
}

// TestValidatorsSetAside: one that was away is seen to miss blocks, is set aside, and
// returns by the command of its operator; one that signed twice does not.
func TestValidatorsSetAside(t *testing.T) {
	founded := foundOnMachines(t)
	var nodes []*process[control.Node]
	for _, m := range founded.Machines {
		impatient(t, m.Home)
	}
	for _, m := range founded.Machines {
		nodes = append(nodes, again(t, m))
	}
	reaches(t, 3, nodes[0].ready, nodes[1].ready, nodes[2].ready, nodes[3].ready)
	if r := run(t.Context(), t, nodes[3].ready.Home, "validator", "unjail"); r.status != 1 || !strings.Contains(r.stderr, "the validator is not set aside") {
		t.Fatalf("while it signs, unjail ended with status %d and said %q", r.status, r.stderr)
	}
	liar := must[control.Account](t, nodes[2].ready.Home, "wallet").Address
	absent := must[control.Account](t, nodes[3].ready.Home, "wallet").Address
	stop(t, nodes[3].Process)
	eventually(t, func() (bool, string) {
		row, v := listed(t, founded, absent)
		return v.State == control.ValidatorBonded && v.Missed > 0 && v.Window == 20 && strings.Contains(row, "/20"), "missed blocks of the last 20 in " + row
	})
	eventually(t, func() (bool, string) {
		row, v := listed(t, founded, absent)
		return v.State == control.ValidatorAside && v.Power == 0 && strings.Contains(row, "it missed too many blocks; daulat validator unjail brings it back from"), "that it is set aside in " + row
	})
	back := again(t, founded.Machines[3])
	reaches(t, tip(t, nodes[0].ready), back.ready)
	eventually(t, func() (bool, string) {
		r := run(t.Context(), t, back.ready.Home, "validator", "unjail")
		return r.status == 0 && strings.Contains(r.stdout, "the validator is back"), "its return: " + r.stderr
	})
	eventually(t, func() (bool, string) {
		row, v := listed(t, founded, absent)
		return v.State == control.ValidatorBonded && v.Power > 900 && v.Why == "" && signed(t, nodes[0].ready, v), "that it signs again in " + row
	})

	twice := privval.LoadFilePVEmptyState(filepath.Join(founded.Machines[2].Home, "chain", "config", "priv_validator_key.json"), "")
	if _, err := asking(t, nodes[0].ready).BroadcastEvidence(t.Context(), conflicting(t, founded.Chain, nodes[0].ready, twice)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (bool, string) {
		row, v := listed(t, founded, liar)
		return v.State == control.ValidatorAside && strings.Contains(row, "it is out for good"), "that it is out in " + row
	})
	r := run(t.Context(), t, founded.Machines[2].Home, "validator", "unjail")
	const want = "the validator cannot return: its key signed two blocks of one height: it is out for good"
	if r.status != 1 || !strings.Contains(r.stderr, want) {
		t.Fatalf("after it signed twice, unjail ended with status %d and said %q", r.status, r.stderr)
	}
	reaches(t, tip(t, nodes[0].ready)+3, nodes[0].ready, nodes[1].ready, back.ready)
}

// conflicting is a validator's two votes for the newest block's height.
func conflicting(t *testing.T, chain string, n control.Node, signer *privval.FilePV) *cmttypes.DuplicateVoteEvidence {
	t.Helper()
	height := tip(t, n) - 1
	set, err := asking(t, n).Validators(t.Context(), &height, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := asking(t, n).Block(t.Context(), &height)
	if err != nil {
		t.Fatal(err)
	}
	var votes []*cmttypes.Vote
	for i := range 2 {
		hash := fmt.Appendf(nil, "%032d", i)
		v := &cmttypes.Vote{Type: cmtproto.PrecommitType, Height: height, BlockID: cmttypes.BlockID{Hash: hash, PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: hash}},
			Timestamp: block.Block.Time, ValidatorAddress: signer.GetAddress(),
			ValidatorIndex: int32(slices.IndexFunc(set.Validators, func(v *cmttypes.Validator) bool { return v.Address.String() == signer.GetAddress().String() }))}
		if v.Signature, err = signer.Key.PrivKey.Sign(cmttypes.VoteSignBytes(chain, v.ToProto())); err != nil {
			t.Fatal(err)
		}
		votes = append(votes, v)
	}
	e, err := cmttypes.NewDuplicateVoteEvidence(votes[0], votes[1], block.Block.Time, cmttypes.NewValidatorSet(set.Validators))
	if err != nil {
		t.Fatal(err)
	}
	return e
}
