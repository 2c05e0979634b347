package node

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/ledger/client"
	"daulat/link/linktest"
	"daulat/ui/control"
)

// doorkeeper opens a door at a peer of its own, behind which redeem is asked.
func doorkeeper(t *testing.T, redeem func(context.Context, canon.PublicKey, string, canon.Signature) error) []string {
	t.Helper()
	n := linktest.Node(t, linktest.Key(t))
	n.Handle(doorProtocol, door{redeem: redeem, places: make(chan struct{}, doorAtOnce)}.serve)
	return n.Addrs()
}

// guestAt is a guest that knows the network by some peers.
func guestAt(t *testing.T, paths ...[]string) *network {
	t.Helper()
	return &network{peer: linktest.Node(t, linktest.Key(t)), paths: paths}
}

func (n *network) knock(t *testing.T, r redemption) error {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // a door that lets wait is none that refuses
	defer cancel()
	return n.try(func(addrs []string) error { return redeemAt(ctx, n.peer, addrs, r) })
}

// What the ledger refuses is final, and in its words; a door that can't reach the
// ledger leaves it to the next.
func TestDoorsRefuseOrPassOn(t *testing.T) {
	wanted := redemption{Key: canon.PublicKey{1}, Guest: "daulat1guest", Proof: canon.Signature{2}}
	asked := 0
	open := doorkeeper(t, func(_ context.Context, key canon.PublicKey, guest string, proof canon.Signature) error {
		if asked++; key != wanted.Key || guest != wanted.Guest || proof != wanted.Proof {
			t.Errorf("redeemed %s for %s with %x", key, guest, proof)
		}
		return nil
	})
	cut := doorkeeper(t, func(context.Context, canon.PublicKey, string, canon.Signature) error { return errors.New("no node") })
	spent := doorkeeper(t, func(context.Context, canon.PublicKey, string, canon.Signature) error {
		return &client.TxError{Log: "invite was redeemed before"}
	})
	n := guestAt(t, cut, open)
	if err := n.knock(t, wanted); err != nil || asked != 1 {
		t.Fatalf("a door that is cut off, and one that is not: %v, asked %d times", err, asked)
	}
	if err := n.knock(t, wanted); err != nil || asked != 2 || n.next != 1 {
		t.Fatalf("the good one is not the first that is asked then: %v", err)
	}
	if err := guestAt(t, cut).knock(t, wanted); err == nil || errors.As(err, new(control.WrongInput)) {
		t.Fatalf("no way to the ledger: %v", err)
	}
	err := guestAt(t, spent, open).knock(t, wanted)
	if !errors.As(err, new(control.WrongInput)) || err.Error() != "invite was redeemed before" || asked != 2 {
		t.Fatalf("a spent invite: %v, asked %d times", err, asked)
	}
}

// Only so many redemptions are under way at once: the next guest is told that the
// door is busy, and nothing waits in line.
func TestDoorIsBounded(t *testing.T) {
	inside, leave := make(chan struct{}, 2*doorAtOnce), make(chan struct{})
	crowd := doorkeeper(t, func(context.Context, canon.PublicKey, string, canon.Signature) error {
		inside <- struct{}{}
		<-leave
		return nil
	})
	n := guestAt(t, crowd)
	var all sync.WaitGroup
	for range doorAtOnce {
		all.Go(func() {
			if err := n.knock(t, redemption{}); err != nil {
				t.Error(err)
			}
		})
	}
	for range doorAtOnce {
		<-inside
	}
	if err := n.knock(t, redemption{}); err == nil || !strings.Contains(err.Error(), "too many guests") || errors.As(err, new(control.WrongInput)) {
		t.Errorf("one guest too many: %v", err)
	}
	close(leave)
	all.Wait()
	if err := n.knock(t, redemption{}); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}

// A stranger that sends something else costs its own stream.
func TestDoorSurvivesNonsense(t *testing.T) {
	n := guestAt(t, doorkeeper(t, func(context.Context, canon.PublicKey, string, canon.Signature) error { return nil }))
	for _, nonsense := range []any{"hello", redemption{Guest: string(make([]byte, 2*doorFrame))}, admittance{Busy: true}} {
		s, err := n.peer.Dial(t.Context(), n.paths[0], doorProtocol)
		if err != nil {
			t.Fatal(err)
		}
		var a admittance
		if s.Send(nonsense) == nil && s.Receive(&a) == nil {
			t.Errorf("%T was answered with %+v", nonsense, a)
		}
		s.Reset()
	}
	if err := n.knock(t, redemption{}); err != nil {
		t.Errorf("after nonsense: %v", err)
	}
}
