package node

import (
	"context"
	"testing"

	ctypes "github.com/cometbft/cometbft/rpc/core/types"

	"daulat/ledger/client"
)

// late is a node that catches up until it was asked so many times more.
type late struct {
	client.RPC
	left int
}

func (l *late) Status(context.Context) (*ctypes.ResultStatus, error) {
	l.left--
	return &ctypes.ResultStatus{SyncInfo: ctypes.SyncInfo{CatchingUp: l.left >= 0}}, nil
}

// Invites are made by transactions, which a node that catches up takes none of.
func TestCaughtUpWaits(t *testing.T) {
	n := &late{left: 2}
	if err := caughtUp(t.Context(), n); err != nil || n.left != -1 {
		t.Fatalf("%v with %d looks left", err, n.left)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := caughtUp(ended, &late{left: 1 << 30}); err == nil {
		t.Fatal("it is said to have caught up when the user ended it")
	}
}
