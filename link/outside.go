package link

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	"github.com/multiformats/go-multiaddr"

	"daulat/core/canon"
)

// What a node behind a router knows of the outside: the address at which peers
// see it, which is what a hole is punched for; and whether its connections still
// lead there, as laptops move and routers forget.

const (
	// seenProtocol is libp2p's identify. A node asks for one thing only, where it is
	// seen, and believes only peers that a person named.
	seenProtocol = "/ipfs/id/1.0.0"
	maxSeen      = 8 << 10 // bytes of an answer

	lookEvery = time.Second
	probeBusy = 3 * lookEvery / 4 // between signs of life of a peer that has a stream: at each look
	probeIdle = 5 * time.Second   // and of a relay
	// probeTimeout leaves an answer whose peer moved five seconds from its last token
	// to the next: a look before the probe, and a way to be found after it.
	probeTimeout = 2500 * time.Millisecond
	// formerTimeout is for a connection whose peer has just opened another one.
	formerTimeout = time.Second
	maxPunched    = 4 // addresses of a peer that are tried
)

// outside is that knowledge.
type outside struct {
	mu     sync.Mutex
	seen   map[peer.ID]multiaddr.Multiaddr // this node's address, by who said it
	probed map[network.Conn]time.Time      // the last sign of life, or when one was asked for
	ips    map[netip.Addr]bool             // of this machine's interfaces
	late   time.Time                       // when this process itself was last held up
	punch  *holepunch.Service              // once an address is known
}

// tellSeen answers a peer that asks where it is seen.
func (n *Node) tellSeen(s network.Stream, _ canon.PublicKey) {
	defer s.Close()
	if s.SetDeadline(time.Now().Add(n.config.HandshakeTimeout)) != nil {
		return
	}
	agent := "daulat"
	_ = util.NewDelimitedWriter(s).WriteMsg(&pb.Identify{ // the peer may be gone
		AgentVersion: &agent, ObservedAddr: s.Conn().RemoteMultiaddr().Bytes(), Protocols: n.muxer.Protocols()})
}

// askSeen asks the peer at the other end where it sees this node, within ctx. Any
// answer is a sign of life.
func (n *Node) askSeen(ctx context.Context, c network.Conn) (multiaddr.Multiaddr, error) {
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, "probe"))
	if err != nil {
		return nil, err
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if err := n.negotiate(ctx, s, seenProtocol); err != nil {
		return nil, err
	}
	r := util.NewDelimitedReader(s, maxSeen)
	defer r.Close()
	var told pb.Identify
	if err := r.ReadMsg(&told); err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	return multiaddr.NewMultiaddrBytes(told.GetObservedAddr())
}

// probe asks for a sign of life, and closes the connection if none comes in time. It
// reports false if this process itself may have missed it.
func (n *Node) probe(c network.Conn, patience time.Duration) (sure bool) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(n.ctx, patience)
	defer cancel()
	at, err := n.askSeen(ctx, c)
	switch {
	case err == nil:
		n.see(c, at)
	case ctx.Err() != nil && n.ctx.Err() == nil:
		if time.Since(begun) > patience+lookEvery/2 || n.heldUp(begun) {
			return false
		}
		c.Close()
	}
	return true
}

// heldUp reports whether this process could have missed an answer since then.
func (n *Node) heldUp(since time.Time) bool {
	n.outside.mu.Lock()
	defer n.outside.mu.Unlock()
	return n.outside.late.After(since)
}

// believes reports whether what the peer says of this node's address is of use and
// taken: a person named the peer, and the connection leads straight there.
func (n *Node) believes(c network.Conn) bool {
	key, err := keyOf(c.RemotePeer())
	return n.punches && err == nil && n.named[key] && !isCircuit(c.RemoteMultiaddr())
}

// see notes where a peer sees this node, if a person named the peer.
func (n *Node) see(c network.Conn, at multiaddr.Multiaddr) {
	if !n.believes(c) || !n.reach.allows(at) {
		return
	}
	n.outside.mu.Lock()
	defer n.outside.mu.Unlock()
	if c.IsClosed() || n.ctx.Err() != nil {
		return
	}
	n.outside.seen[c.RemotePeer()] = at
	if n.outside.punch == nil {
		// The one error is of an option.
		n.outside.punch, _ = holepunch.NewService(n.host, noIdentify{}, n.seenAt, holepunch.WithAddrFilter(punchFilter{n.reach}))
	}
}

// seenAt are the addresses at which the node is seen, and so may be dialed through
// a hole.
func (n *Node) seenAt() (addrs []multiaddr.Multiaddr) {
	n.outside.mu.Lock()
	defer n.outside.mu.Unlock()
	for _, by := range slices.Sorted(maps.Keys(n.outside.seen)) {
		at := n.outside.seen[by]
		if !slices.ContainsFunc(addrs, at.Equal) && len(addrs) < maxPunched {
			addrs = append(addrs, at)
		}
	}
	return addrs
}

