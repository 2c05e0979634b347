// Package a breaks each rule.
package a

import (
	"context"
	_ "crypto/rand"  // want `import of crypto/rand brings in randomness`
	_ "hash/maphash" // want `brings in a random seed`
	"math"
	_ "math/rand"      // want `brings in randomness`
	rng "math/rand/v2" // want `brings in randomness`
	_ "net/netip"      // want `brings in the network`
	"os"               // want `import of os brings in the machine`
	"reflect"
	"runtime"
	"sync"
	. "time"
	clock "time"
	_ "unsafe" // want `brings in memory layout`

	"golang.org/x/sync/errgroup"
)

type price float64 // want `float: price`

type rate struct {
	base  int64
	slope float32 // want `float: float32`
}

type number interface {
	~int64 | ~float64 // want `float: float64`
}

const half = 0.5 // want `float: untyped float`

const million int64 = 1e6 // an integer, however it is written

func floats(p price, n int64) int64 { // want `float: price`
	r := math.Sqrt(2)  // want `float: float64`
	c := complex(1, 2) // want `float: complex128`
	_, _ = r, c        // want `float: float64`
	var d Duration
	_ = d.Seconds() // want `float: float64`
	return n * million / int64(math.MaxInt32)
}

func clocks(ctx context.Context, t clock.Time) {
	_ = clock.Now()  // want `time.Now brings in a clock`
	_ = Now()        // want `time.Now brings in a clock`
	now := clock.Now // want `time.Now brings in a clock`
	_ = now
	_ = Since(t)                       // want `time.Since brings in a clock`
	_ = clock.Until(t)                 // want `time.Until brings in a clock`
	<-clock.After(1)                   // want `time.After brings in a clock`
	clock.Sleep(1)                     // want `time.Sleep brings in a clock`
	_, _ = context.WithTimeout(ctx, 1) // want `context.WithTimeout brings in a clock`
	_ = t.In(clock.Local)              // want `time.Local brings in the machine's time zone`
	_ = t.Local()                      // want `time zone`
	_ = t.Add(clock.Hour).Before(clock.Time{}.UTC())
}

func chance(a, b chan int) {
	go func() {}() // want `goroutine`
	select {       // want `select with several cases`
	case <-a:
	case <-b:
	}
	select { // want `select with several cases`
	case <-a:
	default:
	}
	select {
	case <-a:
	}
	var w sync.WaitGroup
	w.Go(func() {}) // want `WaitGroup.*Go brings in a goroutine`
	start := w.Go   // want `brings in a goroutine`
	start(nil)
	w.Wait()
	var g errgroup.Group
	g.Go(nil)                      // want `errgroup.Group.\.Go brings in a goroutine`
	g.TryGo(nil)                   // want `a goroutine`
	context.AfterFunc(nil, nil)    // want `context.AfterFunc brings in a goroutine`
	runtime.SetFinalizer(nil, nil) // want `the collector's time`
	_ = runtime.GOMAXPROCS(0)      // want `runtime.GOMAXPROCS brings in the machine`
	_ = runtime.NumCPU()           // want `the machine`
	_ = rng.Int()
	_ = os.Args
}

// checkAll has the name of a function that may, in another folder.
func checkAll() {
	go func() {}() // want `goroutine`
}

func order(m map[string]int, s *sync.Map) {
	for range m { // want `range over a map`
	}
	_ = reflect.ValueOf(m).MapKeys() // want `map order`
	s.Range(nil)                     // want `map order`
}

func generic[M ~map[string]int](m M) {
	for range m { // want `range over a map`
	}
}
