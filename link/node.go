// Package link carries frames and byte streams between peers.
//
// A peer is its Ed25519 identity key: an address names the key, and a machine
// that cannot prove it is refused. Streams are multiplexed over TCP, Noise and
// yamux, and opened for a named protocol as in libp2p (multistream-select), so
// any libp2p implementation can talk to a node.
//
// Guarantees: what a peer sends is bounded before memory is spent on it, in
// frames by length and time, in streams by number for each peer and in total, in
// connections by number, for each address too; a peer that is slow, silent or
// malformed costs its own stream and nothing else; Close leaves no goroutine and
// no descriptor.
//
// Start at [Open], [Node.Handle] and [Node.Dial]; spec/link.md is normative.
package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"

	"daulat/core/canon"
)

// Config says who a node is and what it allows. A zero limit means its default.
type Config struct {
	Key    canon.PrivateKey // the identity
	Listen []string         // multiaddrs; by default one free TCP port on loopback

	MaxPeers          int           // connections at once; 512
	MaxPerAddress     int           // connections from one IPv4 address or IPv6 /56, loopback excepted; 64
	MaxStreams        int           // streams at once, over all peers; 4096
	MaxStreamsPerPeer int           // streams at once with one peer; 64
	HandshakeTimeout  time.Duration // to connect, prove the key and agree on a protocol; 10 s
	IdleTimeout       time.Duration // after which a connection without streams is closed; 1 min

	// Named are addresses of peers that a person chose, as an invite does: the node
	// dials them whatever they are, and what strangers say of the same kind of
	// network. Own are of this machine's other peers, which are dialed too, and say
	// nothing of others. See reach.go.
	Named, Own []string
	// Relays are addresses of peers, named too, through which the node shall be
	// reached; it keeps places at a few of them.
	Relays []string
	Relay  RelayLimits // what the node carries for others; nothing by default
}

func (c Config) withDefaults() Config {
	if len(c.Listen) == 0 {
		c.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	}
	for field, value := range map[*int]int{
		&c.MaxPeers: 512, &c.MaxPerAddress: 64, &c.MaxStreams: 4096, &c.MaxStreamsPerPeer: 64,
	} {
		if *field == 0 {
			*field = value
		}
	}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = time.Minute
	}
	return c
}

// Handler serves one incoming stream, on a goroutine of its own. The stream is
// closed when it returns; ctx ends when the node closes.
type Handler func(ctx context.Context, s *Stream)

// Node is a peer on the network. Its methods may be called concurrently.
type Node struct {
	config   Config
	key      canon.PublicKey
	swarm    *swarm.Swarm
	release  func() error
	muxer    *multistream.MultistreamMuxer[string]
	reach    reach
	gater    *gater
	named    map[canon.PublicKey]bool // peers that a person named
	punches  bool                     // listens everywhere, so that connections out come from the port of those in
	listens  []multiaddr.Multiaddr
	host     *host
	relay    *relay.Relay // nil if it carries nothing
	meter    *meter       // of the relay
	places   *places
	cutters  cutters
	outside  outside
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup // handlers and what watches
	mu       sync.Mutex     // guards what follows
	handlers map[string]serve
	closed   bool
}

// serve takes a stream whose protocol is agreed, and sees to its end.
type serve func(s network.Stream, peer canon.PublicKey)

// ErrClosed says that the node is closed.
var ErrClosed = errors.New("node is closed")

// ErrUnreachable says that a peer has only addresses that are not dialed.
var ErrUnreachable = errors.New("no address that this node may dial")

// ErrNobody says that nobody listens at a peer's addresses: its process ended.
var ErrNobody = errors.New("nobody listens there")

var zeroKey canon.PublicKey

// Open starts a node that listens on c.Listen.
func Open(c Config) (*Node, error) {
	n, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("open link: %w", err)
	}
	return n, nil
}

