package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener of connections in memory, so that the clock can be virtual.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// never is later than anything ends that the gateway bounds.
const never = 3 * time.Hour

// inMemory serves g and returns how to connect. The clock is the bubble's.
func inMemory(t *testing.T, g *Gateway) (connect func() net.Conn) {
	t.Helper()
	listener := make(pipes, 8)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- g.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func() net.Conn {
		client, conn := net.Pipe()
		_ = client.SetDeadline(time.Now().Add(never)) // a pipe has deadlines
		t.Cleanup(func() { client.Close() })
		listener <- conn
		return client
	}
}

// overPipe sends one request through the real server and reads all of the reply.
func overPipe(t *testing.T, g *Gateway, request string) string {
	t.Helper()
	client := inMemory(t, g)()
	go func() { _, _ = io.WriteString(client, request) }() // a server that hangs up ends it
	reply, err := io.ReadAll(client)
	if err != nil {
		t.Errorf("the connection stays open: %v", err)
	}
	return string(reply)
}

// head announces a body of the length of body.
func head(body string) string {
	return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer " + secret + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
}

// TestSlowAnswersOutliveTheServersDeadlines: minutes between two pieces are the
// model's affair, although the server allows 30 seconds for a read or a write.
func TestSlowAnswersOutliveTheServersDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{answer: func(ctx context.Context, _ Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
			for _, text := range []string{"slow ", "but ", "sure"} {
				select {
				case <-time.After(2 * time.Minute):
				case <-ctx.Done():
					return Result{}, ctx.Err()
				}
				if text == "slow " {
					if err := begin(admission); err != nil {
						return Result{}, err
					}
				}
				if err := piece(text); err != nil {
					return Result{}, err
				}
			}
			return Result{Receipt: "s1-7", Finish: "stop"}, nil
		}}
		reply := overPipe(t, start(t, config(b)), head(streamed)+streamed)
		if !strings.Contains(reply, `"sure"`) || !strings.Contains(reply, "[DONE]") {
			t.Errorf("the reply was cut: %s", reply)
		}
	})
}

// TestStopWithAllPlacesIdle: connections that wait for their client's next
// request hold up no stop, even if no further one could be accepted.
func TestStopWithAllPlacesIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(says("x"))
		c.Connections = 1
		listener := make(pipes, 1)
		client, conn := net.Pipe()
		defer client.Close()
		listener <- conn
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- start(t, c).Serve(ctx, listener) }()
		go func() { _, _ = io.WriteString(client, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") }()
		if line, err := bufio.NewReader(client).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q %v", line, err)
		}
		synctest.Wait()
		before := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(before) > time.Second {
			t.Errorf("stopped with %v after %v", err, time.Since(before))
		}
	})
}

func TestEndlessAnswersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{answer: func(ctx context.Context, _ Prompt, begin func(Admission) error, _ func(string, ...AnswerToken) error) (Result, error) {
			err := begin(admission)
			<-ctx.Done()
			return Result{}, errors.Join(err, ctx.Err())
		}}
		before := time.Now()
		reply := overPipe(t, start(t, config(b)), head(question)+question)
		if !strings.HasPrefix(reply, "HTTP/1.1 504") || time.Since(before) != 10*time.Minute {
			t.Errorf("after %v: %s", time.Since(before), reply)
		}
	})
}

func TestSlowRequestsAreDropped(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		within  time.Duration
	}{
		"headers": {"POST /v1/chat/completions HTTP/1.1\r\nHost: loc", 5 * time.Second},
		"body":    {head(question) + "{", 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			before := time.Now()
			reply := overPipe(t, start(t, config(fails(errors.New("the backend was reached")))), c.request)
			// A server that has refused a body waits another half second for it.
			if strings.Contains(reply, "HTTP/1.1 200") || strings.Contains(reply, "502") || time.Since(before) > c.within+time.Second {
				t.Errorf("%s: after %v: %s", name, time.Since(before), reply)
			}
		})
	}
}

