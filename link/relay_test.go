package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	pbv2 "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	"github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"daulat/core/canon"
)

func contextEnded(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

// relaying is a node that carries for others as l says, by default as much as
// any.
func relaying(t testing.TB, c Config) *Node {
	t.Helper()
	if c.Relay.Places == 0 {
		c.Relay = DefaultRelay
	}
	return node(t, c)
}

// behind is a node that has a place at each relay.
func behind(t testing.TB, c Config, relays ...*Node) *Node {
	t.Helper()
	for _, r := range relays {
		c.Relays = append(c.Relays, r.Addrs()...)
	}
	n := node(t, c)
	if err := n.Placed(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// circuitsTo are the addresses of a node that lead through relays.
func circuitsTo(n *Node) (addrs []string) {
	for _, a := range n.Addrs() {
		if strings.Contains(a, "/p2p-circuit/") {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

func dialAt(t testing.TB, from *Node, addrs []string) *Stream {
	t.Helper()
	s, err := from.Dial(t.Context(), addrs, echo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Reset)
	return s
}

func echoes(s *Stream, text string) error {
	var back note
	if err := errors.Join(s.Send(note{text}), s.Receive(&back)); err != nil {
		return err
	}
	if back.Text != text {
		return errors.New("the echo is " + back.Text)
	}
	return nil
}

func TestStreamsThroughARelay(t *testing.T) {
	r := relaying(t, Config{})
	n, client := behind(t, Config{}, r), node(t, Config{})
	n.Handle(echo, serveEcho)
	s := dialAt(t, client, circuitsTo(n))
	long := strings.Repeat("x", DefaultFrame-20)
	if err := errors.Join(echoes(s, "halo"), echoes(s, long)); err != nil {
		t.Fatal(err)
	}
	if s.Peer() != n.Key() || r.Carried() < 2*DefaultFrame {
		t.Fatalf("reached %s, and the relay carried %d bytes", PeerID(s.Peer()), r.Carried())
	}
	if _, err := client.Dial(t.Context(), []string{r.Addrs()[0] + "/p2p-circuit/p2p/" + PeerID(client.Key())}, echo); err == nil {
		t.Error("a circuit leads to who asked for it")
	}
	if _, err := client.Dial(t.Context(), []string{r.Addrs()[0] + "/p2p-circuit/p2p/" + PeerID(newKey(t).Public())}, echo); err == nil {
		t.Error("a circuit leads to nobody")
	}
	other := node(t, Config{})
	if _, err := other.Dial(t.Context(), []string{client.Addrs()[0] + "/p2p-circuit/p2p/" + PeerID(n.Key())}, echo); err == nil {
		t.Error("a node carries that was not told to")
	}
}

// What bounds streams bounds them through a relay too.
func TestRelayedStreamsAreCounted(t *testing.T) {
	r := relaying(t, Config{})
	n, client := behind(t, Config{MaxStreamsPerPeer: 3}, r), node(t, Config{})
	n.Handle(echo, serveEcho)
	for range 3 {
		dialAt(t, client, circuitsTo(n))
	}
	if _, err := client.Dial(t.Context(), circuitsTo(n), echo); err == nil {
		t.Fatal("a fourth stream was opened")
	}
}

// A place is a connection without streams, which outlives all idle time.
func TestPlacesOutliveIdleness(t *testing.T) {
	r := relaying(t, Config{IdleTimeout: 20 * time.Millisecond})
	n := behind(t, Config{IdleTimeout: 20 * time.Millisecond}, r)
	n.Handle(echo, serveEcho)
	first := r.swarm.ConnsToPeer(n.swarm.LocalPeer())[0]
	// Other connections are seen to close meanwhile, many times over.
	for range 5 {
		passing := node(t, Config{})
		r.handlersOnce(echo)
		s := dial(t, passing, r)
		s.Close()
		eventually(t, "an idle connection closes", func() bool { return len(passing.Peers()) == 0 })
	}
	if first.IsClosed() || len(circuitsTo(n)) != 1 {
		t.Fatalf("the place was lost in between, or for good: %v", n.Addrs())
	}
	dialAt(t, node(t, Config{}), circuitsTo(n))
}

// handlersOnce serves echo, if nobody does yet.
func (n *Node) handlersOnce(protocol string) {
	n.mu.Lock()
	known := n.handlers[protocol] != nil
	n.mu.Unlock()
	if !known {
		n.Handle(protocol, serveEcho)
	}
}

// A relay that ends takes its place along; when it is back, the place is too.
func TestPlacesComeAndGo(t *testing.T) {
	key := newKey(t)
	r, err := Open(Config{Key: key, Relay: DefaultRelay})
	if err != nil {
		t.Fatal(err)
	}
	at := r.Listening()
	n := behind(t, Config{}, r)
	n.Handle(echo, serveEcho)
	circuits := circuitsTo(n)
	if len(circuits) != 1 {
		t.Fatal(n.Addrs())
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the place is gone", func() bool { return len(circuitsTo(n)) == 0 })
	if r, err = Open(Config{Key: key, Relay: DefaultRelay, Listen: at}); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	eventually(t, "the place is back", func() bool { return len(circuitsTo(n)) == 1 })
	dialAt(t, node(t, Config{}), circuits)
}

// A node that nobody can reach tries relays more often than one that has a place.
func TestNodesWithoutAPlaceTryOften(t *testing.T) {
	r := relaying(t, Config{})
	n := behind(t, Config{}, r)
	if with := n.places.patience(); with != lastRetry {
		t.Errorf("with a place it waits %s", with)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the place is gone", func() bool { return len(circuitsTo(n)) == 0 })
	if without := n.places.patience(); without != homeRetry || homeRetry > 5*time.Second {
		t.Errorf("without a place it waits %s", without)
	}
}

func TestRelayLimits(t *testing.T) {
	limits := func(change func(*RelayLimits)) RelayLimits {
		l := DefaultRelay
		change(&l)
		return l
	}
	placed := func(n *Node) bool { return len(circuitsTo(n)) > 0 }
	t.Run("places", func(t *testing.T) {
		r := relaying(t, Config{Relay: limits(func(l *RelayLimits) { l.Places = 2 })})
		for i := range 3 {
			if got := placed(behind(t, Config{}, r)); got != (i < 2) {
				t.Errorf("peer %d has a place: %v", i, got)
			}
		}
	})
	t.Run("places of one address", func(t *testing.T) {
		r := relaying(t, Config{Relay: limits(func(l *RelayLimits) { l.PerIP = 2 })})
		for i := range 3 {
			if got := placed(behind(t, Config{}, r)); got != (i < 2) {
				t.Errorf("peer %d has a place: %v", i, got)
			}
		}
	})
	t.Run("circuits of one peer", func(t *testing.T) {
		r := relaying(t, Config{Relay: limits(func(l *RelayLimits) { l.PerPeer = 2 })})
		client := node(t, Config{})
		for i := range 3 {
			n := behind(t, Config{}, r)
			n.Handle(echo, serveEcho)
			if _, err := client.Dial(t.Context(), circuitsTo(n), echo); (err == nil) != (i < 2) {
				t.Errorf("circuit %d: %v", i, err)
			}
		}
	})
	t.Run("bytes of a circuit", func(t *testing.T) {
		r := relaying(t, Config{Relay: limits(func(l *RelayLimits) { l.Bytes = 1 << 16 })})
		n, client := behind(t, Config{}, r), node(t, Config{})
		n.Handle(echo, serveEcho)
		s := dialAt(t, client, circuitsTo(n))
		if err := echoes(s, "few"); err != nil {
			t.Fatal(err)
		}
		s.SetFrameTimeout(10 * time.Second)
		if err := echoes(s, strings.Repeat("x", 1<<17)); err == nil || isTimeout(err) {
			t.Fatalf("more passed than may: %v", err)
		}
		if err := echoes(dialAt(t, client, circuitsTo(n)), "few again"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("duration of a circuit", func(t *testing.T) {
		r := relaying(t, Config{Relay: limits(func(l *RelayLimits) { l.Duration = time.Second })})
		n, client := behind(t, Config{}, r), node(t, Config{})
		n.Handle(echo, serveEcho)
		s := dialAt(t, client, circuitsTo(n))
		eventually(t, "the circuit ends", s.Cut)
	})
}

// Whoever fills a relay's circuits takes nothing from those who want the node
// itself.
func TestRelayedFloodLeavesRoom(t *testing.T) {
	l := DefaultRelay
	l.Circuits, l.PerPeer = 4, 100
	r := relaying(t, Config{Relay: l, MaxStreams: 40})
	r.Handle(echo, serveEcho)
	n := behind(t, Config{}, r)
	n.Handle(echo, serveEcho)
	open := 0
	for range 24 { // each circuit is two streams at the relay
		if _, err := node(t, Config{}).Dial(t.Context(), circuitsTo(n), echo); err == nil {
			open++
		}
	}
	if open > l.Circuits {
		t.Errorf("%d circuits are open", open)
	}
	if _, err := node(t, Config{}).Dial(t.Context(), r.Addrs(), echo); err != nil {
		t.Errorf("the flood keeps others away: %v", err)
	}
}

// What is carried counts against the bytes a second of all together.
func TestCarriedBytesAreSlowedDown(t *testing.T) {
	m := meter{ctx: t.Context(), limit: rate.NewLimiter(1, 1<<20)}
	m.BytesTransferred(1 << 20)
	if left := m.limit.Tokens(); left > 1<<19 {
		t.Errorf("%.0f bytes may follow at once", left)
	}
	if m.carried.Load() != 1<<20 {
		t.Error("they are not counted")
	}
}

// A crook is a relay that does with what it carries as it likes.
type crook struct {
	*Node
	mu    sync.Mutex
	carry func(piece []byte) ([]byte, bool) // false ends the circuit
	to    *peer.ID                          // whom it connects with, in place of whom was asked for
	mute  bool                              // never answers who asks for a circuit
	slow  time.Duration                     // before it answers
	asked chan struct{}                     // told when one is asked for
	until time.Time                         // when its places end, as it says; zero: in an hour
	told  []multiaddr.Multiaddr             // where it says that its places are reached
	limit *pbv2.Limit                       // that it claims
}

func newCrook(t testing.TB) *crook {
	c := &crook{Node: node(t, Config{}), asked: make(chan struct{}, 8)}
	c.handle(string(proto.ProtoIDv2Hop), func(s network.Stream, _ canon.PublicKey) { c.hop(s) })
	return c
}

func (c *crook) hop(s network.Stream) {
	var m pbv2.HopMessage
	if util.NewDelimitedReader(s, 4096).ReadMsg(&m) != nil {
		s.Reset()
		return
	}
	answer := &pbv2.HopMessage{Type: pbv2.HopMessage_STATUS.Enum(), Status: pbv2.Status_OK.Enum()}
	if m.GetType() == pbv2.HopMessage_RESERVE {
		until := uint64(time.Now().Add(time.Hour).Unix())
		if !c.until.IsZero() {
			until = uint64(c.until.Unix())
		}
		answer.Reservation, answer.Limit = &pbv2.Reservation{Expire: &until}, c.limit
		for _, a := range c.told {
			answer.Reservation.Addrs = append(answer.Reservation.Addrs, a.Bytes())
		}
		_ = util.NewDelimitedWriter(s).WriteMsg(answer)
		s.Close()
		return
	}
	c.asked <- struct{}{}
	answer.Limit = c.limit
	if c.mute {
		return // the stream stays open
	}
	time.Sleep(c.slow)
	to, err := util.PeerToPeerInfoV2(m.GetPeer())
	if err != nil {
		s.Reset()
		return
	}
	if c.to != nil {
		to.ID = *c.to
	}
	far, err := c.stop(to.ID, s.Conn().RemotePeer())
	if err != nil || util.NewDelimitedWriter(s).WriteMsg(answer) != nil {
		s.Reset()
		return
	}
	go c.pass(s, far)
	c.pass(far, s)
}

func (c *crook) stop(to, from peer.ID) (network.Stream, error) {
	far, err := c.host.NewStream(network.WithNoDial(context.Background(), "relay"), to, proto.ProtoIDv2Stop)
	if err != nil {
		return nil, err
	}
	m := &pbv2.StopMessage{Type: pbv2.StopMessage_CONNECT.Enum(), Limit: c.limit, Peer: util.PeerInfoToPeerV2(peer.AddrInfo{ID: from})}
	if err := util.NewDelimitedWriter(far).WriteMsg(m); err != nil {
		return nil, err
	}
	m.Reset()
	return far, util.NewDelimitedReader(far, 4096).ReadMsg(m)
}

func (c *crook) pass(to, from network.Stream) {
	defer to.Reset()
	defer from.Reset()
	piece := make([]byte, 4096)
	for {
		k, err := from.Read(piece)
		if err != nil {
			return
		}
		c.mu.Lock()
		out, ok := c.carry(piece[:k])
		c.mu.Unlock()
		if _, err := to.Write(out); err != nil || !ok {
			return
		}
	}
}

// A relay sees ciphertext, and what it alters never arrives as something else.
func TestRelayIsNotTrusted(t *testing.T) {
	c := newCrook(t)
	var seen bytes.Buffer
	alter := false
	c.carry = func(piece []byte) ([]byte, bool) {
		seen.Write(piece)
		if alter {
			piece[len(piece)-1] ^= 1
		}
		return piece, true
	}
	n, client := behind(t, Config{}, c.Node), node(t, Config{})
	n.Handle(echo, serveEcho)
	s := dialAt(t, client, circuitsTo(n))
	secret := strings.Repeat("the prompt of a person ", 20)
	if err := echoes(s, secret); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	if seen.Len() < 2*len(secret) {
		t.Errorf("the relay carried %d bytes", seen.Len())
	}
	key := n.Key()
	for _, plain := range []string{secret[:23], echo, "/yamux/", string(key[:])} {
		if bytes.Contains(seen.Bytes(), []byte(plain)) {
			t.Errorf("the relay reads %q", plain)
		}
	}
	alter = true
	c.mu.Unlock()
	s.SetFrameTimeout(10 * time.Second)
	var back note
	if err := errors.Join(s.Send(note{secret}), s.Receive(&back)); err == nil {
		t.Errorf("altered bytes arrived as %q", back.Text)
	}
	// Whom it leads to instead is found out.
	c.mu.Lock()
	alter = false
	c.mu.Unlock()
	other := behind(t, Config{}, c.Node)
	other.Handle(echo, func(context.Context, *Stream) { t.Error("somebody else was asked") })
	id, err := peerOf(other.Key())
	if err != nil {
		t.Fatal(err)
	}
	c.to = &id
	if s, err := node(t, Config{}).Dial(t.Context(), circuitsTo(n), echo); err == nil {
		t.Errorf("the relay led to %s in place of %s", PeerID(s.Peer()), PeerID(n.Key()))
	}
}

// What a relay says of its places counts for nothing that the node can see itself: not
// what it carries and for how long, not where it is reached, and a time that is very
// soon or never only within bounds.
func TestRelayIsNotBelieved(t *testing.T) {
	other := node(t, Config{})
	_, elsewhere, err := parseAddrs(other.Addrs(), zeroKey)
	if err != nil {
		t.Fatal(err)
	}
	second, one := uint32(1), uint64(1)
	for name, lies := range map[string]*crook{
		"that it carries a byte, for a second": {limit: &pbv2.Limit{Duration: &second, Data: &one}},
		"that it is at another's address":      {told: elsewhere},
		"that its places never end":            {until: time.Unix(1<<40, 0)},
	} {
		c := newCrook(t)
		c.limit, c.told, c.until = lies.limit, lies.told, lies.until
		c.carry = func(piece []byte) ([]byte, bool) { return piece, true }
		n := behind(t, Config{}, c.Node)
		n.Handle(echo, serveEcho)
		if want := []string{c.Addrs()[0] + "/p2p-circuit/p2p/" + PeerID(n.Key())}; !slices.Equal(circuitsTo(n), want) {
			t.Errorf("%s: it is reached at %v, not %v", name, circuitsTo(n), want)
			continue
		}
		s := dialAt(t, node(t, Config{}), circuitsTo(n))
		if err := errors.Join(echoes(s, "halo"), echoes(s, strings.Repeat("x", 1<<16))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, renew, err := n.takePlace(n.places.all[0]); err != nil || renew > renewAfter {
			t.Errorf("%s: the place is renewed after %v, %v", name, renew, err)
		}
	}
	now := time.Now()
	for lasts, want := range map[time.Duration]time.Duration{-time.Hour: firstRetry, 0: firstRetry, time.Second: firstRetry,
		time.Minute: 30 * time.Second, time.Hour: renewAfter, 1<<63 - 1: renewAfter} {
		if got := renewal(now.Add(lasts), now); got != want {
			t.Errorf("a place that lasts %s is renewed after %s", lasts, got)
		}
	}
}

// A relay that lets nothing through any more, though it is there, is left for
// another.
func TestStallingRelayIsLeft(t *testing.T) {
	c, r := newCrook(t), relaying(t, Config{})
	stall := false
	c.carry = func(piece []byte) ([]byte, bool) {
		if stall {
			return nil, true
		}
		return piece, true
	}
	n, client := behind(t, Config{}, c.Node, r), node(t, Config{})
	n.Handle(echo, serveEcho)
	var crooked []string
	for _, a := range circuitsTo(n) {
		if strings.Contains(a, PeerID(c.Key())) {
			crooked = append(crooked, a)
		}
	}
	s := dialAt(t, client, crooked)
	if err := echoes(s, "halo"); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	stall = true
	c.mu.Unlock()
	eventually(t, "the circuit is given up", s.Cut)
	if err := echoes(dialAt(t, client, circuitsTo(n)), "halo again"); err != nil {
		t.Fatal(err)
	}
}

// A relay that ends each circuit early, as if its limit were used up, is not the way
// that is tried first again while there is another; alone it is taken at once.
func TestRelayThatCutsComesLast(t *testing.T) {
	c, honest := newCrook(t), newCrook(t)
	honest.slow = cutDelay / 4 // the other would win, though libp2p dials it 250 ms later
	honest.carry = func(piece []byte) ([]byte, bool) { return piece, true }
	left := 0 // pieces that it still carries
	carries := func(pieces int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		left = pieces
	}
	c.carry = func(piece []byte) ([]byte, bool) {
		left--
		return piece, left > 0
	}
	n, client := behind(t, Config{}, c.Node, honest.Node), node(t, Config{})
	n.Handle(echo, serveEcho)
	var crooked []string
	for _, a := range circuitsTo(n) {
		if strings.Contains(a, PeerID(c.Key())) {
			crooked = append(crooked, a)
		}
	}
	ask := func(addrs []string) *Stream {
		t.Helper()
		s := dialAt(t, client, addrs)
		if err := echoes(s, "halo"); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for range 2 {
		carries(1000)
		s := ask(crooked)
		wait(t, c.asked)
		carries(1)
		if err := echoes(s, "halo"); err == nil || !s.Cut() {
			t.Fatalf("the circuit holds: %v", err)
		}
		eventually(t, "the connection ends", func() bool { return len(client.Peers()) <= 1 })
	}
	_, alone, err := parseAddrs(crooked, zeroKey)
	if err != nil {
		t.Fatal(err)
	}
	if first := client.cutters.rank(alone)[0]; first.Delay != 0 {
		t.Errorf("where there is no other, it waits for %s", first.Delay)
	}
	carries(1000)
	if _, by, _ := splitCircuit(ask(circuitsTo(n)).raw.Conn().RemoteMultiaddr()); by.String() != PeerID(honest.Key()) {
		t.Error("the relay that cuts is taken while another works")
	}
}

// A hole that is being punched holds up nobody who dials the peer again, however
// often the connection breaks.
func TestHoleIsGivenUpWithItsConnection(t *testing.T) {
	r := relaying(t, Config{})
	n, client := behind(t, Config{}, r), node(t, Config{HandshakeTimeout: time.Hour})
	n.Handle(echo, serveEcho)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a router that swallows all
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, at, err := parseAddr("/ip4/127.0.0.1/tcp/" + strconv.Itoa(silent.Addr().(*net.TCPAddr).Port))
	if err != nil {
		t.Fatal(err)
	}
	to := peer.AddrInfo{ID: n.swarm.LocalPeer(), Addrs: []multiaddr.Multiaddr{at}}
	dialAt(t, client, circuitsTo(n))
	punched := make(chan error, 1)
	go func() { punched <- client.host.Connect(network.WithForceDirectDial(t.Context(), "hole"), to) }()
	reached, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer reached.Close()
	for range 3 {
		for _, c := range client.swarm.ConnsToPeer(to.ID) {
			c.Close()
		}
		eventually(t, "it is dialed again", func() bool {
			s, err := client.Dial(t.Context(), circuitsTo(n), echo)
			return err == nil && echoes(s, "halo") == nil
		})
	}
	if err := wait(t, punched); err == nil {
		t.Error("a hole to nobody was punched")
	}
}

// A relay that says nothing costs no more than another that works: both are tried.
func TestMuteRelayHoldsUpNobody(t *testing.T) {
	c, r := newCrook(t), relaying(t, Config{})
	c.mute = true
	// The client shall be at the mute one when it hears of the other.
	n, client := behind(t, Config{}, c.Node, r), node(t, Config{HandshakeTimeout: time.Minute})
	n.Handle(echo, serveEcho)
	ways := circuitsTo(n)
	if len(ways) != 2 {
		t.Fatal(ways)
	}
	_, targets, err := parseAddrs(ways, zeroKey)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peerOf(n.Key())
	if err != nil {
		t.Fatal(err)
	}
	transport := client.swarm.TransportForDialing(targets[0])
	stuck := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		_, err := transport.Dial(ctx, targets[0], id)
		stuck <- err
	}()
	wait(t, c.asked)
	conn, err := transport.Dial(ctx, targets[1], id)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	select {
	case err := <-stuck:
		t.Fatalf("the mute relay was given up first: %v", err)
	default:
	}
}

// A peer that has moved opens another connection, and the old one is dead.
func TestFormerConnectionsAreClosed(t *testing.T) {
	server := node(t, Config{})
	server.Handle(echo, serveEcho)
	key := newKey(t)
	var peers []*Node
	for range 2 {
		n, err := Open(Config{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		peers = append(peers, n)
	}
	dead, fresh := peers[0], peers[1]
	dial(t, dead, server)
	dead.swarm.SetStreamHandler(func(network.Stream) {}) // no sign of life
	s := dial(t, fresh, server)
	id := fresh.swarm.LocalPeer()
	eventually(t, "the dead connection closes", func() bool { return len(server.swarm.ConnsToPeer(id)) == 1 })
	if err := echoes(s, "the other one stays"); err != nil {
		t.Fatal(err)
	}
}

// A connection over which nothing comes any more is given up within seconds, so
// that what waits for an answer can go another way.
func TestDeadConnectionsAreClosed(t *testing.T) {
	server, alive, client := node(t, Config{}), node(t, Config{}), node(t, Config{})
	for _, n := range []*Node{server, alive} {
		n.Handle(echo, serveEcho)
	}
	s, other := dial(t, client, server), dial(t, client, alive)
	server.swarm.SetStreamHandler(func(network.Stream) {})
	eventually(t, "the dead connection closes", s.Cut)
	if other.Cut() {
		t.Error("so does one whose peer is alive")
	}
}

// Connections from an address that this machine has no more are closed at once.
func TestConnectionsOfAFormerAddress(t *testing.T) {
	server, client := node(t, Config{}), node(t, Config{})
	server.Handle(echo, serveEcho)
	s := dial(t, client, server)
	c := s.raw.Conn()
	client.lookAround()
	if client.gone(c) {
		t.Error("the present address is taken for a former one")
	}
	client.outside.mu.Lock()
	ip, _ := ipOf(c.LocalMultiaddr())
	delete(client.outside.ips, ip)
	client.outside.mu.Unlock()
	if !client.gone(c) {
		t.Error("a former address is taken for a present one")
	}
	if !client.lookAround() {
		t.Error("the change is not seen")
	}
}

// Where a node is seen, only peers that a person named are believed.
func TestOnlyNamedPeersAreBelieved(t *testing.T) {
	named, stranger := node(t, Config{}), node(t, Config{})
	n := node(t, Config{Listen: []string{"/ip4/0.0.0.0/tcp/0"}, Named: named.Addrs()})
	for _, p := range []*Node{stranger, named} {
		p.Handle(echo, serveEcho)
		s := dial(t, n, p)
		n.probe(s.raw.Conn(), time.Minute)
		if got := len(n.seenAt()); (got > 0) != (p == named) {
			t.Errorf("after %d peers: seen at %v", got, n.seenAt())
		}
	}
	port := func(a string) string { _, p, _ := strings.Cut(a, "/tcp/"); return p }
	if at := n.seenAt()[0].String(); port(at) != port(n.Listening()[0]) {
		t.Errorf("seen at %s and listening at %s: no hole leads there", at, n.Listening()[0])
	}
	if _, err := Open(Config{Key: newKey(t), Listen: []string{"/ip4/0.0.0.0/tcp/" + port(n.Listening()[0])}}); err == nil {
		t.Error("two nodes share a port")
	}
}

func TestCloseWithRelaysLeavesNothing(t *testing.T) {
	before, files := goleak.IgnoreCurrent(), openFiles(t)
	r, err := Open(Config{Key: newKey(t), Relay: DefaultRelay})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Open(Config{Key: newKey(t), Listen: []string{"/ip4/0.0.0.0/tcp/0"}, Relays: r.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	client, err := Open(Config{Key: newKey(t), Listen: []string{"/ip4/0.0.0.0/tcp/0"}, Named: r.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	n.Handle(echo, serveEcho)
	if err := n.Placed(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := client.Dial(t.Context(), circuitsTo(n), echo)
	if err != nil {
		t.Fatal(err)
	}
	if err := echoes(s, "halo"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(client.Close(), n.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Receive(&note{}); err == nil || err == io.EOF {
		t.Errorf("a stream outlived its node: %v", err)
	}
	allEnd(t, before)
	eventually(t, "all descriptors close", func() bool { return openFiles(t) <= files })
}
