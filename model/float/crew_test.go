package float

import (
	"runtime"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// TestCrewDoesEachPieceOnce, in loops of all sizes one after the other.
func TestCrewDoesEachPieceOnce(t *testing.T) {
	for threads := 1; threads <= 4; threads++ {
		c := hire(threads)
		for n := range 40 {
			for grain := 1; grain <= 9; grain += 4 {
				done := make([]atomic.Int32, n)
				c.run(n, grain, func(worker, low, high int) {
					if worker < 0 || worker >= threads || low >= high || threads > 1 && n > grain && high-low > grain {
						t.Errorf("%d threads, %d by %d: worker %d got %d to %d", threads, n, grain, worker, low, high)
					}
					for i := low; i < high; i++ {
						done[i].Add(1)
					}
				})
				for i := range done {
					if got := done[i].Load(); got != 1 {
						t.Fatalf("%d threads, %d by %d: item %d was done %d times", threads, n, grain, i, got)
					}
				}
			}
		}
		c.dismiss()
	}
}

// TestCrewSleepsAndWakes: the worker is asleep when work comes, and the caller when it ends.
func TestCrewSleepsAndWakes(t *testing.T) {
	c := hire(2)
	defer c.dismiss()
	for range 3 {
		var both atomic.Int32
		release := make(chan struct{})
		if c.workers != nil {
			until(func() bool { return c.workers[0].asleep.Load() })
		}
		go func() {
			until(func() bool { l := c.loop.Load(); return l != nil && both.Load() == 2 && l.met.Load() })
			close(release)
		}()
		finished := 0
		c.run(2, 1, func(worker, _, _ int) {
			both.Add(1)
			until(func() bool { return both.Load() == 2 }) // so each of the two has one piece
			if worker == 1 {
				<-release
				finished++
			}
		})
		if finished != 1 {
			t.Fatal("the caller did not wait for the worker")
		}
	}
}

// TestCrewEnds: no goroutine outlives the call of Append that needed it.
func TestCrewEnds(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for range 20 {
		c := hire(4)
		c.run(100, 1, func(int, int, int) {})
		c.dismiss()
		c.dismiss()
	}
	goleak.VerifyNone(t, before)
}

func until(f func() bool) {
	for !f() {
		runtime.Gosched()
	}
}
