package test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"daulat/ledger/client"
	"daulat/ui/control"
)

// onMachines founds a ledger of four machines, which are addresses of loopback, and
// starts them.
func onMachines(t *testing.T) (founded control.Testnet, nodes []*process[control.Node]) {
	t.Helper()
	founded = foundOnMachines(t)
	for _, m := range founded.Machines {
		n := again(t, m)
		at, _, _ := strings.Cut(m.Link[0], "/tcp/")
		if n.ready.P2P != m.P2P || !strings.Contains(m.P2P, "@"+strings.TrimPrefix(at, "/ip4/")+":") || n.ready.Link[0] != m.Link[0] {
			t.Fatalf("the node is at %s and %s, founded at %s and %s", n.ready.P2P, n.ready.Link, m.P2P, m.Link)
		}
		nodes = append(nodes, n)
	}
	return founded, nodes
}

func foundOnMachines(t *testing.T) control.Testnet {
	t.Helper()
	home := filepath.Join(t.TempDir(), "founder")
	var addresses []string
	for i := range 4 { // nobody else is there
		addresses = append(addresses, fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+i))
	}
	return must[control.Testnet](t, home, "testnet", "--home", home, "--machines", strings.Join(addresses, ","), "--block-time", blockTime, "--snapshot-every", snapshotEvery)
}

// TestLedgerOfMachines: nodes find each other at the addresses of the founding, and
// the founder's home, which runs none, makes invites that lead to them.
func TestLedgerOfMachines(t *testing.T) {
	founded, nodes := onMachines(t)
	for _, n := range nodes {
		reaches(t, 3, n.ready)
	}
	again := must[control.Testnet](t, founded.Home, "testnet", "--home", founded.Home, "--invites", "1")
	trust, err := client.ParseTrust(again.Trust)
	if err != nil || trust.ChainID != founded.Chain || trust.GenesisHash != nodes[0].ready.Genesis || len(again.Invites) != 1 {
		t.Fatalf("founded %s; later it is %+v: %v", founded.Chain, again, err)
	}
	guest := filepath.Join(t.TempDir(), "guest")
	follower := background[control.Node](t, guest, "node", again.Invites[0])
	reaches(t, tip(t, nodes[0].ready), follower.ready)
	agrees(t, nodes[0].ready, nodes[3].ready, follower.ready)
}
