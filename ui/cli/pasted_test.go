package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/ui/control"
)

func someInvite() string {
	return invite.Line{Chain: "daulat-net", Genesis: canon.Hash{1}, Height: 5, Header: canon.Hash{2},
		Peers: []string{"/ip4/127.0.0.1/tcp/1/p2p/12D3KooW"}, Seed: make(invite.Secret, 32), Grant: 1, Expires: 1}.Encode()
}

// An invite that was pasted without quotes is the invite, whatever its pieces look
// like and whatever stands around it.
func TestAPastedInviteIsPutTogether(t *testing.T) {
	line := someInvite()
	a, b, c := line[:40], line[40:90], line[90:]
	for name, words := range map[string]struct{ given, want []string }{
		"whole":       {[]string{"provide", line}, []string{"provide", line}},
		"in pieces":   {[]string{"provide", a, b, c}, []string{"provide", line}},
		"of a flag":   {[]string{"up", "--network", a, b, c, "--noise"}, []string{"up", "--network", line, "--noise"}},
		"with equals": {[]string{"ask", "--network=" + a, b, c, "hello"}, []string{"ask", "--network=" + line, "hello"}},
		"none":        {[]string{"ask", "daulat1. what is it?", "now"}, []string{"ask", "daulat1. what is it?", "now"}},
	} {
		if got, err := whole(words.given); err != nil || !slices.Equal(got, words.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// No error repeats a part of an invite: whoever reads it could take the grant.
func TestNoErrorShowsAnInvite(t *testing.T) {
	line := someInvite()
	for _, args := range [][]string{
		{"provide", line[:60], line[60 : len(line)-1]},
		{"provide", line[:60], "-" + line[60:]},
		{"ask", "--network", line[:60], line[61:], "hello"},
		{"node", line[:60] + "!" + line[60:], line[60:]},
		{"up", line}, {line}, {"invite", line}, {"job", "show", line}, {"up", "--listen=" + line, "now"}, {"verify", "x", "--trust=" + line}, {"wallet", "send", "x", line}, {"provide", line, line}, {"ask", line, line},
	} {
		var out strings.Builder
		if status := Run(t.Context(), args, &out, &out, nil); status != 2 {
			t.Errorf("%s: status %d: %s", args[0], status, out.String())
		}
		for at := 8; at+12 <= len(line); at++ {
			if strings.Contains(out.String(), line[at:at+12]) {
				t.Errorf("%s repeats the invite: %s", args[0], out.String())
				break
			}
		}
	}
}

// An unset variable in a script is no invite, and founds nothing.
func TestAnEmptyInviteIsRefused(t *testing.T) {
	if err := checkInvite(" "); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Fatalf("an empty invite: %v", err)
	}
	for _, args := range [][]string{{"up", "--network", ""}, {"ask", "--network", "", "hello"}, {"provide", " "}, {"node", ""}} {
		var out strings.Builder
		if status := Run(t.Context(), args, &out, &out, nil); status != 2 || !strings.Contains(out.String(), "empty") {
			t.Errorf("%q: status %d: %s", args, status, out.String())
		}
	}
	var wrong control.WrongInput
	if err := checkInvite("hello"); !errors.As(err, &wrong) || !errors.Is(err, invite.ErrNoInvite) {
		t.Error(err)
	}
}
