package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"daulat/ledger/client"
	"daulat/ui/control"
)

// TestAWrongFlagSpendsNoInvite: it works once, so all that can be wrong besides is
// found before.
func TestAWrongFlagSpendsNoInvite(t *testing.T) {
	dir := t.TempDir()
	founder, home := filepath.Join(dir, "founder"), filepath.Join(dir, "home")
	u := up(t, founder)
	line := must[control.NewInvite](t, founder, "invite").Line
	taken := strings.TrimSuffix(strings.TrimPrefix(u.API, "http://"), "/v1")
	for why, args := range map[string][]string{
		"http://HOST:PORT":   {"provide", line, "--upstream", "foo"},
		"gpt-4":              {"provide", line, "--model", "gpt-4"},
		"is taken":           {"provide", line, "--link", taken},
		"a price is at most": {"provide", line, "--output-price", "18446744073709551615"},
		"neither in":         {"ask", "hello", "--network", line, "--model", "gpt-4"},
	} {
		if r := run(t.Context(), t, home, args...); r.status < 1 || !strings.Contains(r.stderr, why) {
			t.Errorf("%s ended with status %d: %s", strings.Join(args[:1], " "), r.status, r.stderr)
		}
	}
	if all := must[control.Invites](t, founder, "invite", "ls"); all.Open != 1 {
		t.Errorf("the invite is %s", all.Invites[0].State)
	}
	must[map[string]any](t, home, "ask", "--network", line, "--max-tokens", "1", "hello")
}

// TestAHomeOfTwoAccounts: earlier programs sold and asked under two accounts of one
// home. Where the ledger knows that which sold, it is the home's, and gets what the
// other has; where it does not, nothing changes.
func TestAHomeOfTwoAccounts(t *testing.T) {
	dir := t.TempDir()
	founder, home := filepath.Join(dir, "founder"), filepath.Join(dir, "home")
	up(t, founder)
	line := must[control.NewInvite](t, founder, "invite")
	if !line.OnlyHere {
		t.Error("an invite to a network of loopback does not say that it is of use here alone")
	}
	must[map[string]any](t, home, "ask", "--network", line.Line, "--max-tokens", "1", "hello")
	before := must[control.Account](t, home, "wallet")

	passphrase, err := os.ReadFile(filepath.Join(home, "passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := client.OpenKeyring(filepath.Join(home, "keyring"), strings.TrimSpace(string(passphrase)))
	if err != nil {
		t.Fatal(err)
	}
	seller, err := keyring.Account("provider") // as one that was refused for want of an invite left it
	if err != nil {
		t.Fatal(err)
	}
	if now := must[control.Account](t, home, "wallet"); now != before {
		t.Fatalf("the home's account was %+v and is %+v", before, now)
	}
	must[map[string]any](t, founder, "wallet", "send", seller.Account(), "5")
	if now := must[control.Account](t, home, "wallet"); now.Address != seller.Account() || now.Balance != 5 {
		t.Fatalf("the home's account is %+v and not the one that sold", now)
	}
	must[[]control.Receipt](t, home, "receipt", "ls") // the next start
	if now := must[control.Account](t, home, "wallet"); now.Address != seller.Account() || now.Balance != before.Balance+5 {
		t.Fatalf("the home's account is %+v, and the other had %d udlt", now, before.Balance)
	}
}

// TestAHomeHasOneLedger: nobody is locked out of a ledger that a home founded by an
// invite to another, and a home that follows a ledger as a node asks there too.
func TestAHomeHasOneLedger(t *testing.T) {
	dir := t.TempDir()
	founder, other, home := filepath.Join(dir, "founder"), filepath.Join(dir, "other"), filepath.Join(dir, "home")
	stop(t, up(t, founder).Process)
	up(t, other)
	line := must[control.NewInvite](t, other, "invite").Line
	for _, args := range [][]string{{"provide", line}, {"node", line}, {"ask", "hello", "--network", line}, {"up", "--noise", "--listen", "127.0.0.1:0", "--network", line}} {
		if r := run(t.Context(), t, founder, args...); r.status != 2 || !strings.Contains(r.stderr, "ledger of its own") {
			t.Errorf("daulat %s in a founder's home ended with status %d: %s", args[0], r.status, r.stderr)
		}
	}
	if all := must[control.Invites](t, other, "invite", "ls"); all.Open != 1 {
		t.Fatalf("the invite is %s", all.Invites[0].State)
	}

	here := regexp.MustCompile(`the ledger is here, at block ([0-9]+)`)
	follow := func(args ...string) {
		tip := must[control.Status](t, other, "status").Height
		p := launch(t, home, append([]string{"node"}, args...)...)
		if err := p.Ready(patience, new(control.Node)); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() (bool, string) {
			return here.MatchString(p.Said()), "that the ledger is here"
		})
		at, err := strconv.ParseInt(append(here.FindStringSubmatch(p.Said()), "", "")[1], 10, 64)
		if err != nil || at < tip-2 { // a block's state is proven by later ones
			t.Errorf("the ledger was at block %d, and a node says that it is here at block %d", tip, at)
		}
		stop(t, p)
	}
	follow(line)
	must[map[string]any](t, home, "ask", "--network", line, "--max-tokens", "1", "hello")
	before := must[control.Account](t, home, "wallet")
	follow()
	must[map[string]any](t, home, "ask", "--max-tokens", "1", "hello again")
	if now := must[control.Account](t, home, "wallet"); now.Address != before.Address {
		t.Errorf("the home's account was %s and is %s", before.Address, now.Address)
	}

	// The other way round: who asked with coins follows, and asks on.
	asker := filepath.Join(dir, "asker")
	must[map[string]any](t, asker, "ask", "--network", must[control.NewInvite](t, other, "invite").Line, "--max-tokens", "1", "hello")
	home = asker
	follow()
	must[map[string]any](t, asker, "ask", "--max-tokens", "1", "hello again")

	// As an earlier program left a founder's home that it let join another network.
	known, err := os.ReadFile(filepath.Join(home, "network.json"))
	if err == nil {
		err = os.WriteFile(filepath.Join(founder, "network.json"), known, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if u := up(t, founder); u.Ledger == "" {
		t.Error("the founder's home runs no ledger")
	}
}

// TestALinkIsKept: the address that guests and invites know is listened at until
// another is named, or none.
func TestALinkIsKept(t *testing.T) {
	dir := t.TempDir()
	founder, guest := filepath.Join(dir, "founder"), filepath.Join(dir, "guest")
	links := func(args ...string) (*upward, string) {
		u := up(t, founder, args...)
		return u, must[control.Status](t, founder, "status").Links[0]
	}
	u, own := links()
	stop(t, u.Process)
	u, named := links("--link", "127.0.0.1:0")
	line := must[control.NewInvite](t, founder, "invite").Line
	stop(t, u.Process)
	if named == own {
		t.Fatalf("%s is both its own choice and another", own)
	}
	u, kept := links()
	if kept != named || !strings.Contains(u.Said(), "as an earlier --link said") {
		t.Errorf("it listened at %s and does at %s, and said %s", named, kept, u.Said())
	}
	must[map[string]any](t, guest, "ask", "--network", line, "--max-tokens", "1", "hello")
	stop(t, u.Process)
	if _, again := links("--link", "none"); again != own {
		t.Errorf("without the link it listens at %s and not at %s", again, own)
	}
}
