package link

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	pbv2 "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
	"golang.org/x/time/rate"
)

// RelayLimits bound what a node carries for others. The zero value carries nothing.
type RelayLimits struct {
	Places   int           // peers that can be reached through it
	Circuits int           // connections at once
	PerPeer  int           // of them from one peer, and to one peer
	PerIP    int           // places for peers at one IP address
	Bytes    int64         // each way through one circuit, which then ends
	Duration time.Duration // of one circuit
	Rate     int           // bytes a second, over all circuits
}

// DefaultRelay carries streamed answers for hours, and leaves three quarters of
// the connections and of a usual uplink to the node itself.
var DefaultRelay = RelayLimits{Places: 128, Circuits: 256, PerPeer: 16, PerIP: 32,
	Bytes: 1 << 30, Duration: 2 * time.Hour, Rate: 4 << 20}

const (
	placeTime     = 30 * time.Minute // that a place is kept for; it is renewed at half of it
	carryBuffer   = 16 << 10         // bytes, each way of a circuit
	relayPatience = 5 * time.Second  // for a relay's answer
)

// libp2p waits a minute for a relay that says nothing.
func init() {
	client.DialTimeout = relayPatience
	client.DialRelayTimeout = relayPatience
	client.ReserveTimeout = relayPatience
}

// openRelay lets others be reached through the node.
func (n *Node) openRelay() (err error) {
	l := n.config.Relay
	if l.Places == 0 {
		return nil
	}
	n.meter = &meter{ctx: n.ctx, limit: rate.NewLimiter(rate.Limit(l.Rate), max(l.Rate/4, carryBuffer))}
	n.relay, err = relay.New(n.host, relay.WithMetricsTracer(n.meter), relay.WithReservationAddressFilter(func(multiaddr.Multiaddr) bool { return false }),
		relay.WithResources(relay.Resources{
			Limit:          &relay.RelayLimit{Duration: l.Duration, Data: l.Bytes},
			ReservationTTL: placeTime, MaxReservations: l.Places, MaxCircuits: l.PerPeer, BufferSize: carryBuffer,
			MaxReservationsPerIP: l.PerIP, MaxReservationsPerASN: l.Places,
		}))
	return err
}

// Carried is how many bytes the node has passed on for others.
func (n *Node) Carried() uint64 {
	if n.meter == nil {
		return 0
	}
	return n.meter.carried.Load()
}

// circuits dials through relays. libp2p's client tries one relay after the other,
// so that one which stalls would hold up all others; here each has its own.
type circuits struct {
	*client.Client // listens
	host           *host
	upgrader       transport.Upgrader
}

// Dial implements transport.Transport.
func (c *circuits) Dial(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	if _, by, ok := splitCircuit(a); ok {
		c.host.node.swarm.Backoff().Clear(by) // it may have failed while this machine moved
	}
	one, err := client.New(c.host, c.upgrader)
	if err != nil {
		return nil, err
	}
	return one.Dial(ctx, a, p)
}

// meter counts what is carried, and slows it down to the limit: libp2p tells it
// of each piece before it reads the next.
type meter struct {
	ctx     context.Context
	limit   *rate.Limiter
	carried atomic.Uint64
}

// BytesTransferred implements relay.MetricsTracer.
func (m *meter) BytesTransferred(n int) {
	m.carried.Add(uint64(n))
	_ = m.limit.WaitN(m.ctx, n) // an error is the node's end, which ends the circuit too
}

func (*meter) RelayStatus(bool)                      {}
func (*meter) ConnectionOpened()                     {}
func (*meter) ConnectionClosed(time.Duration)        {}
func (*meter) ConnectionRequestHandled(pbv2.Status)  {}
func (*meter) ReservationAllowed(bool)               {}
func (*meter) ReservationClosed(int)                 {}
func (*meter) ReservationRequestHandled(pbv2.Status) {}