// deadlined is a reply that remembers its deadline.
type deadlined struct {
	http.ResponseWriter
	deadline time.Time
	renewals int
}

func (d *deadlined) Write(b []byte) (int, error) { return len(b), nil }
func (d *deadlined) SetWriteDeadline(t time.Time) error {
	d.deadline = t
	d.renewals++
	return nil
}

// TestEveryWriteHasItsTime: between the timeout and a second more, however
// quickly the writes come.
func TestEveryWriteHasItsTime(t *testing.T) {
	for _, timeout := range []time.Duration{20 * time.Millisecond, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			d := &deadlined{}
			w := &deadlineWriter{ResponseWriter: d, control: http.NewResponseController(d), timeout: timeout}
			for i := range 200 {
				if _, err := w.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if left := time.Until(d.deadline); left < timeout || left > timeout+time.Second {
					t.Fatalf("write %d has %v of %v", i, left, timeout)
				}
				time.Sleep(20 * time.Millisecond)
			}
			if timeout > time.Second && d.renewals > 5 {
				t.Errorf("the deadline was set %d times in 4 seconds", d.renewals)
			}
		})
	}
}

func TestIdleConnectionsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, start(t, config(says("x"))))()
		go func() {
			_, _ = io.WriteString(client, strings.ReplaceAll(head(question), "Connection: close\r\n", "")+question)
		}()
		before := time.Now()
		reply, err := io.ReadAll(client)
		if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.1 200") {
			t.Errorf("%v: %s", err, reply)
		}
		if idle := time.Since(before); idle > 2*time.Minute+time.Second {
			t.Errorf("the connection was kept for %v", idle)
		}
	})
}

// TestUnreadAnswersEnd: a client that asks and never reads stops its answer
// within the time for one write.
func TestUnreadAnswersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := make(chan error, 1)
		b := &backend{answer: func(_ context.Context, _ Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
			err := begin(admission)
			for n := 0; n < 100 && err == nil; n++ {
				err = piece(strings.Repeat("x", 16<<10))
			}
			stopped <- err
			return Result{}, err
		}}
		client := inMemory(t, start(t, config(b)))()
		before := time.Now()
		if _, err := io.WriteString(client, head(streamed)+streamed); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-stopped:
			if err == nil || time.Since(before) > 31*time.Second {
				t.Errorf("after %v: %v", time.Since(before), err)
			}
		case <-time.After(never / 2):
			t.Error("the answer waits for its client without end")
		}
	})
}

// TestConnectionsAreBounded: those above the bound wait outside.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld()
		c := config(h.backend())
		c.Connections = 2
		connect := inMemory(t, start(t, c))
		for range 3 {
			client := connect()
			go func() {
				_, _ = io.WriteString(client, head(question)+question)
				_, _ = io.Copy(io.Discard, client)
			}()
		}
		synctest.Wait()
		if len(h.arrived) != 2 {
			t.Errorf("%d connections are served at once, and 2 are allowed", len(h.arrived))
		}
		close(h.release)
		synctest.Wait()
		if len(h.arrived) != 3 {
			t.Errorf("%d of 3 connections were served in the end", len(h.arrived))
		}
	})
}

// TestStopsWithEveryPlaceTaken: connections that stay open, idle or at a bound,
// do not hold up the end.
func TestStopsWithEveryPlaceTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(says("x"))
		c.Connections = 1
		listener := make(pipes, 2)
		client, conn := net.Pipe()
		listener <- conn
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- start(t, c).Serve(ctx, listener) }()
		go func() {
			_, _ = io.WriteString(client, strings.Replace(head(question), "close", "keep-alive", 1)+question)
		}()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		synctest.Wait() // the answer is given, and the connection kept
		before := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(before) > 6*time.Second {
			t.Errorf("stopped after %v: %v", time.Since(before), err)
		}
		client.Close()
	})
}
