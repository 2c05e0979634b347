// Package leak tells what a test leaves running.
package leak

import (
	"testing"

	"go.uber.org/goleak"
)

// patience is how often the goroutines are looked for, about half a second each time.
const patience = 30

// Watch returns a check that all goroutines have ended, or end soon, that began
// after the call: a count would be fooled by others that end meanwhile. Tests in
// parallel are not told apart.
func Watch(t testing.TB) (check func()) {
	before := goleak.IgnoreCurrent()
	return func() {
		t.Helper()
		var err error
		for range patience {
			if err = goleak.Find(before); err == nil {
				return
			}
		}
		t.Error(err)
	}
}
