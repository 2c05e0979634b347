package link

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestEveryCallHasItsTime: the whole timeout and at most a second more, and few
// timers however quickly the calls come.
func TestEveryCallHasItsTime(t *testing.T) {
	for _, timeout := range []time.Duration{20 * time.Millisecond, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var until time.Time
			timers := 0
			d := deadline{set: func(at time.Time) error { until = at; timers++; return nil }}
			for i := range 200 {
				if err := d.allow(timeout); err != nil {
					t.Fatal(err)
				}
				if left := time.Until(until); left < timeout || left > timeout+time.Second {
					t.Fatalf("call %d has %v of %v", i, left, timeout)
				}
				time.Sleep(20 * time.Millisecond)
			}
			if timeout > time.Second && timers > 5 {
				t.Errorf("%d timers in 4 seconds", timers)
			}
		})
	}
}
