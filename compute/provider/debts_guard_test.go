package provider

import (
	"fmt"
	"testing"

	"daulat/core/job"
	"daulat/link/session"
)

// Memory is bounded whoever defaults how often, and forgets the oldest first.
func TestDebtsAreBounded(t *testing.T) {
	d := debts{of: map[string]map[uint64]debt{}}
	const more = 5
	name := func(id uint64) string { return fmt.Sprint("account ", id%7) }
	for id := uint64(1); id <= maxDebts+more; id++ {
		r := session.Record{Session: job.Session{ID: id, Consumer: name(id)}, Served: job.Served{Lost: 1}}
		d.note(r)
		d.note(r) // the same again counts once
	}
	kept := uint64(0)
	for i := range uint64(7) {
		kept += d.owed(name(i), 0)
	}
	if d.count != maxDebts || kept != maxDebts {
		t.Errorf("%d sessions are counted, and %d remembered, of %d at the most", d.count, kept, maxDebts)
	}
	for id := uint64(1); id <= more+1; id++ {
		if _, known := d.of[name(id)][id]; known != (id > more) {
			t.Errorf("session %d is remembered: %t", id, known)
		}
	}
	for id := uint64(1); id <= maxDebts+more; id++ {
		d.note(session.Record{Session: job.Session{ID: id, Consumer: name(id)}})
	}
	if d.count != 0 || len(d.of) != 0 {
		t.Errorf("what was paid is remembered: %d, %v", d.count, d.of)
	}
}
