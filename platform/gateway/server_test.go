package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// serve runs g on a loopback socket and returns its address and how to stop it.
func serve(t *testing.T, g *Gateway) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, l) }()
	return l.Addr().String(), sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func dial(t *testing.T, addr, body string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", addr, secret, len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestClientThatLeavesCancels(t *testing.T) {
	before := goleak.IgnoreCurrent()
	ended := make(chan error, 1)
	b := &backend{answer: func(ctx context.Context, _ Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
		if err := errors.Join(begin(admission), piece("first")); err != nil {
			return Result{}, err
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return Result{Receipt: "s1-7", Price: 10}, ctx.Err()
	}}
	c := config(b)
	c.AnswerTimeout = 5 * time.Second // reached only if leaving goes unnoticed
	g := start(t, c)
	addr, stop := serve(t, g)
	defer stop()
	conn := dial(t, addr, streamed)
	scanner := bufio.NewScanner(conn)
	for scanner.Scan() && !strings.Contains(scanner.Text(), "first") {
	}
	conn.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the answer ended with %v", err)
	}
	stop()
	if got := c.Ledger.(*memory).spent("t"); got != 10 {
		t.Errorf("spent %d, want 10", got)
	}
	allEnd(t, before)
}

func TestClientThatDoesNotReadIsDropped(t *testing.T) {
	stopped := make(chan error, 1)
	b := &backend{answer: func(_ context.Context, _ Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
		err := begin(admission)
		for n := 0; n < 100 && err == nil; n++ { // 6 MiB, more than sockets hold
			err = piece(strings.Repeat("x", 64<<10))
		}
		stopped <- err
		return Result{}, err
	}}
	c := config(b)
	c.WriteTimeout = 20 * time.Millisecond
	addr, stop := serve(t, start(t, c))
	defer stop()
	conn := dial(t, addr, streamed)
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	select {
	case err := <-stopped:
		if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("the answer ended with %v, want the deadline of a write", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the answer waits for its client")
	}
}

func TestStoppingEndsAnswersAndConnections(t *testing.T) {
	before := goleak.IgnoreCurrent()
	h := newHeld()
	c := config(h.backend())
	c.Connections = 2
	c.AnswerTimeout = 4 * time.Second // reached only if the stop goes unnoticed
	addr, stop := serve(t, start(t, c))
	busy, idle, queued := dial(t, addr, question), dial(t, addr, question), dial(t, addr, question)
	<-h.arrived
	<-h.arrived
	stop() // with both places taken and a third connection in the backlog
	reply, err := io.ReadAll(busy)
	if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.1 503") {
		t.Errorf("the reply at the stop: %q, %v", reply, err)
	}
	if len(h.arrived) != 0 {
		t.Error("a third connection was served")
	}
	for _, conn := range []net.Conn{busy, idle, queued} {
		conn.Close()
	}
	allEnd(t, before)
}

func TestConnectionsFreeTheirPlaces(t *testing.T) {
	c := config(says("x"))
	c.Connections = 1
	addr, stop := serve(t, start(t, c))
	defer stop()
	for range 3 {
		conn := dial(t, addr, question)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second)) // reached only if no place came free
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q %v", line, err)
		}
		conn.Close()
	}
}

// allEnd waits for the goroutines that began since before.
func allEnd(t *testing.T, before goleak.Option) {
	t.Helper()
	var err error
	for range 10 { // of half a second each
		if err = goleak.Find(before); err == nil {
			return
		}
	}
	t.Error(err)
}