// noIdentify has the hole puncher wait for nobody: all that it needs of a peer
// comes with the peer's own message.
type noIdentify struct{}

func (noIdentify) IdentifyConn(network.Conn) {}
func (noIdentify) IdentifyWait(network.Conn) <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}
func (noIdentify) Start()       {}
func (noIdentify) Close() error { return nil }

// punchFilter bounds what a peer can make this node dial.
type punchFilter struct{ reach reach }

// FilterLocal implements holepunch.AddrFilter.
func (punchFilter) FilterLocal(_ peer.ID, addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	return addrs
}

// FilterRemote implements holepunch.AddrFilter.
func (f punchFilter) FilterRemote(_ peer.ID, addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	allowed := f.reach.of(addrs)
	return allowed[:min(len(allowed), maxPunched)]
}

// watch looks after connections until the node closes: those from an address that
// this machine no longer has are closed at once, and those that give no sign of
// life.
func (n *Node) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(last) > 3*lookEvery/2 {
			n.outside.mu.Lock()
			n.outside.late = now
			n.outside.mu.Unlock()
		}
		last = now
		n.look(now)
	}
}

func (n *Node) look(now time.Time) {
	moved := n.lookAround()
	conns := n.swarm.Conns()
	for _, c := range conns {
		if n.gone(c) {
			n.running.Go(func() { c.Close() })
			continue
		}
		if n.probeDue(c, now) {
			n.running.Go(func() { n.probe(c, probeTimeout) })
		}
	}
	n.forgetProbes(conns)
	if moved {
		n.places.wake()
	}
}

// lookAround takes in the machine's addresses, and reports whether they changed.
func (n *Node) lookAround() (changed bool) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	ips := map[netip.Addr]bool{}
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			ips[p.Addr().Unmap()] = true
		}
	}
	n.outside.mu.Lock()
	defer n.outside.mu.Unlock()
	changed = n.outside.ips != nil && !maps.Equal(ips, n.outside.ips)
	n.outside.ips = ips
	return changed
}

// gone reports that this machine no longer has the address that a connection is
// from.
func (n *Node) gone(c network.Conn) bool {
	ip, ok := ipOf(c.LocalMultiaddr())
	n.outside.mu.Lock()
	defer n.outside.mu.Unlock()
	return ok && n.outside.ips != nil && !n.outside.ips[ip.Unmap()]
}

// probeDue reports whether to ask for a sign of life: of peers that this node
// called, directly or through a relay, as those that called it ask themselves.
func (n *Node) probeDue(c network.Conn, now time.Time) bool {
	if c.Stat().Direction != network.DirOutbound {
		return false
	}
	every := probeBusy
	if len(c.GetStreams()) == 0 {
		if every = probeIdle; !n.places.held(c.RemotePeer()) {
			return false
		}
	}
	n.outside.mu.Lock()
	defer n.outside.mu.Unlock()
	if last, ok := n.outside.probed[c]; ok && now.Sub(last) < every {
		return false
	}
	n.outside.probed[c] = now
	return true
}

func (n *Node) forgetProbes(conns []network.Conn) {
	n.outside.mu.Lock()
	defer n.outside.mu.Unlock()
	maps.DeleteFunc(n.outside.probed, func(c network.Conn, _ time.Time) bool { return !slices.Contains(conns, c) })
}

// connected implements what a node does about a new connection.
func (n *Node) connected(_ network.Network, c network.Conn) {
	if isCircuit(c.RemoteMultiaddr()) || !n.enter() {
		return
	}
	go func() {
		defer n.running.Done()
		if c.Stat().Direction == network.DirOutbound {
			if n.believes(c) {
				n.probe(c, probeTimeout)
			}
			return
		}
		n.closeFormer(c)
	}()
}

// closeFormer closes the connections that a peer opened before its newest one, if
// they are from another address or give no sign of life: it has moved, perhaps
// behind the same router, and they may never hear of it.
func (n *Node) closeFormer(c network.Conn) {
	for _, old := range n.swarm.ConnsToPeer(c.RemotePeer()) {
		if old == c || isCircuit(old.RemoteMultiaddr()) || old.Stat().Direction != network.DirInbound || old.Stat().Opened.After(c.Stat().Opened) {
			continue
		}
		was, ok := ipOf(old.RemoteMultiaddr())
		if is, known := ipOf(c.RemoteMultiaddr()); ok && known && was != is {
			old.Close()
			continue
		}
		for !n.probe(old, formerTimeout) {
		}
	}
}

func (n *Node) disconnected(_ network.Network, c network.Conn) {
	if len(n.swarm.ConnsToPeer(c.RemotePeer())) == 0 {
		n.host.holes.giveUp(c.RemotePeer())
	}
	if n.direct(c.RemotePeer()) != nil {
		return
	}
	n.outside.mu.Lock()
	delete(n.outside.seen, c.RemotePeer())
	n.outside.mu.Unlock()
	n.host.kept.UntagPeer(c.RemotePeer(), placeTag)
	n.places.drop(c.RemotePeer())
}
