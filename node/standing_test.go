package node

import (
	"context"
	"errors"
	"testing"
	"time"

	ctypes "github.com/cometbft/cometbft/rpc/core/types"

	"daulat/ledger/client"
	"daulat/ui/control"
)

// tardy is a peer that answers nothing in time.
type tardy struct{ client.RPC }

func (tardy) ABCIInfo(context.Context) (*ctypes.ResultABCIInfo, error) {
	return nil, context.DeadlineExceeded
}

// TestWaitingForAStandingLedgerEnds: with one word in between, and with an error that
// says what to do. What ends by itself ends as it does.
func TestWaitingForAStandingLedgerEnds(t *testing.T) {
	looks := make(chan time.Time)
	var said []string
	say := func(line string) { said = append(said, line) }
	stands := func(context.Context) int64 { return 7 }
	err := whileMoving(t.Context(), looks, stands, say, func(ctx context.Context) error {
		for range 100 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case looks <- time.Time{}:
			}
		}
		return nil
	})
	if !errors.Is(err, control.ErrStanding) || len(said) != 1 {
		t.Errorf("a ledger that stands still: %v, after %q", err, said)
	}
	hurried := client.New(client.NewPeers([]client.Peer{{Name: "a", RPC: tardy{}}}), "x", nil).NextBlock
	if err := whileMoving(t.Context(), looks, stands, say, hurried); !errors.Is(err, control.ErrStanding) {
		t.Errorf("peers that waited in vain for a block: %v", err)
	}
	refused := errors.New("refused")
	if err := whileMoving(t.Context(), looks, stands, say, func(context.Context) error { return refused }); err != refused {
		t.Errorf("a refusal is told as %v", err)
	}
	height := int64(0)
	moves := func(context.Context) int64 { height++; return height }
	err = whileMoving(t.Context(), looks, moves, say, func(ctx context.Context) error {
		for range 100 {
			looks <- time.Time{}
		}
		return ctx.Err()
	})
	if late := whileMoving(t.Context(), looks, moves, say, hurried); err != nil || len(said) != 1 || errors.Is(late, control.ErrStanding) {
		t.Errorf("a ledger that makes blocks: %v, %v, after %q", err, late, said)
	}
}
