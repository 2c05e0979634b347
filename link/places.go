package link

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/multiformats/go-multiaddr"
)

// A node that nobody can call is called through relays, each of which keeps a
// place for it: a connection that stays, over which the relay asks it to take a
// circuit. Places are kept at a few relays, so that one which fails or cheats
// costs a switch to another.

const (
	maxPlaces  = 3 // at once
	firstRetry = time.Second
	// lastRetry is for a node that is reached through another relay; homeRetry for one
	// that nobody can reach.
	lastRetry  = 30 * time.Second
	homeRetry  = 4 * time.Second
	renewAfter = 10 * time.Minute // or at half of the place's time, if that is less
)

// place is what a node knows of a relay that may keep a place for it.
type place struct {
	relay peer.ID
	addrs []multiaddr.Multiaddr // of the relay
	lost  chan struct{}         // told when the relay is disconnected
}

// places are those of one node.
type places struct {
	all     []*place
	free    chan struct{} // a token for each that is held or tried
	mu      sync.Mutex
	at      map[peer.ID]multiaddr.Multiaddr // where the node is reached, by relay
	tries   int                             // that ended
	settled chan struct{}                   // closed once as many have ended as there are places to be had
	moved   chan struct{}                   // closed, and replaced, when the network changed
}

// newPlaces groups the relays' addresses.
func newPlaces(addrs []string) (*places, error) {
	p := &places{free: make(chan struct{}, maxPlaces), at: map[peer.ID]multiaddr.Multiaddr{},
		settled: make(chan struct{}), moved: make(chan struct{})}
	for _, of := range ByPeer(addrs) {
		key, targets, err := parseAddrs(of[:min(len(of), maxAddrs)], zeroKey)
		if err != nil {
			return nil, err
		}
		id, err := peerOf(key)
		if err != nil {
			return nil, err
		}
		p.all = append(p.all, &place{relay: id, addrs: targets, lost: make(chan struct{}, 1)})
	}
	if len(p.all) == 0 {
		close(p.settled)
	}
	return p, nil
}

// Placed returns once the node has asked relays for places, and so Addrs says
// where it is reached, or when ctx ends.
func (n *Node) Placed(ctx context.Context) error {
	select {
	case <-n.places.settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.ctx.Done():
		return ErrClosed
	}
}

// circuitAddrs are where the node is reached through relays, without its own ID,
// in the order of the relays.
func (p *places) circuitAddrs() (addrs []multiaddr.Multiaddr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.all {
		if a := p.at[one.relay]; a != nil {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// patience is the longest pause between two tries of a relay.
func (p *places) patience() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.at) == 0 {
		return homeRetry
	}
	return lastRetry
}

func (p *places) held(relay peer.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[relay] != nil
}

// set notes where the node is reached through a relay; nil for nowhere.
func (p *places) set(relay peer.ID, at multiaddr.Multiaddr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at == nil {
		delete(p.at, relay)
		return
	}
	p.at[relay] = at
}

func (p *places) tried() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tries++; p.tries == min(len(p.all), maxPlaces) {
		close(p.settled)
	}
}

// wake has all relays tried at once.
func (p *places) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.moved)
	p.moved = make(chan struct{})
}

func (p *places) change() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moved
}

// drop tells that a relay is disconnected.
func (p *places) drop(relay peer.ID) {
	for _, one := range p.all {
		if one.relay == relay {
			select {
			case one.lost <- struct{}{}:
			default: // it was told
			}
		}
	}
}

// keepPlace keeps a place at a relay for as long as the node runs, if one is
// missing.
func (n *Node) keepPlace(p *place) {
	wait := firstRetry
	for {
		select {
		case n.places.free <- struct{}{}:
		case <-n.ctx.Done():
			return
		}
		changed := n.places.change()
		held := n.holdPlace(p)
		<-n.places.free
		if held {
			wait = firstRetry
		}
		retry := time.NewTimer(wait)
		select {
		case <-retry.C:
			wait = min(2*wait, n.places.patience())
		case <-changed:
			wait = firstRetry
		case <-n.ctx.Done():
		}
		retry.Stop()
	}
}

// holdPlace asks a relay for a place and renews it until the relay refuses or
// cannot be reached. It reports whether it ever had the place.
func (n *Node) holdPlace(p *place) (held bool) {
	for {
		at, renew, err := n.takePlace(p)
		n.places.set(p.relay, at)
		if !held {
			n.places.tried()
		}
		if err != nil {
			return held
		}
		held = true
		timer := time.NewTimer(renew)
		select {
		case <-timer.C:
		case <-p.lost:
			n.places.set(p.relay, nil)
		case <-n.ctx.Done():
		}
		timer.Stop()
		if n.ctx.Err() != nil {
			return held
		}
	}
}

// takePlace returns where the relay makes the node reachable, and when to ask again.
func (n *Node) takePlace(p *place) (at multiaddr.Multiaddr, renew time.Duration, err error) {
	ctx, cancel := context.WithTimeout(n.ctx, n.config.HandshakeTimeout)
	defer cancel()
	select {
	case <-p.lost: // an earlier connection
	default:
	}
	n.swarm.Backoff().Clear(p.relay)
	n.learn(p.relay, p.addrs)
	r, err := client.Reserve(ctx, n.host, peer.AddrInfo{ID: p.relay})
	if err != nil {
		return nil, 0, err
	}
	c := n.direct(p.relay)
	if c == nil {
		return nil, 0, network.ErrNoConn
	}
	// The address that works for this node is the one that others are told.
	circuit, err := multiaddr.NewMultiaddr(c.RemoteMultiaddr().String() + "/p2p/" + p.relay.String() + "/p2p-circuit")
	if err != nil {
		return nil, 0, err
	}
	return circuit, renewal(r.Expiration, time.Now()), nil
}

// renewal is after how long a place is renewed that lasts until then, as the relay
// says: the two clocks may differ by minutes, and the relay may say anything.
func renewal(until, now time.Time) time.Duration {
	return max(firstRetry, min(until.Sub(now)/2, renewAfter))
}

// direct is a connection to a peer that leads through nobody, if there is one.
func (n *Node) direct(id peer.ID) network.Conn {
	for _, c := range n.swarm.ConnsToPeer(id) {
		if !isCircuit(c.RemoteMultiaddr()) && !c.IsClosed() {
			return c
		}
	}
	return nil
}
