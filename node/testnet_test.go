package node

import (
	"context"
	"strings"
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

// A ledger keeps the validators that it was founded with, and whoever asks for others
// is told.
func TestNumberOfValidatorsStays(t *testing.T) {
	for asked, want := range map[int]string{3: "starting 4 validators: as many as this home's ledger was founded with", 4: "starting 4 validators"} {
		if said := starting(4, asked); !strings.HasPrefix(said, want) || (said == want) != (asked == 4) {
			t.Errorf("with --validators %d it says %q", asked, said)
		}
	}
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
