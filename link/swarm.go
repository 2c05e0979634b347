package link

import (
	"crypto/ed25519"
	"errors"
	"log/slog"
	"math"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
)

// maxWindow is how many bytes of one stream may be under way, and so what a peer
// can make this node hold for it. 4 MiB carry 80 MB/s over 50 ms.
const maxWindow = 4 << 20

// libp2p logs what peers do wrong and, as an error, that a listener was closed.
// What a caller should know is in the errors that this package returns.
func init() { gologshim.SetDefaultHandler(slog.DiscardHandler) }

// openSwarm assembles the parts of libp2p that a node needs: connections, direct
// and through relays, and the host that the latter want; no discovery, no gossip
// of addresses, no port mapping. release frees what the swarm leaves behind.
func (n *Node) openSwarm() error {
	c := n.config
	private, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(c.Key.Seed()))
	if err != nil {
		return err
	}
	id, err := peer.IDFromPrivateKey(private)
	if err != nil {
		return err
	}
	limits, err := newLimits(c)
	if err != nil {
		return err
	}
	peers, err := pstoremem.NewPeerstore()
	if err != nil {
		return errors.Join(err, limits.Close())
	}
	n.release = func() error { return errors.Join(peers.Close(), limits.Close()) }
	bus := eventbus.NewBus()
	n.gater = newGater(n.reach, 2*c.MaxPerAddress)
	n.swarm, err = swarm.NewSwarm(id, peers, bus,
		swarm.WithResourceManager(limits),
		swarm.WithConnectionGater(n.gater),
		swarm.WithDialRanker(n.cutters.rank),
		swarm.WithDialTimeout(c.HandshakeTimeout),
		swarm.WithDialTimeoutLocal(c.HandshakeTimeout))
	if err != nil {
		return errors.Join(err, n.release())
	}
	n.host = &host{node: n, bus: bus}
	n.swarm.SetStreamHandler(n.accept)
	n.swarm.Notify(&network.NotifyBundle{ConnectedF: n.connected, DisconnectedF: n.disconnected})
	err = n.addTransports(private, limits)
	if err == nil {
		err = errors.Join(peers.AddPrivKey(id, private), peers.AddPubKey(id, private.GetPublic()))
	}
	if err != nil {
		return errors.Join(err, n.swarm.Close(), n.release())
	}
	n.handle(seenProtocol, n.tellSeen)
	return nil
}

// addTransports adds TCP, and circuits through relays, both with Noise and yamux
// from end to end.
func (n *Node) addTransports(private crypto.PrivKey, limits network.ResourceManager) error {
	mux := *yamux.DefaultTransport
	mux.MaxStreamWindowSize = maxWindow
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: &mux}}
	security, err := noise.New(noise.ID, private, muxers)
	if err != nil {
		return err
	}
	timeout := n.config.HandshakeTimeout
	up, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, limits, n.gater, upgrader.WithAcceptTimeout(timeout))
	if err != nil {
		return err
	}
	options := []tcp.Option{tcp.WithConnectionTimeout(timeout)}
	if !n.punches {
		options = append(options, tcp.DisableReuseport())
	}
	direct, err := tcp.NewTCPTransport(up, limits, nil, options...)
	if err != nil {
		return err
	}
	accepting, err := client.New(n.host, up)
	if err != nil {
		return err
	}
	if len(n.places.all) > 0 {
		accepting.Start()
	}
	return errors.Join(n.swarm.AddTransport(direct), n.swarm.AddTransport(&circuits{accepting, n.host, up}))
}

// newLimits counts connections and streams. Connections and streams whose
// handshake is under way are transient and may be a quarter of the whole.
func newLimits(c Config) (network.ResourceManager, error) {
	handshakes := func(n int) int { return max(n/4, 8) }
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: count(c.MaxPeers), ConnsInbound: count(c.MaxPeers), ConnsOutbound: count(c.MaxPeers),
			FD:      count(c.MaxPeers),
			Streams: count(c.MaxStreams), StreamsInbound: count(c.MaxStreams), StreamsOutbound: count(c.MaxStreams),
			Memory: 1 << 30,
		},
		Transient: rcmgr.ResourceLimits{
			Conns: count(handshakes(c.MaxPeers)), ConnsInbound: count(handshakes(c.MaxPeers)),
			Streams: count(handshakes(c.MaxStreams)), StreamsInbound: count(handshakes(c.MaxStreams)),
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: 8, ConnsInbound: 4, ConnsOutbound: 4, // direct, through relays, and those that are given up
			Streams: count(2 * c.MaxStreamsPerPeer), StreamsInbound: count(c.MaxStreamsPerPeer), StreamsOutbound: count(c.MaxStreamsPerPeer),
			Memory: 128 << 20,
		},
		Service: map[string]rcmgr.ResourceLimits{relay.ServiceName: {
			Streams: count(2 * c.Relay.Circuits), StreamsInbound: count(c.Relay.Circuits), StreamsOutbound: count(c.Relay.Circuits),
		}},
	}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithConnRateLimiters(&rate.Limiter{}), // none: see gater
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: c.MaxPerAddress}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: c.MaxPerAddress}}))
}

func count(n int) rcmgr.LimitVal { return rcmgr.LimitVal(min(n, math.MaxInt32)) }
