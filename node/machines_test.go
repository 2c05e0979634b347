package node

import (
	"strings"
	"testing"
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
