package control

import "time"

// InviteTerms are what a new invite gives and until when.
type InviteTerms struct {
	Grant uint64        `json:"grant_udlt"`
	Life  time.Duration `json:"life_ns"`
	// Peers are more addresses that reach the ledger and relay, beside this home's.
	Peers []string `json:"peers,omitempty"`
}

// NewInvite is an invite that was just made. The line is as good as money, and
// nothing keeps it.
type NewInvite struct {
	Invite
	Line string `json:"line"`
	// OnlyHere says that the line leads to addresses of loopback alone.
	OnlyHere bool `json:"only_here,omitempty"`
	// Near is where the line leads if that is an address of one private network.
	Near string `json:"near,omitempty"`
}

// Invite is an invite of this home's.
type Invite struct {
	ID      string    `json:"id"` // its key, hexadecimal
	State   string    `json:"state"`
	Grant   uint64    `json:"grant_udlt"`
	Expires time.Time `json:"expires"`
	Guest   string    `json:"guest,omitempty"` // account that redeemed it
}

// Invites are the invites of this home, with what bounds them.
type Invites struct {
	Invites  []Invite `json:"invites"`
	Open     uint64   `json:"open"`
	MaxOpen  uint64   `json:"max_open"`
	Locked   uint64   `json:"locked_udlt"` // in open invites
	Given    uint64   `json:"given_udlt"`  // to guests
	MaxGrant uint64   `json:"max_grant_udlt"`
}
