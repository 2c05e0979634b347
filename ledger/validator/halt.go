package validator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cometbft/cometbft/node"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	cmttypes "github.com/cometbft/cometbft/types"

	"daulat/ledger/client"
)

// halt is the end of consensus that nobody asked for. CometBFT ends its
// consensus routine for good when that panics, as over a write to a full disk,
// and lets everything else of the node go on: queries are answered, and
// transactions wait for a block that never comes. A node whose peers are
// missing does not halt: its routine waits for them.
type halt struct {
	done  chan struct{} // closed once
	once  sync.Once     // of its closing
	cause error         // set before done is closed
	seen  atomic.Pointer[error]
}

// halting is what CometBFT logs, with the panic's value as its "err", before the
// consensus routine ends.
const halting = "CONSENSUS FAILURE!!!"

// unfit is what CometBFT logs, with the reason as its "err", of a block that it got from
// a peer to catch up, when two thirds of the validators signed it and it does not fit.
const unfit = "Error in validation"

// future finds the time of a block that is too far ahead of this machine's clock, in
// what CometBFT says of it.
var future = regexp.MustCompile(`block time (.+?) is too far in the future`)

// ofFuture is a client.ErrBehind if that is what was wrong with a block.
func ofFuture(cause error) error {
	found := future.FindStringSubmatch(cause.Error())
	if found == nil {
		return nil
	}
	at, err := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", found[1])
	if err != nil {
		return nil
	}
	return client.Behind(at, time.Now())
}

// notice keeps the cause, if a record is of the end of consensus. The log itself
// may be on the disk that is full.
func (h *halt) notice(r slog.Record) {
	if r.Message != halting && r.Message != unfit {
		return
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "err" {
			return true
		}
		err, ok := a.Value.Any().(error)
		if !ok {
			err = errors.New(a.Value.String())
		}
		if r.Message == unfit { // ends nothing else: other peers may have another block
			if err := ofFuture(err); err != nil {
				h.end(err)
			}
			return false
		}
		h.seen.CompareAndSwap(nil, &err)
		return false
	})
}

// haltPoll is the pause between two looks whether consensus began.
const haltPoll = 50 * time.Millisecond

// watch closes done when the node's consensus routine ends, unless the node is
// being stopped.
func (h *halt) watch(n *node.Node, stopping *atomic.Bool) error {
	env, err := n.ConfigureRPC()
	if err != nil {
		return err
	}
	routine, ok := env.ConsensusState.(interface {
		IsRunning() bool
		Wait()
	})
	if !ok {
		return fmt.Errorf("consensus is a %T, whose end cannot be seen", env.ConsensusState)
	}
	go func() {
		// Consensus begins once the node has caught up, and only then has an end.
		for !routine.IsRunning() {
			if stopping.Load() {
				return
			}
			time.Sleep(haltPoll)
		}
		routine.Wait() // ends with the node at the latest
		if stopping.Load() {
			return
		}
		h.end(h.sentence())
	}()
	return nil
}

// end notes why the ledger halted; the first cause counts.
func (h *halt) end(cause error) {
	h.once.Do(func() {
		h.cause = cause
		close(h.done)
	})
}

// sentence is why the ledger halted, and what to do about it.
func (h *halt) sentence() error {
	cause := errors.New("its consensus ended")
	if seen := h.seen.Load(); seen != nil {
		cause = *seen
	}
	if behind := ofFuture(cause); behind != nil {
		return fmt.Errorf("%w: %w", client.ErrHalted, behind)
	}
	if full(cause) {
		return fmt.Errorf("%w: %w; free some space and start again, nothing that was acknowledged is lost", client.ErrHalted, cause)
	}
	return fmt.Errorf("%w: %w", client.ErrHalted, cause)
}

// full reports that a write failed for want of room. Some of what CometBFT panics
// with is text, so text is compared.
func full(err error) bool {
	return slices.ContainsFunc(noRoom, func(room syscall.Errno) bool { return strings.Contains(err.Error(), room.Error()) })
}

// err is the cause once done is closed, nil before.
func (h *halt) err() error {
	select {
	case <-h.done:
		return h.cause
	default:
		return nil
	}
}

// Halted is closed when the ledger of this node stands still for good although
// nobody stopped it, or the node must not sign. Peers that are missing do not close it.
func (v *Validator) Halted() <-chan struct{} { return v.halt.done }

// Err is a client.ErrHalted with its cause, an app.ErrUpgradeDue or ErrSignedElsewhere
// once Halted is closed, nil before.
func (v *Validator) Err() error { return v.halt.err() }

// mortal is the node's RPC, which says so when no block will ever come: who
// waits for one would wait for good.
type mortal struct {
	rpcclient.Client
	halt *halt
}

func (m mortal) ABCIInfo(ctx context.Context) (*ctypes.ResultABCIInfo, error) {
	if err := m.halt.err(); err != nil {
		return nil, err
	}
	return m.Client.ABCIInfo(ctx)
}

func (m mortal) BroadcastTxSync(ctx context.Context, tx cmttypes.Tx) (*ctypes.ResultBroadcastTx, error) {
	if err := m.halt.err(); err != nil {
		return nil, err
	}
	return m.Client.BroadcastTxSync(ctx, tx)
}