func open(c Config) (*Node, error) {
	n, listen, err := assemble(c)
	if err != nil {
		return nil, err
	}
	if err := n.openSwarm(); err != nil {
		n.cancel()
		return nil, err
	}
	err = n.listen(listen)
	if err == nil {
		err = n.openRelay()
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.running.Go(n.reap)
	n.running.Go(n.watch)
	for _, p := range n.places.all {
		n.running.Go(func() { n.keepPlace(p) })
	}
	return n, nil
}

// assemble is a node that has read its configuration and opened nothing.
func assemble(c Config) (n *Node, listen []multiaddr.Multiaddr, err error) {
	reach, err := c.reach()
	if err != nil {
		return nil, nil, err
	}
	c = c.withDefaults()
	if listen, err = parseListen(c.Listen); err != nil {
		return nil, nil, err
	}
	kept, err := newPlaces(c.Relays)
	if err != nil {
		return nil, nil, err
	}
	n = &Node{config: c, key: c.Key.Public(), reach: reach, named: keysIn(append(c.Named[:len(c.Named):len(c.Named)], c.Relays...)), punches: slices.ContainsFunc(listen, manet.IsIPUnspecified),
		places: kept, cutters: cutters{at: map[peer.ID]time.Time{}}, outside: outside{seen: map[peer.ID]multiaddr.Multiaddr{}, probed: map[network.Conn]time.Time{}},
		muxer: multistream.NewMultistreamMuxer[string](), handlers: map[string]serve{}}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n, listen, nil
}

// Key returns the node's identity.
func (n *Node) Key() canon.PublicKey { return n.key }

// Handle serves incoming streams of a protocol, such as /daulat/transfer/1, with
// h. Each protocol has one handler.
func (n *Node) Handle(protocol string, h Handler) {
	n.handle(protocol, func(s network.Stream, key canon.PublicKey) {
		defer s.Close()
		h(n.ctx, newStream(s, key))
	})
}

func (n *Node) handle(protocol string, h serve) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.handlers[protocol] != nil {
		panic("link: protocol " + protocol + " has two handlers")
	}
	n.handlers[protocol] = h
	n.muxer.AddHandler(protocol, nil)
}

// Dial opens a stream to the peer that every one of addrs names in its /p2p part.
// ctx bounds the opening alone.
func (n *Node) Dial(ctx context.Context, addrs []string, protocol string) (*Stream, error) {
	key, targets, err := parseAddrs(addrs, canon.PublicKey{})
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return n.dial(ctx, key, targets, protocol)
}

// DialKey opens a stream to the peer with the given key at addrs; those that have
// a /p2p part must name that key.
func (n *Node) DialKey(ctx context.Context, key canon.PublicKey, addrs []string, protocol string) (*Stream, error) {
	_, targets, err := parseAddrs(addrs, key)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return n.dial(ctx, key, targets, protocol)
}

func (n *Node) dial(ctx context.Context, key canon.PublicKey, targets []multiaddr.Multiaddr, protocol string) (*Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, n.config.HandshakeTimeout)
	defer cancel()
	raw, err := n.open(ctx, key, targets, protocol)
	if err != nil {
		if nobodyThere(err) {
			err = fmt.Errorf("%w: %w", ErrNobody, err)
		}
		return nil, fmt.Errorf("dial %s for %s: %w", PeerID(key), protocol, err)
	}
	s := newStream(raw, key)
	s.ended = func() { n.cutters.note(raw.Conn().RemoteMultiaddr()) }
	return s, nil
}

// nobodyThere reports whether each address was dialed and refused the connection.
func nobodyThere(err error) bool {
	var failed *swarm.DialError
	if !errors.As(err, &failed) {
		return false
	}
	return len(failed.DialErrors) > 0 && !slices.ContainsFunc(failed.DialErrors, func(one swarm.TransportError) bool {
		return !errors.Is(one.Cause, syscall.ECONNREFUSED)
	})
}

// open retries once: the peer may have closed an idle connection, and that shows
// only when it is used.
func (n *Node) open(ctx context.Context, key canon.PublicKey, targets []multiaddr.Multiaddr, protocol string) (network.Stream, error) {
	for retried := false; ; retried = true {
		s, err := n.connect(ctx, key, targets)
		if err != nil {
			return nil, err
		}
		if err = n.negotiate(ctx, s, protocol); err == nil {
			return s, nil
		}
		s.Reset()
		if retried || !s.Conn().IsClosed() || ctx.Err() != nil {
			return nil, err
		}
	}
}

