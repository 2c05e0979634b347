package node

import (
	"testing"

	"daulat/core/canon"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
)

// A home's bound of sessions with one owner holds whatever is asked for, and who asks
// may lower it.
func TestBoundOfHomeAndAsker(t *testing.T) {
	base, err := terms(canon.NewCID(canon.DagCBOR, canon.Hash{1}), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ asked, home, want uint64 }{{0, 0, 0}, {2, 0, 2}, {0, 3, 3}, {2, 3, 2}, {4, 3, 3}} {
		_, got, err := chosen(base, gateway.Choice{PerOwner: c.asked}, gateway.Choice{PerOwner: c.home, Spread: true})
		if err != nil || got != (consumer.Owners{Spread: true, PerOwner: c.want}) {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
	if _, _, err := chosen(base, gateway.Choice{PerOwner: 65}, gateway.Choice{}); err == nil {
		t.Error("a bound that is none is taken")
	}
}
