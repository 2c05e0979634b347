package node

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/invite"
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

// admittingLedger holds one invite, at a height that a block follows.
type admittingLedger struct {
	invite invite.Invite
	waited int64
}

func (l *admittingLedger) Account() string { return "daulat1guest" }
func (l *admittingLedger) ChainID() string { return "daulat-net" }
func (l *admittingLedger) Status(context.Context) (int64, time.Time, error) {
	return 7, time.Time{}, nil
}
func (l *admittingLedger) WaitBlock(_ context.Context, after int64) (int64, error) {
	l.waited = after
	return after + 1, nil
}
func (l *admittingLedger) Invite(context.Context, canon.PublicKey) (invite.Invite, error) {
	return l.invite, nil
}

// Who was ended between asking to be let in and hearing that it was goes on at the
// next start; an invite that let somebody else in stays spent.
func TestAHomeThatWasLetInGoesOn(t *testing.T) {
	spent := doorkeeper(t, func(context.Context, canon.PublicKey, string, canon.Signature) error {
		return &client.TxError{Log: "invite was redeemed before"}
	})
	l, err := invite.ParseLine(lineTo(1, 5, spent[0]))
	if err != nil {
		t.Fatal(err)
	}
	for guest, welcome := range map[string]bool{"daulat1guest": true, "daulat1other": false} {
		home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
		if err != nil {
			t.Fatal(err)
		}
		ledger := &admittingLedger{invite: invite.Invite{State: invite.Redeemed, Guest: guest}}
		if err := redeemable(t.Context(), ledger, canon.PublicKey{}); (err == nil) != welcome {
			t.Errorf("the invite of %s is redeemable: %v", guest, err)
		}
		n := guestAt(t, spent)
		n.home, n.say = home, func(string) {}
		if err := n.enter(t.Context(), ledger, &l, false); (err == nil) != welcome || ledger.waited != 7 {
			t.Errorf("let in as %s: %v, after block %d", guest, err, ledger.waited)
		}
		if joined := exists(home.path(networkFile)); joined != welcome {
			t.Errorf("let in as %s: the home remembers the network: %t", guest, joined)
		}
	}
}
