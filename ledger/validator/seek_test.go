package validator

import (
	"testing"
	"time"
)

// TestPatienceWithSilentPeers: less of it while a block is overdue, and never less
// than a block takes.
func TestPatienceWithSilentPeers(t *testing.T) {
	for _, c := range []struct{ age, block, want time.Duration }{
		{0, time.Second, 21 * time.Second},
		{11 * time.Second, time.Second, 21 * time.Second},
		{12 * time.Second, time.Second, 11 * time.Second},
		{time.Hour, time.Minute, 70 * time.Second},
		{time.Minute, time.Minute, 80 * time.Second},
	} {
		if got := patience(c.age, c.block); got != c.want || got < c.block {
			t.Errorf("a block of %s ago, one each %s: %s, want %s", c.age, c.block, got, c.want)
		}
	}
}
