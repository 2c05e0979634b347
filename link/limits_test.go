package link

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"go.uber.org/goleak"

	"daulat/core/canon"
)

func TestStreamsAreCounted(t *testing.T) {
	for name, c := range map[string]Config{"of a peer": {MaxStreamsPerPeer: 3}, "in total": {MaxStreams: 3}} {
		t.Run(name, func(t *testing.T) {
			server, client := node(t, c), node(t, Config{})
			server.Handle(echo, serveEcho)
			var open []*Stream
			for range 3 {
				open = append(open, dial(t, client, server))
			}
			if _, err := client.Dial(t.Context(), server.Addrs(), echo); err == nil {
				t.Fatal("a fourth stream was opened")
			}
			var back note
			if err := errors.Join(open[0].Send(note{"fine"}), open[0].Receive(&back)); err != nil {
				t.Fatalf("the others suffer: %v", err)
			}
			open[0].Reset()
			eventually(t, "room again", func() bool {
				_, err := client.Dial(t.Context(), server.Addrs(), echo)
				return err == nil
			})
		})
	}
}

func TestPeersAreCounted(t *testing.T) {
	server := node(t, Config{MaxPeers: 2})
	server.Handle(echo, serveEcho)
	first := node(t, Config{})
	s := dial(t, first, server)
	dial(t, node(t, Config{}), server)
	if _, err := node(t, Config{}).Dial(t.Context(), server.Addrs(), echo); err == nil {
		t.Fatal("a third peer was let in")
	}
	var back note
	if err := errors.Join(s.Send(note{"fine"}), s.Receive(&back)); err != nil {
		t.Fatalf("the others suffer: %v", err)
	}
	first.Close()
	eventually(t, "room again", func() bool { return len(server.Peers()) == 1 })
	dial(t, node(t, Config{}), server)
}

// rawConn connects without libp2p.
func rawConn(t *testing.T, n *Node) net.Conn {
	t.Helper()
	bare, _, _ := strings.Cut(n.Addrs()[0], "/p2p/")
	a, err := multiaddr.NewMultiaddr(bare)
	if err != nil {
		t.Fatal(err)
	}
	c, err := manet.Dial(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestHandshakesAreBounded(t *testing.T) {
	server := node(t, Config{HandshakeTimeout: 50 * time.Millisecond})
	server.Handle(echo, serveEcho)
	conn := rawConn(t, server)
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
		t.Fatal("a silent connection stays open")
	}
	garbage := rawConn(t, server)
	if _, err := garbage.Write([]byte(strings.Repeat("\xff", 4096))); err != nil {
		t.Fatal(err)
	}
	if err := garbage.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, garbage); isTimeout(err) {
		t.Fatal("a connection that sends garbage stays open")
	}
	// A stream on which no protocol is agreed.
	client := node(t, Config{})
	key, targets, err := parseAddrs(server.Addrs(), canon.PublicKey{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := client.connect(t.Context(), key, targets)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte{5}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, s); err == nil || isTimeout(err) {
		t.Fatalf("a stream without protocol stays open: %v", err)
	}
}

func TestFailedDialIsTriedAgainAtOnce(t *testing.T) {
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a, err := manet.FromNetAddr(free.Addr())
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	client, key := node(t, Config{}), newKey(t)
	for range 3 {
		if _, err := client.DialKey(t.Context(), key.Public(), []string{a.String()}, echo); err == nil {
			t.Fatal("connected to nobody")
		}
	}
	server, err := Open(Config{Key: key, Listen: []string{a.String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.Handle(echo, serveEcho)
	s, err := client.DialKey(t.Context(), key.Public(), []string{a.String()}, echo)
	if err != nil {
		t.Fatal(err)
	}
	s.Reset()
}

// TestDialsAtOnceFindAddresses has one dial read a peer's addresses while another
// says them anew.
func TestDialsAtOnceFindAddresses(t *testing.T) {
	client := node(t, Config{})
	id, err := peerOf(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	targets := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/1")}
	client.learn(id, []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/2")})
	client.learn(id, targets)
	if got := client.swarm.Peerstore().Addrs(id); len(got) != 1 || !got[0].Equal(targets[0]) {
		t.Fatalf("after a change of address: %v", got)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20_000 {
			client.learn(id, targets)
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
		}
		if len(client.swarm.Peerstore().Addrs(id)) == 0 {
			<-done
			t.Fatal("the addresses were away for a moment")
		}
	}
}

func TestDialIsBounded(t *testing.T) {
	mute, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close() // it never says a word
	a, err := manet.FromNetAddr(mute.Addr())
	if err != nil {
		t.Fatal(err)
	}
	client := node(t, Config{HandshakeTimeout: 50 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // far longer than the node's patience
	defer cancel()
	if _, err := client.DialKey(ctx, newKey(t).Public(), []string{a.String()}, echo); err == nil || ctx.Err() != nil {
		t.Fatalf("dialed a mute machine for long: %v", err)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	server, client := node(t, Config{IdleTimeout: 20 * time.Millisecond}), node(t, Config{})
	server.Handle(echo, serveEcho)
	s := dial(t, client, server)
	var back note
	for range 20 { // many idle timeouts, with a stream open
		tick := time.NewTimer(5 * time.Millisecond)
		<-tick.C
		if err := errors.Join(s.Send(note{"busy"}), s.Receive(&back)); err != nil {
			t.Fatalf("a connection in use was closed: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the idle connection closes", func() bool { return len(server.Peers()) == 0 })
	dial(t, client, server)
}

func TestCloseLeavesNothing(t *testing.T) {
	before, files := goleak.IgnoreCurrent(), openFiles(t)
	for range 3 {
		a, err := Open(Config{Key: newKey(t)})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Open(Config{Key: newKey(t)})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 4)
		a.Handle(echo, func(ctx context.Context, s *Stream) {
			s.SetFrameTimeout(time.Hour)
			err := s.Receive(&note{})
			<-ctx.Done()
			done <- err
		})
		for range 2 {
			if _, err := b.Dial(t.Context(), a.Addrs(), echo); err != nil {
				t.Fatal(err)
			}
		}
		conn := rawConn(t, a)
		conn.Close()
		if err := errors.Join(a.Close(), a.Close()); err != nil {
			t.Fatal(err)
		}
		for range 2 { // Close has waited for both
			select {
			case err := <-done:
				if err == nil || err == io.EOF {
					t.Fatalf("a stream outlived its node: %v", err)
				}
			default:
				t.Fatal("Close did not wait for a handler")
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Dial(t.Context(), a.Addrs(), echo); !errors.Is(err, ErrClosed) {
			t.Fatalf("dial after close: %v", err)
		}
	}
	allEnd(t, before)
	eventually(t, "all descriptors close", func() bool { return openFiles(t) <= files })
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) { // not on Linux
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestBadListenAddressIsOneError(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for _, bad := range []string{"", "127.0.0.1:80", "/ip4/203.0.113.1/tcp/1", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		if n, err := Open(Config{Key: newKey(t), Listen: []string{bad}}); err == nil {
			t.Errorf("listens on %q at %v", bad, n.Addrs())
		}
	}
	allEnd(t, before)
}
