package provider

import (
	"testing"
	"time"
)

func TestMovesAreAnnouncedAtOnceAndLossesLater(t *testing.T) {
	both := []string{"a", "b"}
	for name, c := range map[string]struct {
		shown, addrs    []string
		differed, since time.Duration
		due             bool
	}{
		"nothing changed":         {both, both, time.Hour, time.Hour, false},
		"in another order":        {both, []string{"b", "a"}, time.Hour, time.Hour, false},
		"another address":         {both, []string{"c"}, 0, announceEvery, true},
		"one more":                {both, []string{"a", "b", "c"}, 0, announceEvery, true},
		"just after the last":     {both, []string{"c"}, time.Hour, announceEvery - 1, false},
		"one less for a moment":   {both, both[:1], missingFor - 1, time.Hour, false},
		"one less":                {both, both[:1], missingFor, time.Hour, true},
		"nowhere":                 {both, nil, time.Hour, time.Hour, false},
		"somewhere for the first": {nil, both, 0, time.Hour, true},
	} {
		if got := moveDue(c.shown, c.addrs, c.differed, c.since); got != c.due {
			t.Errorf("%s: due is %v", name, got)
		}
	}
}
