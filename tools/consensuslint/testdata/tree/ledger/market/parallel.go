package market

import (
	"runtime"
	"sync"
)

var share = 0

// checkAll may start goroutines, and nothing else.
func checkAll() {
	var w sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		w.Go(func() { share++ })
		go func() { _ = 0.5 }()
		_ = runtime.NumCPU()
	}
	w.Wait()
}

// applyAll may not.
func applyAll() {
	var w sync.WaitGroup
	w.Go(func() { share++ })
	go checkAll()
}

type other struct{}

func (other) checkAll() { go applyAll() }
