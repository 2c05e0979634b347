package float

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// crew shares loops among goroutines. A layer of decode has several loops of some ten microseconds each, which
// is what waking a sleeping thread costs; so who waits, for work or for the end of it, spins for about that
// long before it sleeps. The goroutines start with the first loop worth sharing and end with dismiss.
type crew struct {
	threads int
	loop    atomic.Pointer[loop] // the newest
	workers []worker             // all but the caller
	ended   sync.WaitGroup
	done    chan struct{} // wakes the caller
}

type worker struct {
	asleep atomic.Bool
	wake   chan struct{}
}

// loop is calls of f for pieces of [0, n), each of grain items but the last.
type loop struct {
	f        func(worker, low, high int) // nil sends the workers home
	n, grain int
	pieces   int64
	next     atomic.Int64 // piece that nobody has taken
	finished atomic.Int64
	met      atomic.Bool // set by the caller as it goes to sleep, or by who finishes the last piece
}

// spins is how often who waits looks before it sleeps, and patience after how many looks it lets others run.
const (
	spins    = 20_000
	patience = 500
)

func hire(threads int) *crew { return &crew{threads: threads} }

// run calls f for all pieces and returns when all are done. worker numbers the goroutines from 0, the caller.
// Who gets which piece is open, so nothing may depend on it.
func (c *crew) run(n, grain int, f func(worker, low, high int)) {
	pieces := (n + grain - 1) / grain
	if c.threads <= 1 || pieces <= 1 {
		if n > 0 {
			f(0, 0, n)
		}
		return
	}
	l := &loop{f: f, n: n, grain: grain, pieces: int64(pieces)}
	c.publish(l)
	c.work(l, 0)
	for i := range spins {
		if l.met.Load() {
			return
		}
		yield(i)
	}
	if !l.met.Swap(true) {
		<-c.done
	}
}

// dismiss ends the goroutines and waits for them.
func (c *crew) dismiss() {
	if c.workers != nil {
		c.publish(&loop{})
		c.ended.Wait()
		c.workers = nil
	}
}

func (c *crew) publish(l *loop) {
	if c.workers == nil {
		c.done = make(chan struct{}, 1)
		c.workers = make([]worker, c.threads-1)
		for i := range c.workers {
			c.workers[i].wake = make(chan struct{}, 1)
			c.ended.Go(func() { c.serve(i) })
		}
	}
	c.loop.Store(l)
	for i := range c.workers {
		if w := &c.workers[i]; w.asleep.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
}

// serve is the life of a worker.
func (c *crew) serve(i int) {
	var last *loop
	for {
		l := c.await(&c.workers[i], last)
		if l.f == nil {
			return
		}
		c.work(l, i+1)
		last = l
	}
}

// await returns a loop that is not the last one.
func (c *crew) await(w *worker, last *loop) *loop {
	for i := range spins {
		if l := c.loop.Load(); l != last {
			return l
		}
		yield(i)
	}
	for {
		w.asleep.Store(true)
		if l := c.loop.Load(); l != last && w.asleep.CompareAndSwap(true, false) {
			return l
		}
		<-w.wake
		if l := c.loop.Load(); l != last {
			return l
		}
	}
}

// work takes pieces until none is left. A worker that comes late finds none, and then touches nothing.
func (c *crew) work(l *loop, worker int) {
	for {
		i := l.next.Add(1) - 1
		if i >= l.pieces {
			return
		}
		low := int(i) * l.grain
		l.f(worker, low, min(l.n, low+l.grain))
		if l.finished.Add(1) == l.pieces && l.met.Swap(true) {
			c.done <- struct{}{}
		}
	}
}

// yield lets other goroutines run now and then.
func yield(i int) {
	if i%patience == patience-1 {
		runtime.Gosched()
	}
}
