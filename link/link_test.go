package link

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"daulat/core/canon"
)

const echo = "/daulat/echo/1"

type note struct {
	Text string `cbor:"text"`
}

func newKey(t testing.TB) canon.PrivateKey {
	t.Helper()
	key, err := canon.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func node(t testing.TB, c Config) *Node {
	t.Helper()
	c.Key = newKey(t)
	n, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func dial(t testing.TB, from, to *Node) *Stream {
	t.Helper()
	s, err := from.Dial(t.Context(), to.Addrs(), echo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Reset)
	return s
}

// serveEcho answers every note with itself.
func serveEcho(_ context.Context, s *Stream) {
	for {
		var n note
		if s.Receive(&n) != nil || s.Send(n) != nil {
			return
		}
	}
}

// eventually waits for what happens on other goroutines.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(15 * time.Second)
	for !happened() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("never happened:", what)
		}
	}
}

// wait takes what another goroutine says, if it ever does.
func wait[T any](t testing.TB, said <-chan T) T {
	t.Helper()
	select {
	case v := <-said:
		return v
	case <-time.After(15 * time.Second):
		t.Fatal("the other side hangs")
		panic("unreachable")
	}
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestFramesGoBothWays(t *testing.T) {
	server, client := node(t, Config{}), node(t, Config{})
	peers := make(chan canon.PublicKey, 1)
	server.Handle(echo, func(ctx context.Context, s *Stream) { peers <- s.Peer(); serveEcho(ctx, s) })
	s := dial(t, client, server)
	for _, text := range []string{"", "halo", strings.Repeat("x", DefaultFrame-20)} {
		if err := s.Send(note{text}); err != nil {
			t.Fatal(err)
		}
		var back note
		if err := s.Receive(&back); err != nil || back.Text != text {
			t.Fatal(len(back.Text), err)
		}
	}
	if wait(t, peers) != client.Key() || s.Peer() != server.Key() {
		t.Fatal("the peers do not know each other")
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := s.Receive(&note{}); err != io.EOF {
		t.Fatalf("after the end: %v", err)
	}
}

func TestPeerIDText(t *testing.T) {
	key := newKey(t).Public()
	back, err := ParsePeerID(PeerID(key))
	if err != nil || back != key || !strings.HasPrefix(PeerID(key), "12D3KooW") {
		t.Fatal(PeerID(key), err)
	}
	for _, bad := range []string{"", "x", strings.Repeat("1", 600), "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"} {
		if _, err := ParsePeerID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestAnotherKeyIsRefused(t *testing.T) {
	server, client := node(t, Config{}), node(t, Config{})
	served := make(chan struct{}, 8)
	server.Handle(echo, func(context.Context, *Stream) { served <- struct{}{} })
	other := newKey(t).Public()
	bare, _, _ := strings.Cut(server.Addrs()[0], "/p2p/")
	forged := bare + "/p2p/" + PeerID(other)
	for name, try := range map[string]func() (*Stream, error){
		"address with another key": func() (*Stream, error) { return client.Dial(t.Context(), []string{forged}, echo) },
		"expected another key":     func() (*Stream, error) { return client.DialKey(t.Context(), other, []string{bare}, echo) },
		"address contradicts key":  func() (*Stream, error) { return client.DialKey(t.Context(), other, server.Addrs(), echo) },
		"addresses of two peers":   func() (*Stream, error) { return client.Dial(t.Context(), []string{server.Addrs()[0], forged}, echo) },
		"nobody's address":         func() (*Stream, error) { return client.Dial(t.Context(), []string{bare}, echo) },
		"no place":                 func() (*Stream, error) { return client.Dial(t.Context(), []string{"/p2p/" + PeerID(other)}, echo) },
		"no address":               func() (*Stream, error) { return client.Dial(t.Context(), nil, echo) },
		"too many addresses":       func() (*Stream, error) { return client.Dial(t.Context(), make([]string, maxAddrs+1), echo) },
		"not an address":           func() (*Stream, error) { return client.Dial(t.Context(), []string{"localhost:1"}, echo) },
		"another transport": func() (*Stream, error) {
			return client.Dial(t.Context(), []string{"/ip4/127.0.0.1/udp/9/quic-v1/p2p/" + PeerID(other)}, echo)
		},
		"itself":                     func() (*Stream, error) { return client.Dial(t.Context(), client.Addrs(), echo) },
		"a protocol that is unknown": func() (*Stream, error) { return client.Dial(t.Context(), server.Addrs(), "/daulat/none/1") },
	} {
		if s, err := try(); err == nil {
			t.Errorf("%s: reached %s", name, PeerID(s.Peer()))
		}
	}
	if len(served) > 0 {
		t.Fatal("a refused dial was served")
	}
	// The right key still works after all these failures, without /p2p too.
	s, err := client.DialKey(t.Context(), server.Key(), []string{bare}, echo)
	if err != nil {
		t.Fatal(err)
	}
	s.Reset()
}

// sendRaw dials and writes bytes that are no frame; it returns what the handler's
// Receive said.
func sendRaw(t *testing.T, raw []byte, timeout time.Duration) (error, *Stream) {
	t.Helper()
	server, client := node(t, Config{}), node(t, Config{})
	said := make(chan error, 1)
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) }) // runs before the nodes close
	server.Handle(echo, func(_ context.Context, s *Stream) {
		s.SetFrameTimeout(timeout)
		said <- s.Receive(&note{})
		<-hold // the reset must come from Receive, not from the handler's end
	})
	s := dial(t, client, server)
	s.SetFrameTimeout(5 * time.Second)
	if _, err := s.Write(raw); err != nil {
		t.Fatal(err)
	}
	return wait(t, said), s
}

func TestBadFramesResetTheStream(t *testing.T) {
	frame := func(body string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	for name, raw := range map[string][]byte{
		"too long":       binary.BigEndian.AppendUint32(nil, DefaultFrame+1),
		"as long as can": {0xff, 0xff, 0xff, 0xff},
		"empty":          frame(""),
		"not CBOR":       frame("\xff\xff"),
		"not canonical":  frame("\xa1\x64text\x78\x01a"),
		"trailing bytes": frame("\xa1\x64text\x61a\x00"),
		"unknown field":  frame("\xa1\x64nope\x61a"),
	} {
		t.Run(name, func(t *testing.T) {
			err, s := sendRaw(t, raw, 5*time.Second)
			if !errors.Is(err, ErrFrame) {
				t.Fatalf("received: %v", err)
			}
			if _, err := s.Read(make([]byte, 1)); err == nil || err == io.EOF || isTimeout(err) {
				t.Fatalf("the stream is not reset: %v", err)
			}
		})
	}
}

func TestSlowPeerIsCutOff(t *testing.T) {
	for name, raw := range map[string][]byte{"silent": {}, "half a length": {0, 0}, "half a body": {0, 0, 0, 9, 1}} {
		t.Run(name, func(t *testing.T) {
			err, s := sendRaw(t, raw, 20*time.Millisecond)
			if !isTimeout(err) {
				t.Fatalf("received: %v", err)
			}
			if _, err := s.Read(make([]byte, 1)); err == nil || err == io.EOF || isTimeout(err) {
				t.Fatalf("the stream is not reset: %v", err)
			}
		})
	}
}

// A peer that keeps sending a byte now and then never finishes the frame: the
// limit is on the whole, not on the gaps.
func TestSlowLorisIsCutOff(t *testing.T) {
	for name, receive := range map[string]func(*Stream) error{
		"frame": func(s *Stream) error { return s.Receive(&note{}) },
		"bytes": func(s *Stream) error { _, err := s.ReadFull(make([]byte, 1<<20)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			server, client := node(t, Config{}), node(t, Config{})
			said := make(chan error, 1)
			server.Handle(echo, func(_ context.Context, s *Stream) {
				s.SetFrameTimeout(100 * time.Millisecond)
				said <- receive(s)
			})
			s := dial(t, client, server)
			if _, err := s.Write([]byte{0, 0x0f, 0xff, 0xff}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the cut", func() bool { _, err := s.Write([]byte{0}); return err != nil })
			if err := wait(t, said); !isTimeout(err) {
				t.Fatalf("received: %v", err)
			}
		})
	}
}

func TestPeerThatDoesNotReadIsCutOff(t *testing.T) {
	server, client := node(t, Config{}), node(t, Config{})
	said := make(chan error, 1)
	server.Handle(echo, func(_ context.Context, s *Stream) {
		s.SetFrameTimeout(200 * time.Millisecond)
		_, err := s.Write(make([]byte, 4*maxWindow))
		said <- err
	})
	dial(t, client, server)
	if err := wait(t, said); !isTimeout(err) {
		t.Fatalf("sent: %v", err)
	}
}

func TestAnnouncedLengthCostsNoMemory(t *testing.T) {
	raw := append(binary.BigEndian.AppendUint32(nil, MaxFrame), "short"...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		if _, err := readFrame(strings.NewReader(string(raw)), MaxFrame); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > MaxFrame {
		t.Fatalf("100 announced frames cost %d bytes", spent)
	}
}

func TestTooLongFramesAreNotSent(t *testing.T) {
	server, client := node(t, Config{}), node(t, Config{})
	server.Handle(echo, serveEcho)
	s := dial(t, client, server)
	s.SetFrameLimit(100)
	if err := s.Send(note{strings.Repeat("x", 100)}); err == nil {
		t.Fatal("a frame over the limit was sent")
	}
	var back note
	if err := errors.Join(s.Send(note{"still fine"}), s.Receive(&back)); err != nil {
		t.Fatal(err)
	}
}

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
	if _, err := client.DialKey(t.Context(), newKey(t).Public(), []string{a.String()}, echo); err == nil {
		t.Fatal("connected to nobody")
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
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
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
	eventually(t, "all goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
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
	goroutines := runtime.NumGoroutine()
	for _, bad := range []string{"", "127.0.0.1:80", "/ip4/203.0.113.1/tcp/1", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		if n, err := Open(Config{Key: newKey(t), Listen: []string{bad}}); err == nil {
			t.Errorf("listens on %q at %v", bad, n.Addrs())
		}
	}
	eventually(t, "all goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// FuzzFrame: what is accepted is the one encoding of what was read, whole.
func FuzzFrame(f *testing.F) {
	body := canon.MustMarshal(note{"halo"})
	f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0, 0, 0, 1, 0xf6})
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 64
		r := strings.NewReader(string(in))
		got, err := readFrame(r, limit)
		if err != nil {
			return
		}
		if len(got) > limit || len(in)-r.Len() != lengthSize+len(got) {
			t.Fatalf("%d bytes taken of a frame of %d", len(in)-r.Len(), len(got))
		}
		var n note
		if decodeFrame(got, &n) == nil && string(canon.MustMarshal(n)) != string(got) {
			t.Fatalf("%x is accepted and is not canonical", got)
		}
	})
}
