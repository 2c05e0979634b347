// Package invite is how somebody without coins gets an account. An inviter locks
// a welcome grant under a key made for it; whoever can sign with that key has
// the grant sent to one account, once. The secret half travels in a [Line] of
// text that a friend pastes.
//
// A rule takes a state, an event and block time, and returns the next state, or
// an error that changes nothing. [Invite.Payee] says whom the grant goes to: to
// exactly one of guest and inviter, when the invite ends. The one state that is
// not final has a clock, [Invite.Tick].
//
// Start at [Make] and [ParseLine]; spec/invite.md draws the machine, and
// machine_test.go walks through all its interleavings.
package invite

import (
	"errors"
	"fmt"

	"daulat/core/canon"
)

// State is where an invite stands.
type State string

// The states of an invite. Only Open is not final.
const (
	Open     State = "open"
	Redeemed State = "redeemed"
	Revoked  State = "revoked"
	Expired  State = "expired"
)

// Invite is a grant that waits for the one who holds the key's secret half.
type Invite struct {
	Version uint64          `cbor:"v"`
	Key     canon.PublicKey `cbor:"key"`
	Inviter string          `cbor:"inviter"` // account
	Grant   uint64          `cbor:"grant"`   // udlt locked
	Expires uint64          `cbor:"expires"` // block time, seconds
	State   State           `cbor:"state"`
	Guest   string          `cbor:"guest"` // account that redeemed it, or empty
	Made    uint64          `cbor:"made"`  // block time, seconds
	Ended   uint64          `cbor:"ended"` // block time, seconds; 0 while open
}

// Limits are a ledger's bounds of what one account can invite with.
type Limits struct {
	MaxOpen  uint64 `cbor:"max_open"`  // open invites of one inviter
	MaxGrant uint64 `cbor:"max_grant"` // udlt
	MaxLife  uint64 `cbor:"max_life"`  // seconds
}

// LongestLife bounds the clock of an open invite, in seconds.
const LongestLife = 366 * 24 * 3600

// Errors of the rules.
var (
	ErrSpent    = errors.New("invite was redeemed before")
	ErrRevoked  = errors.New("invite was revoked")
	ErrExpired  = errors.New("invite has expired")
	ErrStranger = errors.New("that is another account's to do")
	ErrOwn      = errors.New("an inviter can't redeem its own invite")
	ErrGuest    = errors.New("account has redeemed an invite before")
	ErrKey      = errors.New("there was an invite with that key before")
	ErrTooMany  = errors.New("inviter has as many open invites as the ledger allows")
	ErrGrant    = errors.New("grant is outside of what the ledger allows")
	ErrLife     = errors.New("expiry is outside of what the ledger allows")
)

// Validate reports what is wrong with limits.
func (l Limits) Validate() error {
	switch {
	case l.MaxOpen == 0:
		return errors.New("limits: open invites must be allowed")
	case l.MaxGrant == 0:
		return errors.New("limits: largest grant is zero")
	case l.MaxLife == 0 || l.MaxLife > LongestLife:
		return fmt.Errorf("limits: longest life must be 1 to %d seconds", LongestLife)
	}
	return nil
}

// Room reports whether an inviter with so many open invites may make another.
func (l Limits) Room(open uint64) error {
	if open >= l.MaxOpen {
		return fmt.Errorf("make invite: %w: %d", ErrTooMany, l.MaxOpen)
	}
	return nil
}

// Make opens an invite at block time now; the caller locks the grant.
func Make(key canon.PublicKey, inviter string, grant, expires, now uint64, l Limits) (Invite, error) {
	switch {
	case key.IsZero():
		return Invite{}, errors.New("make invite: key is missing")
	case inviter == "":
		return Invite{}, errors.New("make invite: inviter is missing")
	case grant == 0 || grant > l.MaxGrant:
		return Invite{}, fmt.Errorf("make invite: %w: 1 to %d udlt", ErrGrant, l.MaxGrant)
	case expires <= now || expires-now > l.MaxLife:
		return Invite{}, fmt.Errorf("make invite: %w: 1 to %d seconds from now", ErrLife, l.MaxLife)
	}
	return Invite{Version: canon.Version, Key: key, Inviter: inviter, Grant: grant, Expires: expires, State: Open, Made: now}, nil
}

