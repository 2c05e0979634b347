package client

import (
	"context"
	"errors"
	"testing"
	"time"

	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	cmttypes "github.com/cometbft/cometbft/types"
)

// changedRPC shows blocks and results as a test changes them.
type changedRPC struct {
	peerRPC
	block   func(*cmttypes.Block)
	results func(*ctypes.ResultBlockResults)
	door    string // what transactions are refused with
}

func (r changedRPC) BroadcastTxSync(context.Context, cmttypes.Tx) (*ctypes.ResultBroadcastTx, error) {
	if r.door == "" {
		return &ctypes.ResultBroadcastTx{}, nil
	}
	return &ctypes.ResultBroadcastTx{Code: 1, Log: r.door}, nil
}

func (r changedRPC) Block(ctx context.Context, height *int64) (*ctypes.ResultBlock, error) {
	answer, err := r.peerRPC.Block(ctx, height)
	if r.block != nil {
		r.block(answer.Block)
	}
	return answer, err
}

func (r changedRPC) BlockResults(ctx context.Context, height *int64) (*ctypes.ResultBlockResults, error) {
	answer, err := r.peerRPC.BlockResults(ctx, height)
	if r.results != nil {
		r.results(answer)
	}
	return answer, err
}

// honest is the ledger's node, which shows it up to a height.
func honest(l *ledger, tip int64) changedRPC {
	return changedRPC{peerRPC: peerRPC{lyingRPC: lyingRPC{tipRPC: tipRPC{l}}, asked: new(int), tip: tip}}
}

// watches waits for transactions after height 2, as a client of a stranger's node
// does, without a runner of its own.
func watches(l *ledger, rpc RPC) *watcher {
	c := follows(l, rpc, nil)
	return &watcher{rpc: rpc, waiting: map[string]*waiter{}, running: true, next: 3, follows: c.follower.fork()}
}

// told is what a wait has come to; nil while it goes on.
func told(x *waiter) *outcome {
	select {
	case o := <-x.result:
		return &o
	default:
		return nil
	}
}

const sentHeight = testTip / 2

// TestOutcomesAreProven: what became of a transaction is told once the next header
// commits to it, and not before.
func TestOutcomesAreProven(t *testing.T) {
	l := newLedger(t, 1, 0)
	all, late := sentAt(sentHeight), testStart.Add(time.Hour)
	w := watches(l, honest(l, sentHeight))
	taken, refused := w.await(all[0].Hash(), 2, late), w.await(all[1].Hash(), 2, late)
	never := w.await([]byte("never sent"), 2, testStart.Add(sentHeight*time.Second-1))
	check(t, w.advance())
	for _, x := range []*waiter{taken, refused, never} {
		if o := told(x); o != nil {
			t.Fatalf("told by the block alone: %+v", o)
		}
	}
	w.rpc = honest(l, 0)
	for w.next < testTip {
		check(t, w.advance())
	}
	if o := told(taken); o == nil || o.tx.Code != 0 || string(o.tx.Data) != string(resultsOf(sentHeight)[0].Data) || o.height != sentHeight {
		t.Errorf("what was taken: %+v", o)
	}
	if o := told(refused); o == nil || o.tx.Code != 7 {
		t.Errorf("what was refused: %+v", o)
	}
	if o := told(never); o == nil || !errors.Is(o.err, ErrExpired) {
		t.Errorf("what was in no block: %+v", o)
	}
}

