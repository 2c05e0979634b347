package link

import (
	"crypto/rand"
	"slices"
	"testing"

	"daulat/core/canon"
)

func TestNetworkOf(t *testing.T) {
	for addr, want := range map[string]string{
		"/ip4/203.0.113.7/tcp/1": "203.0.113.0/24", "/ip4/127.0.0.1/tcp/1": "", "/dns/example.org/tcp/1": "", "nonsense": "",
		"/ip6/2001:db8:1:2::3/tcp/1": "2001:db8:1::/48", "/ip6/::1/tcp/1": "",
	} {
		if got := NetworkOf([]string{addr, "/ip4/198.51.100.1/tcp/1"}); got != want {
			t.Errorf("%s: %q", addr, got)
		}
	}
	if NetworkOf(nil) != "" {
		t.Error("a machine without addresses has a network")
	}
}

func TestAddressesOfSeveralKeys(t *testing.T) {
	var keys [2]canon.PublicKey
	for i := range keys {
		key, err := canon.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = key.Public()
	}
	of := func(port string, key canon.PublicKey) string {
		return "/ip4/127.0.0.1/tcp/" + port + "/p2p/" + PeerID(key)
	}
	a, b, c, bare := of("1", keys[0]), of("2", keys[1]), of("3", keys[0]), "/ip4/127.0.0.1/tcp/4"
	if got := AddrsOf(keys[0], []string{a, b, bare, c, "nonsense"}); !slices.Equal(got, []string{a, bare, c, "nonsense"}) {
		t.Errorf("addresses of the first key are %v", got)
	}
	if got := AddrsOf(keys[1], []string{a}); got != nil {
		t.Errorf("addresses of a key that none names are %v", got)
	}
	got := ByPeer([]string{a, b, c})
	if len(got) != 2 || !slices.Equal(got[0], []string{a, c}) || !slices.Equal(got[1], []string{b}) {
		t.Errorf("split by peer they are %v", got)
	}
	for _, peer := range got {
		if _, _, err := parseAddrs(peer, canon.PublicKey{}); err != nil {
			t.Error(err)
		}
	}
}

// TestNear: which addresses are of use in a private network alone.
func TestNear(t *testing.T) {
	const home, public, name = "/ip4/192.168.1.5/tcp/4700/p2p/" + someone, "/ip4/5.0.0.2/tcp/4700/p2p/" + someone, "/dns4/friend.example/tcp/4700/p2p/" + someone
	for want, all := range map[string][][]string{home: {{home}, {home, home}}, "": {{}, {public}, {home, public}, {home, name}, {name}}} {
		for _, addrs := range all {
			if got := Near(addrs); got != want {
				t.Errorf("%v: %q, not %q", addrs, got, want)
			}
		}
	}
}
