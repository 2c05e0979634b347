package consumer

import (
	"context"
	"errors"
	"sync"
	"time"

	wire "daulat/link/session"
)

// errStopped says that whoever asked took no more of an answer. What had come is
// paid for: the result beside the error says how much, if anything.
var errStopped = errors.New("the answer was stopped")

// outlive returns a context that ends a while after ctx does, or with its cancel.
func outlive(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(while, cancel) })
	return late, func() {
		stop()
		cancel()
	}
}

// farewell tells a provider, at most once, that no more of its answer is wanted. It
// is safe for concurrent use.
type farewell struct {
	stream wire.Conn
	mu     sync.Mutex
	said   bool
	ended  bool
}

func (f *farewell) say() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.said || f.ended {
		return
	}
	f.said = true
	_ = f.stream.Send(wire.Word{Stop: true}) // a stream that broke says so to whoever receives
}

// end takes the stream back, and reports whether the provider was told.
func (f *farewell) end() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	return f.said
}
