package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	cmttypes "github.com/cometbft/cometbft/types"
)

// watcher reads new blocks for the transactions that calls wait for: one reader
// however many calls, none while there are none. It needs no index of the node. Of a
// stranger's node it takes only blocks and results that verified headers commit to, so
// nobody can have a payment made twice by hiding that it was made.
type watcher struct {
	rpc     RPC
	trusts  *follower // nil if the node is trusted
	mu      sync.Mutex
	waiting map[string]*waiter // by transaction hash
	running bool
	next    int64     // height of the first block not read yet
	moved   time.Time // when there was a new block
	follows *follower // the runner's own, which is never ahead of what it reads
}

type waiter struct {
	watcher *watcher
	hash    string
	timeout time.Time
	result  chan outcome // gets one value
}

type outcome struct {
	tx     *abci.ExecTxResult
	height int64 // of the block
	err    error
}

// Bounds of how long a watcher puts up with a node that fails.
const (
	maxFailures = 500
	callPeriod  = 10 * time.Second
	stride      = 16 // blocks that are proven by one header
)

// await registers a transaction before it is sent. height is of a block that
// cannot contain it yet.
func (w *watcher) await(hash []byte, height int64, timeout time.Time) *waiter {
	x := &waiter{watcher: w, hash: string(hash), timeout: timeout, result: make(chan outcome, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[string]*waiter{}
	}
	w.waiting[x.hash] = x
	if !w.running {
		w.running, w.next, w.moved = true, height+1, time.Now()
		w.follows = w.trusts.fork()
		go w.run()
	}
	return x
}

// drop ends the wait, whether or not there was a result.
func (x *waiter) drop() {
	x.watcher.mu.Lock()
	defer x.watcher.mu.Unlock()
	delete(x.watcher.waiting, x.hash)
}

// run reads blocks until nobody waits.
func (w *watcher) run() {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for failures := 0; !w.idle(); <-tick.C {
		err := w.advance()
		if err == nil {
			failures = 0
			w.doubt()
		} else if failures++; failures > maxFailures || errors.Is(err, ErrHalted) {
			w.fail(fmt.Errorf("wait for transaction: %w", err))
		}
	}
}

// idle ends the run in the same step in which it finds nobody.
func (w *watcher) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = len(w.waiting) > 0
	return !w.running
}

// advance reads the blocks whose state is committed: of one peer, as another may
// be behind it.
func (w *watcher) advance() error {
	ctx, cancel := context.WithTimeout(context.Background(), callPeriod)
	defer cancel()
	reader := &Client{rpc: w.rpc, follower: w.follows}
	return reader.from(ctx, func(ctx context.Context, c *Client) error {
		height, err := committed(ctx, c.rpc)
		if err != nil {
			return err
		}
		if c.follower != nil {
			return w.readProven(ctx, c, min(height, w.next+stride))
		}
		for ; w.next <= height; w.next++ { // next and moved belong to the runner
			if err := w.read(ctx, c.rpc, w.next); err != nil {
				return err
			}
			w.moved = time.Now()
		}
		return nil
	})
}

// doubt turns to another peer if the one that is read shows no new blocks.
func (w *watcher) doubt() {
	if p, several := w.rpc.(*Peers); several && time.Since(w.moved) > p.patience {
		p.turn()
		w.moved = time.Now()
	}
}

func (w *watcher) read(ctx context.Context, rpc RPC, height int64) error {
	answer, err := rpc.Block(ctx, &height)
	if err != nil {
		return err
	}
	if err := w.settle(ctx, rpc, answer.Block, nil); err != nil {
		return err
	}
	w.expire(answer.Block.Time)
	return nil
}

// readProven reads the blocks before height, the newest first: each is the one that
// the header after it names, which is verified at height. That header names the
// block's results, too.
func (w *watcher) readProven(ctx context.Context, c *Client, height int64) error {
	if height <= w.next {
		return nil
	}
	header, err := c.verify(ctx, height)
	if err != nil {
		return err
	}
	after, now := header.Header, time.Time{}
	for h := header.Height - 1; h >= w.next; h-- {
		answer, err := c.rpc.Block(ctx, &h)
		if err != nil {
			return err
		}
		b := answer.Block
		if b == nil || !bytes.Equal(b.Header.Hash(), after.LastBlockID.Hash) || !bytes.Equal(b.Txs.Hash(), b.DataHash) {
			return fmt.Errorf("%w: block %d is not what the next header names", ErrHeader, h)
		}
		if err := w.settle(ctx, c.rpc, b, after.LastResultsHash); err != nil {
			return err
		}
		if now.IsZero() {
			now = b.Time
		}
		after = &b.Header
	}
	w.next, w.moved = header.Height, time.Now()
	w.expire(now)
	return nil
}

// settle gives those who wait for a transaction of b its result, which root commits to
// unless that is nil.
func (w *watcher) settle(ctx context.Context, rpc RPC, b *cmttypes.Block, root []byte) error {
	found := w.find(b.Txs)
	if len(found) == 0 {
		return nil
	}
	results, err := rpc.BlockResults(ctx, &b.Height)
	if err != nil {
		return err
	}
	if all := results.TxsResults; len(all) != len(b.Txs) || slices.Contains(all, nil) {
		return fmt.Errorf("%w: block %d lacks results of its transactions", ErrMalformed, b.Height)
	}
	if root != nil && !bytes.Equal(cmttypes.NewResults(results.TxsResults).Hash(), root) {
		return fmt.Errorf("%w: results of block %d", ErrState, b.Height)
	}
	for i, x := range found {
		x.finish(outcome{tx: results.TxsResults[i], height: b.Height})
	}
	return nil
}

// find returns who waits for one of txs, by its place.
func (w *watcher) find(txs cmttypes.Txs) map[int]*waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := map[int]*waiter{}
	for i, tx := range txs {
		if x := w.waiting[string(tx.Hash())]; x != nil {
			found[i] = x
		}
	}
	return found
}

// expire ends the waits that can have no good end: no block after now takes
// them. Those that were just found have their result already.
func (w *watcher) expire(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.waiting {
		if x.timeout.Before(now) {
			x.finish(outcome{err: ErrExpired})
		}
	}
}

func (w *watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.waiting {
		x.finish(outcome{err: err})
	}
}

// finish keeps the first result.
func (x *waiter) finish(o outcome) {
	select {
	case x.result <- o:
	default:
	}
}
