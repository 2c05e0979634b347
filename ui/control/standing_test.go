package control

import "testing"

// TestStanding: a ledger at one height is spoken of once and given up after two
// minutes; a new block begins anew, and a look that found nothing counts for nothing.
func TestStanding(t *testing.T) {
	var s Standing
	for i, height := range []int64{0, 7, 8, 0, 8} {
		if say, end := s.Look(height); say != (i == 4) || end {
			t.Fatalf("look %d: %v, %v", i, say, end)
		}
	}
	s.Look(9)
	for i := 1; i <= standingMost; i++ {
		if say, end := s.Look(9); say != (i == 1) || end != (i == standingMost) {
			t.Fatalf("look %d at one height: %v, %v", i, say, end)
		}
	}
}
