package gateway

import (
	"context"
	"net/http"
	"sync"
)

// attendance counts the requests that are under way.
type attendance struct {
	mu    sync.Mutex
	here  int
	empty chan struct{} // closed when the last one leaves; nil while none is here
}

func (a *attendance) enter() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.here++; a.here == 1 {
		a.empty = make(chan struct{})
	}
}

func (a *attendance) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.here--; a.here == 0 {
		close(a.empty)
		a.empty = nil
	}
}

func (a *attendance) wait() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.empty
}

// Attend counts the requests to h among those for which Idle waits, as answers are.
func (g *Gateway) Attend(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.attendance.enter()
		defer g.attendance.leave()
		h.ServeHTTP(w, r)
	})
}

// Idle waits until no answer is under way, or ctx ends. busy is called first if there
// is one.
func (g *Gateway) Idle(ctx context.Context, busy func()) {
	last := g.attendance.wait()
	if last == nil {
		return
	}
	busy()
	select {
	case <-last:
	case <-ctx.Done():
	}
}
