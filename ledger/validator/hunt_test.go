package validator

import (
	"log/slog"
	"testing"
)

// TestHuntEnds: the search for a snapshot ends after so many rounds without one, and
// its routine with it, or at once when it fails.
func TestHuntEnds(t *testing.T) {
	for name, row := range map[string]struct {
		said  []string
		ends  bool
		after int // of said, the routine is gone
	}{
		"nobody shows one":           {[]string{"sync any", "sync any", "sync any", "sync any"}, true, 3},
		"one after the other is bad": {[]string{"Snapshot rejected", "Snapshot senders rejected", "Timed out waiting for snapshot chunks, rejected snapshot"}, true, 3},
		"it fails":                   {[]string{"State sync failed"}, true, 1},
		"it goes on":                 {[]string{"sync any", "Snapshot restored", "Discovered new snapshot", "sync any"}, false, 4},
	} {
		h, heard := newHunt(3), make(chan int)
		go func() {
			n := 0
			defer func() { heard <- n }()
			for _, message := range row.said {
				n++
				h.notice(slog.Record{Message: message})
			}
		}()
		if n := <-heard; n != row.after {
			t.Errorf("%s: the routine went on for %d records, not %d", name, n, row.after)
		}
		select {
		case <-h.over:
			if !row.ends {
				t.Errorf("%s: it is given up", name)
			}
		default:
			if row.ends {
				t.Errorf("%s: it has no end", name)
			}
		}
	}
}
