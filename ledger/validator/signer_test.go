package validator

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cometbft/cometbft/privval"
	cmttypes "github.com/cometbft/cometbft/types"
)

// signedAt are blocks up to a tip of which one key signed some.
type signedAt struct {
	base   int64 // the first that the node has
	tip    int64
	key    cmttypes.Address
	signed map[int64]bool
	gone   map[int64]bool // commits that the node does not have
}

func (s signedAt) Base() int64   { return s.base }
func (s signedAt) Height() int64 { return s.tip }

func (s signedAt) LoadSeenCommit(h int64) *cmttypes.Commit {
	if s.gone[h] || h < 1 {
		return nil
	}
	all := []cmttypes.CommitSig{cmttypes.NewCommitSigAbsent(), {BlockIDFlag: cmttypes.BlockIDFlagCommit, ValidatorAddress: make([]byte, 20)}}
	if s.signed[h] {
		all = append(all, cmttypes.CommitSig{BlockIDFlag: cmttypes.BlockIDFlagCommit, ValidatorAddress: s.key})
	}
	return &cmttypes.Commit{Height: h, Signatures: all}
}

// TestNewestSignature: what counts are the last blocks, and in them what this home
// does not know that it signed.
func TestNewestSignature(t *testing.T) {
	key := cmttypes.Address("twenty bytes of key.")
	for name, row := range map[string]struct {
		tip, known   int64
		signed, gone map[int64]bool
		want         int64
	}{
		"a new ledger":                  {0, 0, nil, nil, 0},
		"it signed the last block":      {500, 500, map[int64]bool{500: true}, nil, 0},
		"it was ahead of the ledger":    {500, 501, map[int64]bool{500: true}, nil, 0},
		"it was away":                   {500, 50, map[int64]bool{50: true}, nil, 0},
		"another signed the last one":   {500, 499, map[int64]bool{499: true, 500: true}, nil, 500},
		"another signed some":           {500, 50, map[int64]bool{430: true, 450: true}, nil, 450},
		"the first of those that count": {500, 50, map[int64]bool{401: true}, nil, 401},
		"another signed long ago":       {500, 50, map[int64]bool{400: true}, nil, 0},
		"of a young ledger":             {7, 0, map[int64]bool{1: true}, nil, 1},
		"after a snapshot":              {500, 0, map[int64]bool{499: true}, map[int64]bool{500: true, 498: true}, 499},
	} {
		if got := newest(signedAt{1, row.tip, key, row.signed, row.gone}, key, row.known); got != row.want {
			t.Errorf("%s: %d, not %d", name, got, row.want)
		}
	}
}

// A validator that lost its data signs nothing until enough blocks show that nothing
// which it may have signed counts any more; one whose owner vouches for it does.
func TestForgetfulValidatorWaits(t *testing.T) {
	dir := t.TempDir()
	pv := privval.GenFilePV(filepath.Join(dir, "key"), filepath.Join(dir, "state"))
	key, refused := pv.GetAddress(), error(nil)
	for name, row := range map[string]struct {
		base, tip int64
		signed    map[int64]bool
		sole      bool
		want      bool
	}{
		"its last vote may be in none yet":   {1, 500, map[int64]bool{500: true}, false, false},
		"it signed one of the last":          {1, 500, map[int64]bool{401: true}, false, false},
		"it signed none of the last":         {1, 500, map[int64]bool{400: true}, false, true},
		"a snapshot, and few blocks since":   {402, 501, nil, false, false},
		"a snapshot, and enough blocks":      {401, 501, nil, false, true},
		"a young ledger":                     {1, 100, nil, false, false},
		"its owner says that no other signs": {1, 500, map[int64]bool{500: true}, true, true},
	} {
		mark := filepath.Join(dir, "mark")
		if err := os.WriteFile(mark, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s := &signer{FilePV: pv, sole: row.sole, forgot: mark, commits: signedAt{row.base, row.tip, key, row.signed, nil}, refuse: func(err error) { refused = err }}
		err := s.alone()
		_, left := os.Stat(mark)
		if (err == nil) != row.want || (left != nil) != (row.want && !row.sole) || refused != nil {
			t.Errorf("%s: %v, mark %v, ended by %v", name, err, left, refused)
		}
	}
}
