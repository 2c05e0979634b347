package link

import (
	"context"
	"errors"
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/event"
	lhost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"

	"daulat/core/canon"
)

// host is a node as libp2p's relay, relay client and hole puncher want it, and
// nothing more: no address gossip, no port mapping, no background services.
type host struct {
	node  *Node
	bus   event.Bus
	kept  keeper
	holes holes
}

var _ lhost.Host = (*host)(nil)

func (h *host) ID() peer.ID                      { return h.node.swarm.LocalPeer() }
func (h *host) Peerstore() peerstore.Peerstore   { return h.node.swarm.Peerstore() }
func (h *host) Network() network.Network         { return h.node.swarm }
func (h *host) ConnManager() connmgr.ConnManager { return &h.kept }
func (h *host) EventBus() event.Bus              { return h.bus }
func (h *host) Addrs() []multiaddr.Multiaddr     { return h.node.listening() }
func (h *host) Mux() protocol.Switch             { panic("link: the host has no switch of its own") }
func (h *host) Close() error                     { return h.node.Close() }

// Connect implements host.Host. It punches holes; the addresses are a stranger's.
func (h *host) Connect(ctx context.Context, to peer.AddrInfo) error {
	ctx, end := h.holes.begin(ctx, to.ID)
	defer end()
	h.Peerstore().AddAddrs(to.ID, h.node.reach.of(to.Addrs), peerstore.TempAddrTTL)
	_, err := h.node.swarm.DialPeer(ctx, to.ID)
	return err
}

// NewStream implements host.Host.
func (h *host) NewStream(ctx context.Context, to peer.ID, protocols ...protocol.ID) (network.Stream, error) {
	if len(protocols) != 1 {
		return nil, errors.New("a stream is opened for one protocol")
	}
	s, err := h.node.swarm.NewStream(ctx, to)
	if err != nil {
		return nil, err
	}
	if err := h.node.negotiate(ctx, s, string(protocols[0])); err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

// SetStreamHandler implements host.Host.
func (h *host) SetStreamHandler(p protocol.ID, serve network.StreamHandler) {
	h.node.handle(string(p), func(s network.Stream, _ canon.PublicKey) { serve(s) })
}

// SetStreamHandlerMatch implements host.Host.
func (h *host) SetStreamHandlerMatch(p protocol.ID, _ func(protocol.ID) bool, _ network.StreamHandler) {
	panic("link: no service matches protocols such as " + p)
}

// RemoveStreamHandler implements host.Host.
func (h *host) RemoveStreamHandler(p protocol.ID) {
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	delete(h.node.handlers, string(p))
	h.node.muxer.RemoveHandler(string(p))
}

// holes are those that are being punched. As long as libp2p dials a peer, it gives
// every connection that the dial ever had to whoever dials the peer meanwhile, dead
// ones too. So a hole is given up with the connection that it was to replace.
type holes struct {
	mu    sync.Mutex
	peers map[peer.ID]map[*context.CancelFunc]bool
}

func (h *holes) begin(ctx context.Context, to peer.ID) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.peers == nil {
		h.peers = map[peer.ID]map[*context.CancelFunc]bool{}
	}
	if h.peers[to] == nil {
		h.peers[to] = map[*context.CancelFunc]bool{}
	}
	h.peers[to][&cancel] = true
	return ctx, func() {
		cancel()
		h.mu.Lock()
		defer h.mu.Unlock()
		if delete(h.peers[to], &cancel); len(h.peers[to]) == 0 {
			delete(h.peers, to)
		}
	}
}

// giveUp ends those to a peer that is not connected any more.
func (h *holes) giveUp(to peer.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for cancel := range h.peers[to] {
		(*cancel)()
	}
}

// keeper notes which peers stay connected without streams: those that this node
// keeps a place for, or that keep one for it.
type keeper struct {
	connmgr.NullConnMgr
	mu    sync.Mutex
	peers map[peer.ID]bool
}

// placeTag is how libp2p's relay tags peers that have a place.
const placeTag = "relay-reservation"

// TagPeer implements connmgr.ConnManager.
func (k *keeper) TagPeer(p peer.ID, tag string, _ int) {
	if tag != placeTag {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.peers == nil {
		k.peers = map[peer.ID]bool{}
	}
	k.peers[p] = true
}

// UntagPeer implements connmgr.ConnManager.
func (k *keeper) UntagPeer(p peer.ID, tag string) {
	if tag != placeTag {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.peers, p)
}

func (k *keeper) has(p peer.ID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.peers[p]
}
