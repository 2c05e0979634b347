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
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

// maxWindow is how many bytes of one stream may be under way, and so what a peer
// can make this node hold for it. 4 MiB carry 80 MB/s over 50 ms.
const maxWindow = 4 << 20

// libp2p logs what peers do wrong and, as an error, that a listener was closed.
// What a caller should know is in the errors that this package returns.
func init() { gologshim.SetDefaultHandler(slog.DiscardHandler) }

// newSwarm assembles the parts of libp2p that a node needs: no host, and so no
// identify, relay, hole punching, discovery or port mapping. release frees what
// the swarm leaves behind.
func newSwarm(c Config) (_ *swarm.Swarm, release func() error, err error) {
	private, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(c.Key.Seed()))
	if err != nil {
		return nil, nil, err
	}
	id, err := peer.IDFromPrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	limits, err := newLimits(c)
	if err != nil {
		return nil, nil, err
	}
	peers, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, nil, errors.Join(err, limits.Close())
	}
	release = func() error { return errors.Join(peers.Close(), limits.Close()) }
	s, err := swarm.NewSwarm(id, peers, eventbus.NewBus(),
		swarm.WithResourceManager(limits),
		swarm.WithDialTimeout(c.HandshakeTimeout),
		swarm.WithDialTimeoutLocal(c.HandshakeTimeout))
	if err != nil {
		return nil, nil, errors.Join(err, release())
	}
	t, err := newTransport(c, private, limits)
	if err == nil {
		err = s.AddTransport(t)
	}
	if err == nil {
		err = errors.Join(peers.AddPrivKey(id, private), peers.AddPubKey(id, private.GetPublic()))
	}
	if err != nil {
		return nil, nil, errors.Join(err, s.Close(), release())
	}
	return s, release, nil
}

// newTransport is TCP with Noise and yamux.
func newTransport(c Config, private crypto.PrivKey, limits network.ResourceManager) (transport.Transport, error) {
	mux := *yamux.DefaultTransport
	mux.MaxStreamWindowSize = maxWindow
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: &mux}}
	security, err := noise.New(noise.ID, private, muxers)
	if err != nil {
		return nil, err
	}
	up, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, limits, nil,
		upgrader.WithAcceptTimeout(c.HandshakeTimeout))
	if err != nil {
		return nil, err
	}
	return tcp.NewTCPTransport(up, limits, nil,
		tcp.DisableReuseport(), tcp.WithConnectionTimeout(c.HandshakeTimeout))
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
			Conns: 4, ConnsInbound: 2, ConnsOutbound: 2,
			Streams: count(2 * c.MaxStreamsPerPeer), StreamsInbound: count(c.MaxStreamsPerPeer), StreamsOutbound: count(c.MaxStreamsPerPeer),
			Memory: 128 << 20,
		},
	}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: c.MaxPerAddress}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: c.MaxPerAddress}}))
}

func count(n int) rcmgr.LimitVal { return rcmgr.LimitVal(min(n, math.MaxInt32)) }
