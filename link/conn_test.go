package link

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

const web = "/daulat/web/1"

// serveWeb runs an HTTP server over n's streams that answers with the request's body.
func serveWeb(t *testing.T, n *Node, limit int) net.Listener {
	t.Helper()
	l := n.Listen(web, limit)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})}
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l
}

func webClient(t *testing.T, from, to *Node) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return from.DialConn(ctx, to.Addrs(), web)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestHTTPOverStreams(t *testing.T) {
	server, from := node(t, Config{}), node(t, Config{})
	l := serveWeb(t, server, 4)
	c := webClient(t, from, server)
	for _, size := range []int{0, 1, 1 << 20} {
		body := strings.Repeat("x", size)
		answer, err := c.Post("http://localhost/", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || string(got) != body {
			t.Fatalf("%d bytes came back as %d: %v", size, len(got), err)
		}
	}
	if want := PeerID(server.Key()) + web; l.Addr().String() != want {
		t.Errorf("address %s, not %s", l.Addr(), want)
	}
}

// greet says one byte to each connection and keeps it until the peer leaves.
func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = c.Write([]byte("k"))
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}()
	}
}

func greeted(t *testing.T, from, to *Node) (net.Conn, error) {
	t.Helper()
	c, err := from.DialConn(t.Context(), to.Addrs(), web)
	if err != nil {
		return nil, err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return c, err
}

func TestConnectionsBeyondTheLimitAreReset(t *testing.T) {
	server, from := node(t, Config{}), node(t, Config{})
	l := server.Listen(web, 1)
	go greet(l)
	first, err := greeted(t, from, server)
	if err != nil {
		t.Fatal(err)
	}
	if want := PeerID(server.Key()) + web; first.RemoteAddr().String() != want {
		t.Errorf("the server is %s, not %s", first.RemoteAddr(), want)
	}
	if _, err := greeted(t, from, server); err == nil || err == io.EOF {
		t.Fatalf("one connection too many: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err == nil {
		t.Error("closed twice without a word")
	}
	for again, err := greeted(t, from, server); ; again, err = greeted(t, from, server) { // until the server noticed
		if err == nil {
			_ = again.Close()
			break
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
}
