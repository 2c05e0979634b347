package vectors_test

import (
	"errors"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/invite"
)

const (
	host  = "daulat1inviter"
	guest = "daulat1guest"
)

var (
	inviteKey    = key(11)
	inviteLimits = invite.Limits{MaxOpen: 64, MaxGrant: 1_000, MaxLife: 100}
)

// makeCase is an attempt to make an invite at 1,000.
type makeCase struct {
	Why     string `json:"why"`
	Grant   uint64 `json:"grant"`
	Expires uint64 `json:"expires"`
	Open    uint64 `json:"open"` // invites that the inviter has open
	Invite  *item  `json:"invite,omitempty"`
}

// inviteStep is one event of an invite, and the record after it. A refusal
// leaves the record as it was.
type inviteStep struct {
	Event   string `json:"event"`
	By      string `json:"by,omitempty"` // the guest, of a redemption
	At      uint64 `json:"at"`
	Refused bool   `json:"refused,omitempty"`
	Payee   string `json:"payee,omitempty"` // who has the grant, after it
	Invite  item   `json:"invite"`
}

func makes(t *testing.T) (cases []any) {
	for _, c := range []struct {
		why                  string
		grant, expires, open uint64
		refused              bool
	}{
		{"the least", 1, 1_001, 0, false}, {"the most", 1_000, 1_100, 63, false}, {"no grant", 0, 1_100, 0, true},
		{"too large a grant", 1_001, 1_100, 0, true}, {"over at once", 1, 1_000, 0, true}, {"too long", 1, 1_101, 0, true},
		{"one too many", 1, 1_001, 64, true},
	} {
		out := makeCase{Why: c.why, Grant: c.grant, Expires: c.expires, Open: c.open}
		i, err := invite.Make(inviteKey.Public(), host, c.grant, c.expires, 1_000, inviteLimits)
		if err = errors.Join(err, inviteLimits.Room(c.open)); (err != nil) != c.refused {
			t.Errorf("invite, %s: %v", c.why, err)
		}
		if err == nil {
			v := plain("invite", i)
			out.Invite = &v
		}
		cases = append(cases, out)
	}
	return cases
}

// events are tried one after the other, on an invite that ends at 1,100.
func walkInvite(t *testing.T, events ...inviteStep) (steps []any) {
	i, err := invite.Make(inviteKey.Public(), host, 700, 1_100, 1_000, inviteLimits)
	if err != nil {
		t.Fatal(err)
	}
	steps = append(steps, inviteStep{Event: "make", By: host, At: 1_000, Invite: plain("invite", i)})
	for _, e := range events {
		next, err := i, error(nil)
		switch e.Event {
		case "redeem":
			next, err = i.Redeem(e.By, e.At)
		case "revoke":
			next, err = i.Revoke(e.By, e.At)
		case "tick":
			next, _ = i.Tick(e.At)
		}
		if e.Refused = err != nil; err == nil {
			i = next
		}
		e.Payee, e.Invite = i.Payee(), plain("invite", i)
		steps = append(steps, e)
	}
	return steps
}

type lineCase struct {
	Line item   `json:"line"`
	Text string `json:"text"`
}

type badLine struct {
	Why  string `json:"why"`
	Text string `json:"text"`
	Kind string `json:"kind"`
}

func goodLine() invite.Line {
	const id = "/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"
	return invite.Line{Version: 1, Chain: chain, Genesis: canon.Sum([]byte("genesis")), Height: 4_242, Header: canon.Sum([]byte("header")),
		Peers: []string{"/ip4/192.0.2.7/udp/4001/quic-v1" + id, "/dns4/a.example/tcp/4001" + id}, Seed: inviteKey.Seed(),
		Grant: 5_000_000, Expires: 1_800_000_000}
}

func badLines(t *testing.T) (cases []any) {
	text := goodLine().Encode()
	small := goodLine()
	small.Peers = []string{"/ip4/192.0.2.7/udp/4001"}
	late := goodLine()
	late.Height = 1 << 63
	kinds := map[string]error{"none": invite.ErrNoInvite, "newer": invite.ErrNewer, "altered": invite.ErrAltered, "malformed": invite.ErrMalformed}
	for _, c := range []badLine{
		{"a word before it", "invite:" + text, "none"},
		{"version 0", "daulat0." + text[8:], "none"},
		{"longer than 8 KiB", text + strings.Repeat("A", invite.MaxText), "none"},
		{"version 2", "daulat2." + text[8:], "newer"},
		{"cut off", text[:len(text)-2], "altered"},
		{"a letter changed", text[:100] + swapped(text[100]) + text[101:], "altered"},
		{"stray low bits in the last letter", text[:len(text)-1] + string(text[len(text)-1]+1), "altered"},
		{"padding", text + "=", "altered"},
		{"a peer without an ID", small.Encode(), "malformed"},
		{"a height of 64 bits", late.Encode(), "malformed"},
	} {
		if _, err := invite.ParseLine(c.Text); !errors.Is(err, kinds[c.Kind]) {
			t.Errorf("line with %s: %v", c.Why, err)
		}
		cases = append(cases, c)
	}
	return cases
}

func swapped(letter byte) string {
	if letter == 'A' {
		return "B"
	}
	return "A"
}

func TestInvite(t *testing.T) {
	d := &document{note: "see spec/invite.md; limits are 64 open, 1,000 udlt and 100 s; a refused step of a walk changes nothing"}
	d.add("make", makes(t)...)
	d.add("claim", signed("redeem", invite.DomainRedeem, invite.Claim{Chain: chain, Key: inviteKey.Public(), Guest: guest}, inviteKey))
	redeem := func(by string, at uint64) inviteStep { return inviteStep{Event: "redeem", By: by, At: at} }
	revoke := func(by string, at uint64) inviteStep { return inviteStep{Event: "revoke", By: by, At: at} }
	tick := func(at uint64) inviteStep { return inviteStep{Event: "tick", At: at} }
	d.add("walk_redeemed", walkInvite(t, tick(1_099), redeem(host, 1_099), revoke(guest, 1_099), redeem(guest, 1_099), redeem(guest, 1_099),
		revoke(host, 1_099), tick(1_100))...)
	d.add("walk_revoked", walkInvite(t, revoke(host, 1_100), redeem(guest, 1_050), revoke(host, 1_100), tick(1_100))...)
	d.add("walk_expired", walkInvite(t, redeem(guest, 1_100), tick(1_105), redeem(guest, 1_050), revoke(host, 1_106), tick(1_107))...)
	text := goodLine().Encode()
	d.add("line", lineCase{plain("line", goodLine()), text}, lineCase{plain("line", goodLine()), "\n " + text[:60] + "\r\n\t" + text[60:] + "\n"})
	d.add("line_refused", badLines(t)...)
	golden(t, "invite.json", d)
}
