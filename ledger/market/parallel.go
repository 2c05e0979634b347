package market

import (
	"runtime"
	"sync"
	counter "sync/atomic"
)

// checkAll checks claims on all processors. It is the one place of consensus
// code that may start a goroutine, and consensuslint knows it by name: each
// claim is checked by itself, writes to itself alone, and holds the same in the
// end whoever checked it and when. No goroutine outlives the call, and a panic
// of any of them is a panic of the caller's: the first one's in the message.
func checkAll(chain string, claims []claim) {
	var next counter.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(claims)); i = next.Add(1) - 1 {
			claims[i].check(chain)
		}
	}
	var others sync.WaitGroup
	for range min(len(claims), runtime.GOMAXPROCS(0)) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
	for i := range claims {
		if p := claims[i].panicked; p != nil {
			panic(p)
		}
	}
}
