package link

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"
)

// arrival is a connection that comes from an address.
type arrival struct{ from multiaddr.Multiaddr }

func (a arrival) RemoteMultiaddr() multiaddr.Multiaddr { return a.from }
func (arrival) LocalMultiaddr() multiaddr.Multiaddr    { return nil }

// TestKnocks: an address is let in so often, others and this machine as before. What
// comes through a relay is not the relay's own.
func TestKnocks(t *testing.T) {
	const many = 1000
	for from, always := range map[string]bool{
		"/ip4/5.0.0.2/tcp/4700":                                 false,
		"/ip6/2606:4700::1/tcp/4700":                            false,
		"/ip4/127.0.0.1/tcp/4700":                               true,
		"/ip6/::1/tcp/4700":                                     true,
		"/ip4/5.0.0.2/tcp/4700/p2p/" + someone + "/p2p-circuit": true,
	} {
		d, in := newGater(reach{}, 3), 0
		for range many {
			if d.InterceptAccept(arrival{multiaddr.StringCast(from)}) {
				in++
			}
		}
		if in < 3 || (in == many) != always {
			t.Errorf("%s was let in %d times of %d", from, in, many)
		}
		if !d.InterceptAccept(arrival{multiaddr.StringCast("/ip4/8.8.8.8/tcp/4700")}) {
			t.Errorf("another address is not let in after %s", from)
		}
	}
}

// TestNodeCountsKnocks, on a machine whose loopback is as any address.
func TestNodeCountsKnocks(t *testing.T) {
	server, client := node(t, Config{MaxPerAddress: 2}), node(t, Config{})
	server.Handle(echo, serveEcho)
	server.gater.arrivals.NetworkPrefixLimits = nil
	for range 200 {
		s, err := client.Dial(t.Context(), server.Addrs(), echo)
		if err != nil {
			return
		}
		if err := s.raw.Conn().Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("one address was let in 200 times")
}

// TestOwnCallsAreNotCounted: a machine that was away calls the same peer often.
func TestOwnCallsAreNotCounted(t *testing.T) {
	limits, err := newLimits(Config{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer limits.Close()
	for i := range 200 {
		call, err := limits.OpenConnection(network.DirOutbound, true, multiaddr.StringCast("/ip4/5.0.0.2/tcp/4700"))
		if err != nil {
			t.Fatalf("after %d calls: %v", i, err)
		}
		call.Done()
	}
}
