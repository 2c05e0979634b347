package link

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// Addresses come from strangers: an offer on the ledger, a peer that wants a hole
// punched. What they say may point into the network of whoever dials, at a router
// or a database that trusts its neighbours. So an address that means something
// else on each network is dialed only where a person chose that network: by
// listening there, or by naming a peer there.

// reach is which addresses a node dials, and announces as its own.
type reach struct {
	scopes map[string]bool // beside the public one
	named  map[string]bool // addresses that a person named, without /p2p
}

// newReach allows the scopes of the addresses where the node listens and of those
// that a person named, and these and the machine's own themselves. Listening
// everywhere chooses no scope.
func newReach(listen, named, own []multiaddr.Multiaddr) reach {
	r := reach{map[string]bool{}, map[string]bool{}}
	for _, a := range listen {
		if ip, ok := ipOf(a); ok {
			r.scopes[scopeOf(ip)] = true
		}
	}
	for _, a := range named {
		leg, _, ok := splitCircuit(a)
		if !ok {
			continue
		}
		r.named[leg.String()] = true
		if ip, ok := ipOf(leg); ok {
			r.scopes[scopeOf(ip)] = true
		}
	}
	for _, a := range own {
		r.named[a.String()] = true
	}
	delete(r.scopes, never)
	r.scopes[public] = true
	return r
}

// reach is what the configuration lets a node dial: where nothing is said of
// anybody, it is for one machine, at whose loopback it listens.
func (c Config) reach() (r reach, err error) {
	if len(c.Listen)+len(c.Named)+len(c.Own)+len(c.Relays) == 0 {
		c.Listen = c.withDefaults().Listen
	}
	listen, err := parseListen(c.Listen)
	if err != nil {
		return r, err
	}
	named, err := parsePlain(append(c.Named[:len(c.Named):len(c.Named)], c.Relays...))
	if err != nil {
		return r, err
	}
	own, err := parsePlain(c.Own)
	return newReach(listen, named, own), err
}

// allows reports whether the node may dial a. Of a way through a relay it is the
// relay's address that counts.
func (r reach) allows(a multiaddr.Multiaddr) bool {
	leg, _, ok := splitCircuit(a)
	if !ok {
		return false
	}
	if r.named[leg.String()] {
		return true
	}
	ip, ok := ipOf(leg)
	return ok && leg[1].Value() != "0" && r.scopes[scopeOf(ip)]
}

// of returns those that may be dialed.
func (r reach) of(addrs []multiaddr.Multiaddr) (allowed []multiaddr.Multiaddr) {
	for _, a := range addrs {
		if r.allows(a) {
			allowed = append(allowed, a)
		}
	}
	return allowed
}

// Scopes that the code names.
const (
	public   = "public"
	loopback = "loopback"
	never    = "never" // no machine's address, or one within which another hides
)

// ranges are the scopes of addresses that are not public, the first match counts.
var ranges = []struct {
	scope  string
	prefix netip.Prefix
}{
	{loopback, netip.MustParsePrefix("127.0.0.0/8")},
	{loopback, netip.MustParsePrefix("::1/128")},
	{"private 10", netip.MustParsePrefix("10.0.0.0/8")},
	{"private 172", netip.MustParsePrefix("172.16.0.0/12")},
	{"private 192", netip.MustParsePrefix("192.168.0.0/16")},
	{"carrier", netip.MustParsePrefix("100.64.0.0/10")},
	{"link-local", netip.MustParsePrefix("169.254.0.0/16")},
	{"link-local", netip.MustParsePrefix("fe80::/10")},
	{"private 6", netip.MustParsePrefix("fc00::/7")},
	{never, netip.MustParsePrefix("0.0.0.0/8")},
	{never, netip.MustParsePrefix("192.0.0.0/24")},
	{never, netip.MustParsePrefix("192.0.2.0/24")},
	{never, netip.MustParsePrefix("192.88.99.0/24")},
	{never, netip.MustParsePrefix("198.18.0.0/15")},
	{never, netip.MustParsePrefix("198.51.100.0/24")},
	{never, netip.MustParsePrefix("203.0.113.0/24")},
	{never, netip.MustParsePrefix("224.0.0.0/3")},   // multicast, reserved, broadcast
	{public, netip.MustParsePrefix("0.0.0.0/0")},    // the rest of IPv4
	{never, netip.MustParsePrefix("2001::/32")},     // Teredo: holds an IPv4 address
	{never, netip.MustParsePrefix("2001:db8::/32")}, // documentation
	{never, netip.MustParsePrefix("2002::/16")},     // 6to4: holds one
	{public, netip.MustParsePrefix("2000::/3")},
}

// scopeOf is the scope of an address; never for what is in no range, such as
// 64:ff9b::/96, behind which all of IPv4 is once more.
func scopeOf(ip netip.Addr) string {
	ip = ip.Unmap()
	for _, r := range ranges {
		if r.prefix.Contains(ip) {
			return r.scope
		}
	}
	return never
}

// ipOf is the IP address of a TCP address, if it has that form and no zone.
func ipOf(a multiaddr.Multiaddr) (ip netip.Addr, ok bool) {
	if len(a) != 2 || a[1].Code() != multiaddr.P_TCP {
		return ip, false
	}
	if c := a[0].Code(); c != multiaddr.P_IP4 && c != multiaddr.P_IP6 {
		return ip, false
	}
	ip, ok = netip.AddrFromSlice(a[0].RawValue())
	return ip, ok
}

// splitCircuit takes an address to dial apart: into the relay's own one and whose
// it is, if it leads through a relay. Addresses may end in the ID of their peer.
func splitCircuit(a multiaddr.Multiaddr) (leg multiaddr.Multiaddr, relay peer.ID, ok bool) {
	leg, circuit := multiaddr.SplitFunc(a, func(c multiaddr.Component) bool { return c.Code() == multiaddr.P_CIRCUIT })
	leg, relay = peer.SplitAddr(leg)
	if len(circuit) == 0 {
		return leg, "", len(leg) > 0
	}
	rest, _ := peer.SplitAddr(circuit)
	return leg, relay, len(leg) > 0 && relay != "" && len(rest) == 1
}

func isCircuit(a multiaddr.Multiaddr) bool {
	_, err := a.ValueForProtocol(multiaddr.P_CIRCUIT)
	return err == nil
}

// parsePlain reads addresses, and cuts off whose they are.
func parsePlain(texts []string) ([]multiaddr.Multiaddr, error) {
	addrs := make([]multiaddr.Multiaddr, len(texts))
	for i, text := range texts {
		_, a, err := parseAddr(text)
		if err != nil {
			return nil, err
		}
		addrs[i] = a
	}
	return addrs, nil
}

// unreachable says why none of a peer's addresses is dialed.
func unreachable(targets []multiaddr.Multiaddr) error {
	texts := make([]string, len(targets))
	for i, a := range targets {
		texts[i] = a.String()
	}
	return fmt.Errorf("%w: %s", ErrUnreachable, strings.Join(texts, ", "))
}

// InterceptAddrDial implements connmgr.ConnectionGater: names are resolved before.
func (r reach) InterceptAddrDial(_ peer.ID, a multiaddr.Multiaddr) bool { return r.allows(a) }

// InterceptPeerDial implements connmgr.ConnectionGater.
func (reach) InterceptPeerDial(peer.ID) bool { return true }

// InterceptSecured implements connmgr.ConnectionGater.
func (reach) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool { return true }

// InterceptUpgraded implements connmgr.ConnectionGater.
func (reach) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
