package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/link"
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

// join redeems r at the doors that the guest knows; proven is what the ledger shows.
func (n *network) join(t *testing.T, r redemption, proven func() error) error {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // a door that lets wait is none that refuses
	defer cancel()
	return n.redeem(ctx, r, func(context.Context) error { return proven() })
}

// believed is a ledger that shows what the doors say.
func believed() error { return nil }

// No door's word is taken for the ledger's: who refuses wrongly, says that it
// redeemed and did not, or breaks off, leaves it to the next.
func TestOneLyingDoorIsNotTheLedger(t *testing.T) {
	wanted := redemption{Key: canon.PublicKey{1}, Guest: "daulat1guest", Proof: canon.Signature{2}}
	var asked int
	var in bool
	honest := doorkeeper(t, func(_ context.Context, key canon.PublicKey, guest string, proof canon.Signature) error {
		if asked++; key != wanted.Key || guest != wanted.Guest || proof != wanted.Proof {
			t.Errorf("redeemed %s for %s with %x", key, guest, proof)
		}
		in = true
		return nil
	})
	saying := func(err error) []string {
		return doorkeeper(t, func(context.Context, canon.PublicKey, string, canon.Signature) error { return err })
	}
	refuses := saying(&client.TxError{Log: "invite was redeemed before"})
	refusesToo := saying(&client.TxError{Log: "invite was redeemed before"})
	pretends, cut := saying(nil), saying(errors.New("no node"))
	leaving := linktest.Node(t, linktest.Key(t))
	leaving.Handle(doorProtocol, func(_ context.Context, s *link.Stream) {
		var r redemption
		if s.Receive(&r) == nil {
			in = true
		}
		s.Reset()
	})
	ledger := func() error {
		if in {
			return nil
		}
		return errStillOpen
	}
	for name, row := range map[string]struct {
		doors [][]string
		asked int // how often the honest one is
		want  string
		wrong bool // the invite is to blame
	}{
		"one that can't reach the ledger, first":    {[][]string{cut, honest}, 1, "", false},
		"one that refuses, first":                   {[][]string{refuses, honest}, 1, "", false},
		"two that refuse, first":                    {[][]string{refuses, refusesToo, honest}, 1, "", false},
		"one that says that the guest is in, first": {[][]string{pretends, honest}, 1, "", false},
		"one that redeems and breaks off":           {[][]string{leaving.Addrs(), honest}, 0, "", false},
		"all refuse":                                {[][]string{refuses, refusesToo}, 0, "invite was redeemed before", true},
		"most refuse":                               {[][]string{refuses, cut, refusesToo}, 0, "invite was redeemed before", true},
		"half refuse":                               {[][]string{refuses, cut}, 0, "none of the network's 2 peers redeems the invite: ", false},
		"none is true":                              {[][]string{pretends}, 0, "said that the invite is redeemed", false},
	} {
		asked, in = 0, false
		err := guestAt(t, row.doors...).join(t, wanted, ledger)
		if text := fmt.Sprint(err); (err == nil) != (row.want == "") || err != nil && !strings.Contains(text, row.want) || asked != row.asked || errors.As(err, new(control.WrongInput)) != row.wrong {
			t.Errorf("%s: %v, asked %d times", name, err, asked)
		}
	}
	asked = 0
	over := control.WrongInput{Err: errors.New("invite was revoked")}
	if err := guestAt(t, refuses, honest).join(t, wanted, func() error { return over }); !errors.Is(err, over) || asked != 0 {
		t.Errorf("an invite that the ledger proves to be over: %v, asked %d times", err, asked)
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
			if err := n.join(t, redemption{}, believed); err != nil {
				t.Error(err)
			}
		})
	}
	for range doorAtOnce {
		<-inside
	}
	if err := n.join(t, redemption{}, func() error { return errStillOpen }); err == nil || !strings.Contains(err.Error(), "too many guests") || errors.As(err, new(control.WrongInput)) {
		t.Errorf("one guest too many: %v", err)
	}
	close(leave)
	all.Wait()
	if err := n.join(t, redemption{}, believed); err != nil {
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
	if err := n.join(t, redemption{}, believed); err != nil {
		t.Errorf("after nonsense: %v", err)
	}
}

// admittingLedger holds one invite.
type admittingLedger struct{ invite invite.Invite }

func (l *admittingLedger) Account() string                 { return "daulat1guest" }
func (l *admittingLedger) ChainID() string                 { return "daulat-net" }
func (l *admittingLedger) NextBlock(context.Context) error { return nil }
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
		if err := n.enter(t.Context(), ledger, &l, false); (err == nil) != welcome {
			t.Errorf("let in as %s: %v", guest, err)
		}
		if joined := exists(home.path(networkFile)); joined != welcome {
			t.Errorf("let in as %s: the home remembers the network: %t", guest, joined)
		}
	}
}
