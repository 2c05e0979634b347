package node

import (
	"context"
	"errors"
	"sync"

	"daulat/ledger/client"
)

// serve answers until ctx ends, or until this home's ledger halts by itself: then
// it returns why.
func (u *up) serve(ctx context.Context) error {
	if u.validator == nil {
		return u.gateway.Serve(ctx, u.listener)
	}
	serving, stop := context.WithCancel(ctx)
	var rests sync.WaitGroup
	rests.Go(func() { _ = u.keepManners(serving) }) // nothing is read that could fail
	defer rests.Wait()
	defer stop()
	go func() {
		select {
		case <-u.validator.Halted():
			stop()
		case <-serving.Done():
		}
	}()
	err := u.gateway.Serve(serving, u.listener)
	if why := u.validator.Err(); why != nil {
		return why // what else failed, failed for the same reason
	}
	return err
}

// ended is what a person is told of a network's end: of a ledger that halted the
// one sentence that says why, as closing what is built on it fails too.
func ended(run, closed error) error {
	if errors.Is(run, client.ErrHalted) {
		return run
	}
	return errors.Join(run, closed)
}
