package link

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

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

// allEnd waits for the goroutines that began since before. A count would be fooled by
// others that end meanwhile.
func allEnd(t testing.TB, before goleak.Option) {
	t.Helper()
	eventually(t, "all goroutines end", func() bool { return goleak.Find(before) == nil })
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
				s.SetFrameTimeout(500 * time.Millisecond) // a busy machine leaves gaps, too
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

func TestListenAddr(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:4748":       "/ip4/127.0.0.1/tcp/4748",
		"0.0.0.0:0":            "/ip4/0.0.0.0/tcp/0",
		"[::1]:1":              "/ip6/::1/tcp/1",
		"[::ffff:10.0.0.1]:53": "/ip4/10.0.0.1/tcp/53",
	} {
		if got, err := ListenAddr(text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "4748", ":4748", "localhost:4748", "127.0.0.1", "127.0.0.1:65536", "/ip4/127.0.0.1/tcp/1"} {
		if got, err := ListenAddr(text); err == nil {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
	n, err := Open(Config{Key: newKey(t), Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil || len(n.Addrs()) != 1 || n.Close() != nil {
		t.Errorf("listening as told: %v", err)
	}
}
