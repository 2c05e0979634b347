package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"daulat/core/canon"
	"daulat/ledger/client"
	"daulat/link"
)

// What a home with a ledger node does for guests, who reach nothing but its
// peer: it answers their calls of the ledger's RPC, and carries the redemption of
// an invite to the ledger, which somebody without an account can't.
const (
	ledgerProtocol = "/daulat/ledger/1" // HTTP, as at the RPC address
	doorProtocol   = "/daulat/door/1"   // one redemption, one answer

	maxGuests   = 256 // connections to the ledger
	doorFrame   = 1 << 10
	doorTimeout = 30 * time.Second
	doorAtOnce  = 8 // redemptions
)

// redemption asks to be let in: the invite's key signed for the guest.
type redemption struct {
	Key   canon.PublicKey `cbor:"key"`
	Guest string          `cbor:"guest"`
	Proof canon.Signature `cbor:"proof"`
}

// admittance is the answer; empty if the guest is in.
type admittance struct {
	Refused string `cbor:"refused"` // why
	Busy    bool   `cbor:"busy"`    // try again, or elsewhere
}

// refusedError is what a door says that the ledger says of an invite.
type refusedError struct{ why string }

func (e refusedError) Error() string { return e.why }

// door lets guests in.
type door struct {
	redeem func(ctx context.Context, key canon.PublicKey, guest string, proof canon.Signature) error
	places chan struct{}
}

func newDoor(carrier *client.Client) door {
	return door{redeem: carrier.RedeemInvite, places: make(chan struct{}, doorAtOnce)}
}

// serve is a link.Handler.
func (d door) serve(ctx context.Context, s *link.Stream) {
	s.SetFrameLimit(doorFrame)
	s.SetFrameTimeout(doorTimeout)
	var r redemption
	if s.Receive(&r) != nil { // the stream is reset, and there is nobody to tell
		return
	}
	_ = s.Send(d.admit(ctx, r)) // the guest may be gone; it asks again
}

func (d door) admit(ctx context.Context, r redemption) admittance {
	select {
	case d.places <- struct{}{}:
		defer func() { <-d.places }()
	default:
		return admittance{Refused: "too many guests at once", Busy: true}
	}
	ctx, cancel := context.WithTimeout(ctx, doorTimeout)
	defer cancel()
	err := d.redeem(ctx, r.Key, r.Guest, r.Proof)
	var refusal *client.TxError
	switch {
	case err == nil:
		return admittance{}
	case errors.As(err, &refusal):
		return admittance{Refused: clip([]byte(refusal.Log))}
	}
	return admittance{Refused: "the ledger can't be reached from here", Busy: true}
}

// redeemAt asks one peer to carry a redemption.
func redeemAt(ctx context.Context, peer *link.Node, addrs []string, r redemption) error {
	s, err := peer.Dial(ctx, addrs, doorProtocol)
	if err != nil {
		return err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.Reset)()
	s.SetFrameLimit(doorFrame)
	s.SetFrameTimeout(2 * doorTimeout)
	if err := s.Send(r); err != nil {
		return err
	}
	var a admittance
	if err := s.Receive(&a); err != nil {
		return fmt.Errorf("door of %s: %w", link.PeerID(s.Peer()), err)
	}
	switch {
	case a.Refused == "":
		return nil
	case a.Busy:
		return fmt.Errorf("door of %s: %s", link.PeerID(s.Peer()), a.Refused)
	}
	return refusedError{a.Refused}
}