// Redeem gives the grant to guest. That the key's holder named guest is for the
// caller to check, with [Claim.Check].
func (i Invite) Redeem(guest string, now uint64) (Invite, error) {
	if err := i.Pending(); err != nil {
		return i, fmt.Errorf("redeem invite: %w", err)
	}
	switch {
	case now >= i.Expires:
		return i, fmt.Errorf("redeem invite: %w", ErrExpired)
	case guest == "":
		return i, errors.New("redeem invite: guest is missing")
	case guest == i.Inviter:
		return i, fmt.Errorf("redeem invite: %w", ErrOwn)
	}
	i.State, i.Guest, i.Ended = Redeemed, guest, now
	return i, nil
}

// Revoke ends an open invite at its inviter's wish, who has the grant back.
func (i Invite) Revoke(by string, now uint64) (Invite, error) {
	if by != i.Inviter {
		return i, fmt.Errorf("revoke invite: %w", ErrStranger)
	}
	if err := i.Pending(); err != nil {
		return i, fmt.Errorf("revoke invite: %w", err)
	}
	i.State, i.Ended = Revoked, now
	return i, nil
}

// Tick ends an open invite whose time is over; its inviter has the grant back.
func (i Invite) Tick(now uint64) (next Invite, expired bool) {
	if i.State != Open || now < i.Expires {
		return i, false
	}
	i.State, i.Ended = Expired, now
	return i, true
}

// Payee is the account that the grant went to when the invite ended, or empty
// while it is locked.
func (i Invite) Payee() string {
	switch i.State {
	case Open:
		return ""
	case Redeemed:
		return i.Guest
	}
	return i.Inviter
}

// Pending reports why an invite is not open any more.
func (i Invite) Pending() error {
	switch i.State {
	case Open:
		return nil
	case Redeemed:
		return ErrSpent
	case Revoked:
		return ErrRevoked
	case Expired:
		return ErrExpired
	}
	return fmt.Errorf("state %q is unknown", string(i.State))
}

// Validate reports an invite that no course of events leads to, whatever the
// limits were when it was made.
func (i Invite) Validate() error {
	var ok bool
	switch i.State {
	case Open:
		ok = i.Guest == "" && i.Ended == 0
	case Redeemed:
		ok = i.Guest != "" && i.Guest != i.Inviter && i.Made <= i.Ended && i.Ended < i.Expires
	case Revoked:
		ok = i.Guest == "" && i.Made <= i.Ended
	case Expired:
		ok = i.Guest == "" && i.Expires <= i.Ended
	}
	switch {
	case i.Version != canon.Version:
		return fmt.Errorf("invite: version %d is unknown", i.Version)
	case i.Key.IsZero() || i.Inviter == "" || i.Grant == 0:
		return errors.New("invite: key, inviter or grant is missing")
	case i.Expires <= i.Made || i.Expires-i.Made > LongestLife:
		return fmt.Errorf("invite: it does not expire within %d seconds", LongestLife)
	case !ok:
		return fmt.Errorf("invite: guest and times don't fit state %q", string(i.State))
	}
	return nil
}

// DomainRedeem is the domain of what an invite's key signs.
const DomainRedeem = "daulat/redeem"

// Claim names the one account that an invite's grant is for. Who carries it to
// the ledger can't change it, nor use it on another ledger.
type Claim struct {
	Chain string          `cbor:"chain"`
	Key   canon.PublicKey `cbor:"key"`   // of the invite, which signs
	Guest string          `cbor:"guest"` // account, in its one text form
}

// Check reports whether the invite's key signed the claim.
func (c Claim) Check(proof canon.Signature) error {
	if err := canon.Verify(c.Key, DomainRedeem, c, proof); err != nil {
		return fmt.Errorf("redeem invite: %w", err)
	}
	return nil
}
