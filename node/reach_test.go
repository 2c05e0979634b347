package node

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/link"
	"daulat/link/linktest"
)

const (
	onMachine  = "/ip4/127.0.0.1/tcp/4700/p2p/12D3KooWNZR75QM3bk4B68ULHDdNHrfjpRiMJo8g7Mj2JYzbWXpN"
	onInternet = "/ip4/5.0.0.2/tcp/4700/p2p/12D3KooWNZR75QM3bk4B68ULHDdNHrfjpRiMJo8g7Mj2JYzbWXpN"
)

// A guest's peer listens everywhere if its network is more than this machine, and
// at the port of the last time, whatever the machine's addresses are by then.
func TestGuestsListenWhereTheirNetworkIs(t *testing.T) {
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	key := linktest.Key(t)
	var last []string
	for _, step := range []struct {
		peer, prefix string
		again        bool
	}{
		{onMachine, "/ip4/127.0.0.1/", false},
		{onMachine, "/ip4/127.0.0.1/", true},
		{onInternet, "/ip4/0.0.0.0/", false},
		{onInternet, "/ip4/0.0.0.0/", true},
		{onMachine, "/ip4/127.0.0.1/", false},
	} {
		c := guestLink([]string{step.peer})
		c.Key = key
		n, err := home.openLink("peer.json", "", c)
		if err != nil {
			t.Fatal(err)
		}
		at := n.Listening()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if len(at) != 1 || !strings.HasPrefix(at[0], step.prefix) || slices.Equal(at, last) != step.again {
			t.Errorf("a guest of %s listens at %v, after %v", step.peer, at, last)
		}
		last = at
	}
}

// Others are carried by who named a port that is open to them.
func TestOpenPortsRelay(t *testing.T) {
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	for at, relays := range map[string]bool{"/ip4/0.0.0.0/tcp/0": true, "/ip4/127.0.0.1/tcp/0": false, "": false} {
		n, err := home.openLink("peer.json", at, link.Config{Key: linktest.Key(t)})
		if err != nil {
			t.Fatal(err)
		}
		guest, err := link.Open(link.Config{Key: linktest.Key(t), Relays: n.Addrs()})
		if err != nil {
			t.Fatal(err)
		}
		if err := guest.Placed(t.Context()); err != nil {
			t.Fatal(err)
		}
		relayed := func() bool { return strings.Contains(strings.Join(guest.Addrs(), " "), "/p2p-circuit/") }
		// Of two connections at once one is closed, and the place may be taken anew.
		for deadline := time.Now().Add(10 * time.Second); relays && !relayed() && time.Now().Before(deadline); {
			<-time.After(time.Millisecond)
		}
		if got := relayed(); got != relays {
			t.Errorf("a home at %q relays: %v", at, got)
		}
		guest.Close()
		n.Close()
	}
}

// An invite names addresses that a friend elsewhere can dial, and further peers.
func TestPeersOfAnInvite(t *testing.T) {
	trust := client.Trust{ChainID: "daulat-net", GenesisHash: canon.Hash{1}.String(), Height: 1, Hash: canon.Hash{2}.String()}
	terms := invite.Invite{Grant: 1, Expires: 1}
	other := strings.Replace(onInternet, "5.0.0.2", "5.0.0.5", 1)
	for name, c := range map[string]struct {
		own, more, want []string
	}{
		"loopback alone":         {[]string{onMachine}, nil, []string{onMachine}},
		"loopback beside others": {[]string{onMachine, onInternet}, nil, []string{onInternet}},
		"another peer":           {[]string{onInternet}, []string{other}, []string{onInternet, other}},
		"more than there is room for": {slices.Repeat([]string{onInternet}, 9), []string{other},
			append(slices.Repeat([]string{onInternet}, 7), other)},
		"too many others": {[]string{onInternet}, slices.Repeat([]string{other}, 8), nil},
		"nobody's":        {[]string{onInternet}, []string{"/ip4/5.0.0.5/tcp/4700"}, nil},
		"no address":      {[]string{onInternet}, []string{"5.0.0.5:4700"}, nil},
		"a ledger node's": {[]string{onInternet}, []string{strings.Repeat("ab", 20) + "@5.0.0.5:4748"}, nil},
	} {
		l, err := lineOf(trust, c.own, c.more, terms, linktest.Key(t))
		if (err == nil) != (c.want != nil) || err == nil && !slices.Equal(l.Peers, c.want) {
			t.Errorf("%s: %v, %v", name, l.Peers, err)
		}
		if name == "a ledger node's" && !strings.Contains(err.Error(), "peers reach it at") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
