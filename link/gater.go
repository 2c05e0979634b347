package link

import (
	"net/netip"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/x/rate"
)

// knocks is how many connections a second somebody at one address may open, in the
// long run. Homes behind one router share it.
const knocks = 2

// gater is which connections a node opens and takes. libp2p's own limit, a few in a
// minute for each address, counts those that the node opens itself too, and all that
// come through one relay as the relay's: a laptop that was away, or a home that sells
// to many through a relay, would soon reach nobody.
type gater struct {
	reach
	arrivals *rate.Limiter
}

// newGater lets each address open burst connections at once.
func newGater(r reach, burst int) *gater {
	one := rate.Limit{RPS: knocks, Burst: burst}
	several := rate.Limit{RPS: 4 * knocks, Burst: 4 * burst}
	return &gater{r, &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, {Prefix: netip.MustParsePrefix("::1/128")}},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: one}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: one}, {PrefixLength: 48, Limit: several}},
		},
	}}
}

// InterceptAccept implements connmgr.ConnectionGater. Who comes through a relay has
// no address here, and is counted there.
func (g *gater) InterceptAccept(c network.ConnMultiaddrs) bool {
	ip, ok := ipOf(c.RemoteMultiaddr())
	return !ok || g.arrivals.Allow(ip.Unmap())
}
