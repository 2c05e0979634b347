package gateway

import (
	"context"
	"time"
)

// queue lets some requests run and some wait; the rest are told to come back.
type queue struct{ running, waiting chan struct{} }

func newQueue(running, waiting int) queue {
	return queue{make(chan struct{}, running), make(chan struct{}, waiting)}
}

// enter waits for a place, which leave gives back.
func (q queue) enter(ctx context.Context) error {
	select {
	case q.running <- struct{}{}:
		return nil
	default:
	}
	select {
	case q.waiting <- struct{}{}:
	default:
		return ErrBusy{time.Second}
	}
	defer func() { <-q.waiting }()
	select {
	case q.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q queue) leave() { <-q.running }
