package validator

import (
	"testing"

	cmttypes "github.com/cometbft/cometbft/types"
)

// signedAt are blocks up to a tip of which one key signed some.
type signedAt struct {
	tip    int64
	key    cmttypes.Address
	signed map[int64]bool
	gone   map[int64]bool // commits that the node does not have
}

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
		if got := newest(signedAt{row.tip, key, row.signed, row.gone}, key, row.known); got != row.want {
			t.Errorf("%s: %d, not %d", name, got, row.want)
		}
	}
}
