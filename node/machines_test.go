package node

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link/linktest"
)

// TestMachines: each machine has two ports that no other has, where others reach it.
func TestMachines(t *testing.T) {
	good, err := parseMachines([]string{"10.0.0.1", "10.0.0.1:5000", "10.0.0.1:5002", "fd00::1", "[fd00::1]:9"})
	if err != nil || len(good) != 5 || good[0].P2P.String() != "10.0.0.1:4748" || good[4].Link.String() != "[fd00::1]:10" {
		t.Fatalf("%v: %v", good, err)
	}
	for addresses, want := range map[string]string{
		"10.0.0.1 10.0.0.2 10.0.0.1":    "two machines have the address 10.0.0.1:4748",
		"10.0.0.1:5000 10.0.0.1:4999":   "two machines have the address 10.0.0.1:4999",
		"10.0.0.1 ::ffff:10.0.0.1":      "two machines have the address 10.0.0.1:4748",
		"127.0.0.1 10.0.0.1":            "a loopback address is reached by no other machine",
		"0.0.0.0":                       "no address that other machines reach",
		"224.0.0.1":                     "no address that other machines reach",
		"fe80::1%eth0":                  "no address that other machines reach",
		"10.0.0.1:0":                    "name a port",
		"10.0.0.1:65535":                "name a port",
		"pc.example:4748":               "not of the form IP or IP:PORT",
		strings.Repeat("10.0.0.1 ", 17): "1 to 16 machines",
	} {
		if all, err := parseMachines(strings.Fields(addresses)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", addresses, all, err)
		}
	}
}

// selfMade is a ledger of one machine, which anybody can make, and a peer that leads
// to it.
func selfMade(t *testing.T) (peer []string, founder validator.Founder) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "chain")
	founder.Account = address(t)
	if err := validator.Init(home, validator.Genesis{ChainID: "daulat-x", ValidatorAccount: founder.Account}); err != nil {
		t.Fatal(err)
	}
	var err error
	if founder.Keys, err = validator.MakeKeys(home); err != nil {
		t.Fatal(err)
	}
	v, err := validator.Start(t.Context(), validator.Config{Home: home, TimeoutCommit: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Stop() })
	n := linktest.Node(t, linktest.Key(t))
	v.ServeRPC(n.Listen(ledgerProtocol, maxGuests))
	return n.Addrs(), founder
}

// TestFoundersMachinesThatLie: a founder's home takes the first block that its
// validators signed, from whichever machine shows it, and no other.
func TestFoundersMachinesThatLie(t *testing.T) {
	honest, founder := selfMade(t)
	liar, _ := selfMade(t)
	f := fleet{Chain: "daulat-x", Genesis: strings.Repeat("0a", 32)}
	n := &network{peer: linktest.Node(t, linktest.Key(t))}
	validators := validator.FoundersHash([]validator.Founder{founder})
	silent := linktest.Node(t, linktest.Key(t)).Addrs()
	for name, paths := range map[string][][]string{
		"honest first": {honest, liar}, "a liar first": {liar, honest}, "one honest of many": {silent, liar, liar, honest},
	} {
		n.paths = paths
		trust, err := f.firstTrust(t.Context(), n, validators)
		if err != nil || trust.Height != 1 || trust.ChainID != f.Chain || trust.GenesisHash != f.Genesis {
			t.Errorf("%s: %v, %v", name, trust, err)
		}
	}
	n.paths = [][]string{liar, silent, liar}
	trust, err := f.firstTrust(t.Context(), n, validators)
	if !errors.Is(err, client.ErrHeader) || strings.Contains(err.Error(), "\n") || trust != (client.Trust{}) {
		t.Errorf("nobody honest: %v, %v", trust, err)
	}
}
