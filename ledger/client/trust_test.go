package client

import (
	"context"
	"errors"
	"strings"
	"testing"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	cmttypes "github.com/cometbft/cometbft/types"
)

func TestTrustText(t *testing.T) {
	a, b := strings.Repeat("0a", 32), strings.Repeat("b1", 32)
	want := Trust{ChainID: "daulat-1", GenesisHash: a, Height: 42, Hash: b}
	if got, err := ParseTrust(want.String()); err != nil || got != want {
		t.Fatalf("%+v: %v", got, err)
	}
	for _, bad := range []string{
		"", "daulat-1", "daulat-1@" + a, "@" + a + ":1:" + b, "daulat-1@" + a + ":0:" + b, "daulat-1@" + a + ":-1:" + b,
		"daulat-1@" + a + ":01:" + b, "daulat-1@" + a + ":9999999999999999999:" + b, "daulat-1@" + a + ":1:" + b + "00",
		"daulat-1@" + strings.ToUpper(a) + ":1:" + b, "a b@" + a + ":1:" + b, strings.Repeat("x", 51) + "@" + a + ":1:" + b,
		strings.Repeat(" ", 300) + want.String(),
	} {
		if _, err := ParseTrust(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseTrust(f *testing.F) {
	f.Add("daulat-1@" + strings.Repeat("0a", 32) + ":42:" + strings.Repeat("b1", 32))
	f.Add("@::")
	f.Fuzz(func(t *testing.T, text string) {
		trust, err := ParseTrust(text)
		if err == nil && trust.String() != strings.TrimSpace(text) {
			t.Fatalf("%q became %q", text, trust)
		}
	})
}

// shownRPC shows one block at every height.
type shownRPC struct {
	RPC
	block *cmttypes.LightBlock
}

func (r shownRPC) Commit(context.Context, *int64) (*ctypes.ResultCommit, error) {
	return ctypes.NewResultCommit(r.block.Header, r.block.Commit, true), nil
}

func (r shownRPC) Validators(context.Context, *int64, *int, *int) (*ctypes.ResultValidators, error) {
	all := r.block.ValidatorSet.Copy().Validators
	return &ctypes.ResultValidators{Validators: all, Total: len(all)}, nil
}

// TestFirstTrust: who knows the first validators takes no other first block than the
// one that they signed.
func TestFirstTrust(t *testing.T) {
	l, other := newLedger(t, 1, 0), newLedger(t, 2, 0)
	still := &ledger{seed: 1, still: true, hash: l.hash}
	few := &ledger{seed: 1, skip: 2, hash: l.hash}
	data, err := encodeBlock(l.blocks[1])
	check(t, err)
	altered, err := decodeBlock(reseal(t, data, func(b *cmtproto.LightBlock) { b.SignedHeader.Header.AppHash[0] ^= 1 }))
	check(t, err)
	for name, row := range map[string]struct {
		shown *cmttypes.LightBlock
		want  error
	}{
		"the first block":                  {l.blocks[1], nil},
		"a chain of one's own":             {other.blocks[1], ErrHeader},
		"their header with other signers":  {&cmttypes.LightBlock{SignedHeader: l.blocks[1].SignedHeader, ValidatorSet: other.blocks[1].ValidatorSet}, ErrHeader},
		"a block that half of them signed": {few.block(t, testChain, 1), ErrHeader},
		"an altered block":                 {altered, ErrHeader},
		"a later block that they signed":   {still.block(t, testChain, 5), ErrHeader},
		"their block of another ledger":    {l.block(t, "light-2", 1), ErrHeader},
		"no header":                        {&cmttypes.LightBlock{SignedHeader: &cmttypes.SignedHeader{Commit: l.blocks[1].Commit}, ValidatorSet: l.blocks[1].ValidatorSet}, ErrHeader},
		"no signatures":                    {&cmttypes.LightBlock{SignedHeader: &cmttypes.SignedHeader{Header: l.blocks[1].Header}, ValidatorSet: l.blocks[1].ValidatorSet}, ErrHeader},
	} {
		trust, err := firstOf(row.shown, l)
		if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) || err == nil && trust != l.trust(1) || err != nil && trust != (Trust{}) {
			t.Errorf("%s: %v, %v", name, trust, err)
		}
	}
}

// firstOf is what a node that shows a block gets trusted, a panic being an error of
// another kind.
func firstOf(shown *cmttypes.LightBlock, l *ledger) (trust Trust, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("panic")
		}
	}()
	return FirstTrust(context.Background(), shownRPC{block: shown}, testChain, l.trust(1).GenesisHash, l.validators(1).Hash())
}
