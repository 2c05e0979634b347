package link

import (
	"fmt"
	"slices"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

func parseListen(texts []string) ([]multiaddr.Multiaddr, error) {
	addrs := make([]multiaddr.Multiaddr, len(texts))
	for i, text := range texts {
		a, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			return nil, fmt.Errorf("listen address %q: %w", text, err)
		}
		addrs[i] = a
	}
	return addrs, nil
}

func (n *Node) listen(addrs []multiaddr.Multiaddr) error {
	for _, a := range addrs { // one by one: the swarm is content if one of many works
		if err := n.unused(a); err != nil {
			return fmt.Errorf("listen on %s: %w", a, err)
		}
		if err := n.swarm.Listen(a); err != nil {
			return fmt.Errorf("listen on %s: %w", a, err)
		}
	}
	n.listens = n.swarm.ListenAddresses()
	if len(n.places.all) == 0 {
		return nil
	}
	return n.swarm.Listen(multiaddr.StringCast("/p2p-circuit"))
}

// unused reports an error if somebody listens at a already: sockets that share
// their port with connections out, as those of a node that punches holes, would
// share it with each other too.
func (n *Node) unused(a multiaddr.Multiaddr) error {
	if !n.punches {
		return nil
	}
	l, err := manet.Listen(a)
	if err != nil {
		return err
	}
	return l.Close()
}

// Addrs returns the full addresses at which the node can be dialed, each with
// its /p2p identity. Those of a node that has relays are such as strangers may
// dial, and change as it moves and relays come and go.
func (n *Node) Addrs() []string {
	addrs := n.listening()
	if len(n.places.all) > 0 {
		addrs = append(n.reach.of(addrs), n.places.circuitAddrs()...)
	}
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String() + "/p2p/" + PeerID(n.key)
	}
	return texts
}

// Listening returns the addresses at which the node listens, as Config.Listen
// takes them, with the ports that they got.
func (n *Node) Listening() (texts []string) {
	for _, a := range n.listens {
		texts = append(texts, a.String())
	}
	slices.Sort(texts)
	return texts
}

// listening are the addresses of this machine at which the node listens, as they
// are now.
func (n *Node) listening() []multiaddr.Multiaddr {
	if own, err := manet.ResolveUnspecifiedAddresses(n.listens, nil); err == nil {
		return own
	} // else the interfaces cannot be listed: what was configured still holds
	return n.listens
}
