package validator

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"
)

// ErrNoSnapshot says that no peer had a snapshot of the state that could be used.
var ErrNoSnapshot = errors.New("no peer has a snapshot of the ledger that can be used")

// huntRounds are the rounds of a hunt, half a minute if no peer shows a snapshot.
const huntRounds = 6

// A hunt is CometBFT's search for a snapshot. It has no end of its own where no peer
// has a snapshot, or peers offer one bad snapshot after another; and where it fails,
// the node would do nothing any more.
type hunt struct {
	mu    sync.Mutex
	left  int // rounds that may still end without a state
	ended bool
	over  chan struct{} // closed once it is given up
}

func newHunt(rounds int) *hunt {
	if rounds == 0 {
		rounds = huntRounds
	}
	return &hunt{left: rounds, over: make(chan struct{})}
}

// What CometBFT logs at the end of a round that brought no state, and of the hunt.
var (
	fruitless = []string{"sync any", "Snapshot rejected", "Snapshot format rejected", "Snapshot senders rejected",
		"Timed out waiting for snapshot chunks, rejected snapshot", "Timed out validating snapshot, rejecting"}
	failed = "State sync failed"
)

// notice counts the rounds. The last one ends the routine that hunts, which called:
// so nothing restores a state while the node is stopped.
func (h *hunt) notice(r slog.Record) {
	if h == nil {
		return
	}
	if r.Message == failed {
		h.spend(true)
	}
	if slices.Contains(fruitless, r.Message) && h.spend(false) {
		runtime.Goexit()
	}
}

// spend takes one round, or all, and reports that none is left.
func (h *hunt) spend(all bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left--
	if h.left > 0 && !all {
		return false
	}
	if !h.ended {
		h.ended = true
		close(h.over)
	}
	return true
}

// huntPoll is the pause between two looks whether the state is there.
const huntPoll = 100 * time.Millisecond

// Hunts reports that this start looks for a snapshot.
func (v *Validator) Hunts() bool { return v.hunt != nil }

// WaitState returns once the home has the state of a block, and that block; at once
// if the start looks for no snapshot. After ErrNoSnapshot the node does nothing more:
// stopped and started without Sync it gets all blocks.
func (v *Validator) WaitState(ctx context.Context) error {
	if !v.Hunts() {
		return nil
	}
	tick := time.NewTicker(huntPoll)
	defer tick.Stop()
	for v.node.BlockStore().Height() == 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-v.halt.done:
			return v.halt.cause
		case <-v.hunt.over:
			return ErrNoSnapshot
		case <-tick.C:
		}
	}
	return nil
}