// TestOutcomesAreNotHearsay: a peer that hides a transaction, makes it fail or says
// another answer is found out, and nothing is told, so nothing is sent again; an
// honest peer's word counts.
func TestOutcomesAreNotHearsay(t *testing.T) {
	l := newLedger(t, 1, 0)
	at := func(height int64, change func(*cmttypes.Block)) func(*cmttypes.Block) {
		return func(b *cmttypes.Block) {
			if b.Height == height {
				change(b)
			}
		}
	}
	for name, lie := range map[string]changedRPC{
		"a hidden transaction": {block: at(sentHeight, func(b *cmttypes.Block) { b.Txs = nil })},
		"another block": {block: at(sentHeight, func(b *cmttypes.Block) {
			b.Txs, b.DataHash = nil, cmttypes.Txs(nil).Hash()
		})},
		"the next block again": {block: at(sentHeight, func(b *cmttypes.Block) {
			b.Header, b.Txs = *l.blocks[sentHeight+1].Header, sentAt(sentHeight+1)
		})},
		"no block":       {block: func(b *cmttypes.Block) { *b = cmttypes.Block{} }},
		"a later time":   {block: at(sentHeight, func(b *cmttypes.Block) { b.Time = b.Time.Add(time.Hour) })},
		"a refusal":      {results: func(r *ctypes.ResultBlockResults) { r.TxsResults[0].Code = 1 }},
		"a success":      {results: func(r *ctypes.ResultBlockResults) { r.TxsResults[1].Code = 0 }},
		"another answer": {results: func(r *ctypes.ResultBlockResults) { r.TxsResults[0].Data = []byte("order 99") }},
		"no results":     {results: func(r *ctypes.ResultBlockResults) { r.TxsResults = nil }},
		"a nil result":   {results: func(r *ctypes.ResultBlockResults) { r.TxsResults[0] = nil }},
	} {
		lie.peerRPC = honest(l, 0).peerRPC
		w := watches(l, lie)
		sent := w.await(sentAt(sentHeight)[0].Hash(), 2, testStart.Add((sentHeight+1)*time.Second))
		var err error
		for range testTip {
			if err = w.advance(); err != nil {
				break
			}
		}
		if !Lied(err) {
			t.Errorf("%s: %v", name, err)
		}
		if o := told(sent); o != nil {
			t.Errorf("%s: told %+v", name, o)
		}
		w.rpc = NewPeers([]Peer{{Name: "liar", RPC: lie}, {Name: "honest", RPC: honest(l, 0)}})
		for w.next < testTip {
			check(t, w.advance())
		}
		if o := told(sent); o == nil || o.err != nil || o.tx.Code != 0 || o.height != sentHeight {
			t.Errorf("%s, and an honest peer: %+v", name, o)
		}
	}
}

// TestLongAgoIsStillProven: who slept for hours learns what became of what was sent,
// from headers that are no news.
func TestLongAgoIsStillProven(t *testing.T) {
	l := newLedger(t, 1, 0)
	w := watches(l, honest(l, 0))
	w.follows.now = func() time.Time { return testStart.Add(5 * time.Hour) }
	sent := w.await(sentAt(sentHeight)[0].Hash(), 2, testStart.Add(time.Hour))
	for w.next < testTip {
		check(t, w.advance())
	}
	if o := told(sent); o == nil || o.err != nil || o.height != sentHeight {
		t.Errorf("told %+v", o)
	}
}

// TestTooLateIsProven: a stranger's node that says of a transaction that it came too
// late is not believed, as another would be sent in its place; one's own node is.
func TestTooLateIsProven(t *testing.T) {
	l := newLedger(t, 1, 0)
	late := honest(l, 0)
	late.door = "unordered transaction has a timeout_timestamp that has already passed"
	raw, timeout := sentAt(sentHeight)[0], testStart.Add(time.Hour)
	stranger, own := follows(l, late, nil), New(late, testChain, nil)
	if err := stranger.deliver(t.Context(), raw, 2, timeout, nil); err != nil {
		t.Errorf("what is in a block: %v", err)
	}
	if err := own.deliver(t.Context(), raw, 2, timeout, nil); !errors.Is(err, ErrExpired) {
		t.Errorf("one's own node: %v", err)
	}
	for _, w := range []*watcher{&stranger.watcher, &own.watcher} {
		for rest := false; !rest; time.Sleep(poll) { // before another test uses the ledger's counts
			w.mu.Lock()
			rest = !w.running
			w.mu.Unlock()
		}
	}
}
