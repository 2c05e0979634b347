package client

import (
	"context"
	"errors"
	"testing"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtbytes "github.com/cometbft/cometbft/libs/bytes"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
)

// committingRPC has no newest state for its first answers.
type committingRPC struct {
	RPC
	without, asked int
}

func (r *committingRPC) ABCIQueryWithOptions(context.Context, string, cmtbytes.HexBytes, rpcclient.ABCIQueryOptions) (*ctypes.ResultABCIQuery, error) {
	if r.asked++; r.asked > r.without {
		return &ctypes.ResultABCIQuery{Response: abci.ResponseQuery{Value: []byte("here")}}, nil
	}
	return &ctypes.ResultABCIQuery{Response: abci.ResponseQuery{Codespace: sdkerrors.RootCodespace, Code: sdkerrors.ErrInvalidHeight.ABCICode(), Log: "between two blocks"}}, nil
}

// A node that commits a block just now fails no question; one that never has a state
// does, and so does a user who goes meanwhile.
func TestANodeCommitsMeanwhile(t *testing.T) {
	for without, asked := range map[int]int{0: 1, 2: 3, 99: commitTries} {
		rpc := &committingRPC{without: without}
		value, err := New(rpc, testChain, nil).ask(t.Context(), "/a/question", nil)
		if answered := without < commitTries; (err == nil) != answered || (string(value) == "here") != answered || rpc.asked != asked {
			t.Errorf("without a state %d times: %q, %v after %d questions", without, value, err, rpc.asked)
		}
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := New(&committingRPC{without: 1}, testChain, nil).ask(gone, "/a/question", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("who went away is told %v", err)
	}
}
