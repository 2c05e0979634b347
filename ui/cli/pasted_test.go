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
		"whole":            {[]string{"provide", line}, []string{"provide", line}},
		"in pieces":        {[]string{"provide", a, b, c}, []string{"provide", line}},
		"of a flag":        {[]string{"up", "--network", a, b, c, "--noise"}, []string{"up", "--network", line, "--noise"}},
		"with equals":      {[]string{"ask", "--network=" + a, b, c, "hello"}, []string{"ask", "--network=" + line, "hello"}},
		"smart quotes":     {[]string{"provide", "\u201c" + line + "\u201d"}, []string{"provide", line}},
		"and in pieces":    {[]string{"ask", "--network", "\u201c" + a, b, c + "\u201d.", "hello"}, []string{"ask", "--network", line, "hello"}},
		"angle quotes":     {[]string{"node", "\u2039" + line + "\u203a."}, []string{"node", line}},
		"brackets, equals": {[]string{"up", "--network=<" + line + ">"}, []string{"up", "--network=" + line}},
		"quoted mail":      {[]string{"provide", "Hello!\n> " + a + "\n> > " + b + "\r\n>" + c + "\n> Yours, F."}, []string{"provide", line}},
		"without width":    {[]string{"provide", "\ufeff" + a + "\u200b" + b + "\u200d\u00ad" + c + "\u200b"}, []string{"provide", line}},
		"in a question":    {[]string{"ask", "what is " + line + " for?"}, []string{"ask", line}},
		"none":             {[]string{"ask", "daulat1. what is it?", "now"}, []string{"ask", "daulat1. what is it?", "now"}},
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
		{"up", line}, {line}, {"invite", line}, {"job", "show", line}, {"up", "--listen=" + line, "now"}, {"verify", "x", "--trust=" + line}, {"wallet", "send", "x", line}, {"ask", "what is " + line + "?"}, {"provide", "\u201c" + line[:90] + "\u201d"}, {"provide", line, line}, {"ask", line, line},
	} {
		var out strings.Builder
		if status := Run(t.Context(), args, &out, &out, nobody{}); status != 2 {
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

// An invite that is cut off is said to be, whatever stands around it.
func TestAQuotedShortInvite(t *testing.T) {
	line := someInvite()
	var out strings.Builder
	if status := Run(t.Context(), []string{"provide", "\u201c" + line[:90] + "\u201d."}, &out, &out, nil); status != 2 || !strings.Contains(out.String(), "cut off or altered") {
		t.Errorf("status %d: %s", status, out.String())
	}
}

// FuzzPasted puts anything around an invite, and makes any words of a command line:
// the invite is found, nothing is lost that is none, and a second look changes nothing.
func FuzzPasted(f *testing.F) {
	f.Add("\u201c", "\u201d.", uint16(40))
	f.Add("Hi,\n> ", "\n> F.", uint16(90))
	f.Add("\u200b", "\u200b", uint16(3))
	line := someInvite()
	f.Fuzz(func(t *testing.T, before, after string, at uint16) {
		if !inviteIn.MatchString(visible(before)) {
			if got, err := whole([]string{before}); err != nil || got[0] != before {
				t.Errorf("%q became %q, %v", before, got, err)
			}
		}
		cut := 24 + int(at)%(len(line)-24) // within its start a line is told by nothing
		around := before + " " + line[:cut] + "\r\n> " + line[cut:] + " " + after
		if inviteIn.MatchString(visible(before)) {
			return
		}
		if got := cutOut(around); got != line || cutOut(got) != line {
			t.Errorf("in %q is %q", around, got)
		}
	})
}

// nobody is a home in which nothing runs, of no network.
type nobody struct{ Runtime }

func (nobody) Attach(string) (control.Attached, error) {
	return control.Attached{}, control.ErrNotRunning
}

func (nobody) Guest(string) bool { return false }

// An invite is no question: whoever answered it could take the grant.
func TestAnInviteIsNoQuestion(t *testing.T) {
	for question, want := range map[string]int{someInvite(): 2, "What is " + someInvite() + " for?": 2, "what is daulat1. for?": 1} {
		var out strings.Builder
		if status := Run(t.Context(), []string{"ask", question}, &out, &out, nobody{}); status != want {
			t.Errorf("status %d, not %d: %s", status, want, out.String())
		}
	}
}