func (n *Node) connect(ctx context.Context, key canon.PublicKey, targets []multiaddr.Multiaddr) (network.Stream, error) {
	if n.ctx.Err() != nil {
		return nil, ErrClosed
	}
	id, err := peerOf(key)
	if err != nil {
		return nil, err
	}
	allowed := n.reach.of(targets)
	if len(allowed) == 0 {
		return nil, unreachable(targets)
	}
	n.swarm.Backoff().Clear(id)
	n.learn(id, allowed)
	return n.swarm.NewStream(network.WithAllowLimitedConn(ctx, "through a relay"), id)
}

// learn replaces what was tried and failed before by what the caller says now.
// Another dial of the peer, which reads its addresses meanwhile, finds some.
func (n *Node) learn(id peer.ID, targets []multiaddr.Multiaddr) {
	book := n.swarm.Peerstore()
	book.AddAddrs(id, targets, peerstore.TempAddrTTL)
	if n.swarm.Connectedness(id) == network.Connected {
		return
	}
	old := slices.DeleteFunc(book.Addrs(id), func(a multiaddr.Multiaddr) bool { return slices.ContainsFunc(targets, a.Equal) })
	book.SetAddrs(id, old, 0) // forgets them
}

// negotiate asks for the protocol within ctx.
func (n *Node) negotiate(ctx context.Context, s network.Stream, protocol string) error {
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	deadline := time.Now().Add(n.config.HandshakeTimeout)
	if err := s.SetDeadline(deadline); err != nil {
		return err
	}
	if err := multistream.SelectProtoOrFail(protocol, s); err != nil {
		return errors.Join(err, ctx.Err())
	}
	return settle(s, protocol)
}

// settle ends a handshake: the stream no longer counts as one under way.
func settle(s network.Stream, name string) error {
	if err := s.SetProtocol(protocol.ID(name)); err != nil {
		return err
	}
	return s.SetDeadline(time.Time{})
}

// accept runs on a goroutine of its own for each incoming stream.
func (n *Node) accept(s network.Stream) {
	if !n.enter() {
		s.Reset()
		return
	}
	defer n.running.Done()
	key, err := keyOf(s.Conn().RemotePeer())
	if err != nil || s.SetDeadline(time.Now().Add(n.config.HandshakeTimeout)) != nil {
		s.Reset()
		return
	}
	name, _, err := n.muxer.Negotiate(s)
	if err != nil || settle(s, name) != nil {
		s.Reset()
		return
	}
	n.mu.Lock()
	h := n.handlers[name]
	n.mu.Unlock()
	if h == nil { // its service has just ended
		s.Reset()
		return
	}
	h(s, key)
}

// enter counts a running handler, unless the node is closed.
func (n *Node) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.running.Add(1)
	return true
}

// reap closes connections that had no stream at two looks in a row.
func (n *Node) reap() {
	tick := time.NewTicker(n.config.IdleTimeout / 2)
	defer tick.Stop()
	idle := map[network.Conn]bool{}
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		now := map[network.Conn]bool{}
		for _, c := range n.swarm.Conns() {
			if len(c.GetStreams()) > 0 || n.keeps(c.RemotePeer()) {
				continue
			}
			if idle[c] {
				c.Close()
			}
			now[c] = true
		}
		idle = now
	}
}

// keeps reports whether a connection to the peer stays without streams, as one of
// the two keeps a place for the other.
func (n *Node) keeps(id peer.ID) bool { return n.host.kept.has(id) || n.places.held(id) }

// Close ends all streams and connections and waits for the handlers, whose
// streams fail and whose context ends.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	n.mu.Unlock()
	n.cancel()
	n.outside.mu.Lock()
	punch := n.outside.punch
	n.outside.mu.Unlock()
	var err error
	if punch != nil {
		err = punch.Close()
	}
	if n.relay != nil {
		err = errors.Join(err, n.relay.Close())
	}
	err = errors.Join(err, n.swarm.Close())
	n.running.Wait()
	return errors.Join(err, n.release())
}

// Peers returns the keys of the connected peers.
func (n *Node) Peers() []canon.PublicKey {
	var keys []canon.PublicKey
	for _, id := range n.swarm.Peers() {
		if key, err := keyOf(id); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}
