package validator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"daulat/ledger/client"
)

// A seeker sees to it that a node whose peers were out of reach finds them soon
// after they are back. CometBFT alone notices a dead connection after up to 105
// seconds, until when TCP waits as long again as the line was cut, and it tries
// ever less often to dial a peer that is away for minutes.
type seeker struct {
	stop context.CancelFunc
	busy sync.WaitGroup
}

const (
	seekEvery = 2 * time.Second
	silence   = 10 * time.Second // of a peer, while a block is overdue; twice that otherwise
)

var errSilent = errors.New("it brought nothing for too long")

// patience is how long a peer may be silent when the newest block is of that age.
// With each block a peer says something; without one, all may wait in silence, and
// a connection that is made anew costs nothing.
func patience(age, blockTime time.Duration) time.Duration {
	if limit := silence + blockTime; age > limit {
		return limit
	}
	return 2*silence + blockTime
}

func (s *seeker) start(v *Validator, c Config, l logger) {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	known, errs := p2p.NewNetAddressStrings(c.Peers)
	for _, err := range errs {
		l.Error("a peer's address is none", "err", err)
	}
	s.busy.Go(func() {
		last, since := int64(0), time.Now() // the newest block, and when it was first seen
		for await(ctx, seekEvery) {
			if err := v.behind(c.now()); err != nil { // the clock was set back
				v.halt.end(fmt.Errorf("%w: %w", client.ErrHalted, err))
				return
			}
			if height := v.node.BlockStore().Height(); height != last {
				last, since = height, time.Now()
			}
			v.dropSilent(patience(time.Since(since), c.TimeoutCommit))
			for _, address := range known {
				// It is connected, or away as before. Nobody waits for it, as nobody
				// does for CometBFT's own.
				go func() { _ = v.node.Switch().DialPeerWithAddress(address) }()
			}
		}
	})
}

// dropSilent ends connections that brought nothing for long, which those to peers
// out of reach do. One to a peer that is there, but waits as we do, is made anew.
func (v *Validator) dropSilent(limit time.Duration) {
	sw := v.node.Switch()
	for _, p := range sw.Peers().Copy() {
		if p.Status().RecvMonitor.Idle > limit {
			sw.StopPeerForError(p, errSilent)
		}
	}
}

// wait returns when nothing is sought.
func (s *seeker) wait() {
	if s.stop != nil {
		s.stop()
		s.busy.Wait()
	}
}
