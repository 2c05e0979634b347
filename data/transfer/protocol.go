// Package transfer moves blobs between peers, verified and resumable.
//
// Guarantees: no byte is kept or returned before its 16 KiB group was checked
// against the artifact ID; a size is believed only after the peer has proved it,
// so a liar costs one group; a download goes on from its last verified group
// after a disconnect, a restart or a change of provider; a provider that sends
// false bytes is named ([PeerError]) and the next one is asked; an owner's bad
// disk is found before a false byte leaves it.
//
// Start at [Serve], [Fetch] and [FetchRange]; spec/transfer.md is normative.
package transfer

import (
	"errors"
	"fmt"

	"daulat/core/canon"
	"daulat/link"
)

// Protocol is the name under which blobs are asked for.
const Protocol = "/daulat/transfer/1"

// maxFrame bounds requests and answers, in bytes.
const maxFrame = 1 << 10

// request asks for the slice over a range of a blob. A length of 0 asks for the
// slice over the last group, which proves the size; offset is then 0.
type request struct {
	CID    canon.CID `cbor:"cid"`
	Offset uint64    `cbor:"offset"`
	Length uint64    `cbor:"length"`
}

// span checks the range against the blob's size.
func (r request) span(size int64) (offset, length int64, ok bool) {
	limit := uint64(size)
	if r.Offset > limit || r.Length > limit-r.Offset || r.Length == 0 && r.Offset > 0 {
		return 0, 0, false
	}
	return int64(r.Offset), int64(r.Length), true
}

// answer precedes a slice, or says why none follows.
type answer struct {
	Size   uint64 `cbor:"size"`
	Reason string `cbor:"reason,omitempty"`
}

// Reasons for which no slice follows.
const (
	absent  = "absent"  // not in the store, or not for this peer
	busy    = "busy"    // ask later
	invalid = "invalid" // the range is not in the blob
	failed  = "failed"  // the provider cannot read it
)

// PeerError says what went wrong with one provider.
type PeerError struct {
	Peer canon.PublicKey // zero if it was never reached
	Bad  bool            // it sent false bytes or broke the protocol: no honest peer does
	Err  error
}

func (e *PeerError) Error() string {
	switch {
	case e.Peer.IsZero():
		return e.Err.Error()
	case e.Bad:
		return fmt.Sprintf("bad peer %s: %v", link.PeerID(e.Peer), e.Err)
	}
	return fmt.Sprintf("peer %s: %v", link.PeerID(e.Peer), e.Err)
}

func (e *PeerError) Unwrap() error { return e.Err }

// BadPeers returns the providers that an error of Fetch or FetchRange convicts.
func BadPeers(err error) []canon.PublicKey {
	var bad []canon.PublicKey
	if e, ok := err.(*PeerError); ok && e.Bad {
		bad = append(bad, e.Peer)
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		bad = append(bad, BadPeers(e.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			bad = append(bad, BadPeers(err)...)
		}
	}
	return bad
}

// ErrTooLarge says that an artifact is larger than the caller allows.
var ErrTooLarge = errors.New("artifact is too large")
