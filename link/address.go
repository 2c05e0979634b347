package link

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"daulat/core/canon"
)

const (
	maxAddrs    = 16  // of one peer
	maxAddrSize = 512 // characters
)

// PeerID is the libp2p text form of a key.
func PeerID(key canon.PublicKey) string {
	id, err := peerOf(key)
	if err != nil {
		panic(err) // 32 bytes always make an ID
	}
	return id.String()
}

// ParsePeerID reads the text form that PeerID writes.
func ParsePeerID(text string) (canon.PublicKey, error) {
	if len(text) > maxAddrSize {
		return canon.PublicKey{}, fmt.Errorf("peer ID has %d characters", len(text))
	}
	id, err := peer.Decode(text)
	if err != nil {
		return canon.PublicKey{}, fmt.Errorf("peer ID %q: %w", text, err)
	}
	return keyOf(id)
}

// ListenAddr makes the multiaddr to listen at out of IP:PORT.
func ListenAddr(text string) (string, error) {
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return "", fmt.Errorf("listen address %q is not of the form IP:PORT", text)
	}
	family := "ip4"
	if a.Addr().Is6() && !a.Addr().Is4In6() {
		family = "ip6"
	}
	return fmt.Sprintf("/%s/%s/tcp/%d", family, a.Addr().Unmap().WithZone(""), a.Port()), nil
}

// AddrPort is the IP:PORT of which ListenAddr made a multiaddr.
func AddrPort(at string) string {
	a, err := multiaddr.NewMultiaddr(at)
	if err != nil {
		return at
	}
	tcp, err := manet.ToNetAddr(a)
	if err != nil {
		return at
	}
	return tcp.String()
}

func peerOf(key canon.PublicKey) (peer.ID, error) {
	public, err := crypto.UnmarshalEd25519PublicKey(key[:])
	if err != nil {
		return "", err
	}
	return peer.IDFromPublicKey(public)
}

// keyOf reads the key out of an ID; only Ed25519 keys are short enough to be in
// one and of the right type.
func keyOf(id peer.ID) (key canon.PublicKey, err error) {
	public, err := id.ExtractPublicKey()
	if err != nil {
		return key, fmt.Errorf("peer ID %s holds no key: %w", id, err)
	}
	raw, err := public.Raw()
	if err != nil || public.Type() != crypto.Ed25519 || len(raw) != len(key) {
		return key, fmt.Errorf("peer ID %s is not of an Ed25519 key", id)
	}
	return canon.PublicKey(raw), nil
}

// AddrsOf returns the addresses that may be dialed for a key, out of those of a
// machine that has several: what names another peer is left out.
func AddrsOf(key canon.PublicKey, addrs []string) (of []string) {
	for _, text := range addrs {
		if named, _, err := parseAddr(text); err != nil || named.IsZero() || named == key {
			of = append(of, text) // a malformed one is for dialing to refuse
		}
	}
	return of
}

// NetworkOf is the network in which a machine is reached, as its first address says
// it: the IPv4 /24 or IPv6 /48, as these are given out to one owner. It is empty for
// a name, and on loopback, where everybody is. Addresses are what their owner says
// they are, so this is a hint and no proof.
func NetworkOf(addrs []string) string {
	if len(addrs) == 0 {
		return ""
	}
	_, target, err := parseAddr(addrs[0])
	if err != nil {
		return ""
	}
	ip, err := manet.ToIP(target)
	if err != nil || ip.IsLoopback() {
		return ""
	}
	if v4 := ip.To4(); v4 != nil {
		return v4.Mask(net.CIDRMask(24, 32)).String() + "/24"
	}
	return ip.Mask(net.CIDRMask(48, 128)).String() + "/48"
}

// ByPeer splits the addresses of a machine that has several keys into those of
// each peer, in the order in which the peers come.
func ByPeer(addrs []string) (peers [][]string) {
	at := map[canon.PublicKey]int{}
	for _, text := range addrs {
		key, _, _ := parseAddr(text) // a malformed one is for dialing to refuse
		i, known := at[key]
		if !known {
			i, at[key] = len(peers), len(peers)
			peers = append(peers, nil)
		}
		peers[i] = append(peers[i], text)
	}
	return peers
}

// keysIn are the peers that addresses name.
func keysIn(addrs []string) map[canon.PublicKey]bool {
	keys := map[canon.PublicKey]bool{}
	for _, text := range addrs {
		if key, _, err := parseAddr(text); err == nil && !key.IsZero() {
			keys[key] = true
		}
	}
	return keys
}

// CheckAddrs reports what Dial would refuse about the addresses of several peers.
func CheckAddrs(addrs []string) error {
	for _, text := range addrs {
		if _, _, err := parseAddrs([]string{text}, zeroKey); err != nil {
			return err
		}
	}
	return nil
}

// Beyond returns the addresses that lead beyond this machine, or all if none does.
func Beyond(addrs []string) []string {
	far := slices.DeleteFunc(slices.Clone(addrs), isLocal)
	if len(far) == 0 {
		return addrs
	}
	return far
}

// Local reports whether no address leads beyond this machine.
func Local(addrs []string) bool {
	return !slices.ContainsFunc(addrs, func(a string) bool { return !isLocal(a) })
}

// Near is the first address if all lead to machines of one private network, and
// empty if one may lead farther.
func Near(addrs []string) string {
	if len(addrs) == 0 || slices.ContainsFunc(addrs, func(a string) bool { s := scopeIn(a); return s == "" || s == public }) {
		return ""
	}
	return addrs[0]
}

func isLocal(text string) bool { return scopeIn(text) == loopback }

// scopeIn is the scope of an address, empty if it names none.
func scopeIn(text string) string {
	_, a, err := parseAddr(text)
	if err != nil {
		return ""
	}
	leg, _, _ := splitCircuit(a)
	ip, ok := ipOf(leg)
	if !ok {
		return ""
	}
	return scopeOf(ip)
}

// parseAddrs splits addresses into the one key that they name and where to dial.
// If want is not zero it is that key, and addresses need not name it.
func parseAddrs(addrs []string, want canon.PublicKey) (canon.PublicKey, []multiaddr.Multiaddr, error) {
	if len(addrs) == 0 || len(addrs) > maxAddrs {
		return want, nil, fmt.Errorf("a peer has 1 to %d addresses, not %d", maxAddrs, len(addrs))
	}
	targets := make([]multiaddr.Multiaddr, len(addrs))
	for i, text := range addrs {
		key, target, err := parseAddr(text)
		if err != nil {
			return want, nil, err
		}
		switch {
		case key.IsZero() && want.IsZero():
			return want, nil, fmt.Errorf("address %q does not say whose it is", text)
		case want.IsZero():
			want = key
		case !key.IsZero() && key != want:
			return want, nil, fmt.Errorf("address %q is of another peer than %s", text, PeerID(want))
		}
		targets[i] = target
	}
	return want, targets, nil
}

// parseAddr splits off the trailing /p2p part; the key is zero without one.
func parseAddr(text string) (key canon.PublicKey, target multiaddr.Multiaddr, err error) {
	if len(text) > maxAddrSize {
		return key, nil, fmt.Errorf("address has %d characters", len(text))
	}
	whole, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return key, nil, fmt.Errorf("address %q: %w", text, err)
	}
	target, id := peer.SplitAddr(whole)
	if len(target) == 0 {
		return key, nil, fmt.Errorf("address %q says who but not where", text)
	}
	if id == "" {
		return key, target, nil
	}
	key, err = keyOf(id)
	return key, target, err
}
