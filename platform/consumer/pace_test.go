package consumer

import (
	"testing"
	"time"
)

// Who keeps up one token in each goes on for ever; who stops is left after stall,
// whatever it sent before; who trickles below is left in the end.
func TestBucket(t *testing.T) {
	l := limits{stall: 20 * time.Second, each: 4 * time.Second}
	run := func(every time.Duration, most int) (tokens int) {
		now := time.Unix(0, 0)
		b := bucket{limits: l}
		for ; tokens < most; tokens++ {
			if b = b.fill(now, 1); b.left <= 0 {
				return tokens
			}
			now = now.Add(every)
		}
		return tokens
	}
	if n := run(4*time.Second, 1000); n != 1000 {
		t.Errorf("one token in 4 s is left after %d", n)
	}
	if n := run(5*time.Second, 1000); n < 10 || n > 30 {
		t.Errorf("one token in 5 s is left after %d", n)
	}
	b := bucket{limits: l}
	for i := range 1000 {
		b = b.fill(time.Unix(0, int64(i)), 1)
	}
	if b.left > l.stall {
		t.Errorf("a thousand tokens buy %v", b.left)
	}
}

func TestFirstTokenIsWaitedForAsLongAsItTookBefore(t *testing.T) {
	l := usualLimits
	if got := l.first(0, 0); got != l.patience {
		t.Error(got)
	}
	if got := l.first(1000, 0); got != l.patience+10*time.Second {
		t.Error(got)
	}
	if got := l.first(10, 5000); got != 15*time.Second {
		t.Error(got)
	}
}
