package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"daulat/ledger/client"
	"daulat/ui/control"
)

// waiting does what may wait for blocks, says if none are made, and ends it if none
// are for long: a proof that something is not there takes one more block.
func (t *tenant) waiting(ctx context.Context, height func(context.Context) int64, do func(context.Context) error) error {
	looks := time.NewTicker(control.StandingPoll)
	defer looks.Stop()
	return whileMoving(ctx, looks.C, height, t.say, do)
}

func whileMoving(ctx context.Context, looks <-chan time.Time, height func(context.Context) int64, say control.Progress, do func(context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	before := make(chan int64, 1)
	var beside sync.WaitGroup
	beside.Go(func() {
		before <- height(ctx)
		var ledger control.Standing
		for {
			select {
			case <-ctx.Done():
				return
			case <-looks:
			}
			news, end := ledger.Look(height(ctx))
			if news {
				say("the ledger makes no blocks now: waiting for one")
			}
			if end {
				stop(control.ErrStanding)
			}
		}
	})
	err := do(ctx)
	// Of several peers each is given some seconds, and then what else was wrong with
	// one would be told.
	if errors.As(err, new(client.Unhelpful)) && errors.Is(err, context.DeadlineExceeded) {
		if was := <-before; was > 0 && was == height(ctx) {
			stop(control.ErrStanding)
		}
	}
	stop(nil)
	beside.Wait()
	if err != nil && errors.Is(context.Cause(ctx), control.ErrStanding) {
		return control.ErrStanding
	}
	return err
}

// height is the greatest that a peer shows, 0 if none answers in time: one that
// shows an old one stops nobody.
func (n *network) height(ctx context.Context) (most int64) {
	ctx, cancel := context.WithTimeout(ctx, control.StandingPoll)
	defer cancel()
	shown := make(chan int64, len(n.paths))
	for _, addrs := range n.paths {
		go func() {
			rpc, err := ledgerAt(n.peer, addrs)
			if err != nil {
				shown <- 0
				return
			}
			shown <- heightOf(ctx, client.New(rpc, n.chain(), nil))
		}()
	}
	for range n.paths {
		most = max(most, <-shown)
	}
	return most
}

func heightOf(ctx context.Context, c *client.Client) int64 {
	height, _, err := c.Status(ctx)
	if err != nil {
		return 0
	}
	return height
}

// height is that of the ledger on which this home sells.
func (s *seller) height(ctx context.Context) int64 {
	if s.network != nil {
		return s.network.height(ctx)
	}
	return heightOf(ctx, s.ledger.Client)
}
