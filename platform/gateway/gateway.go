package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"daulat/platform/gateway/openai"
)

// Config is what a gateway needs. Zero limits take the defaults stated.
type Config struct {
	Backend Backend // nil to answer nothing and serve what Handle adds
	Ledger  Ledger
	Tokens  []Token
	Hosts   []string // host names served besides this machine's loopback ones, without port

	Running       int           // answers at a time (4)
	Waiting       int           // requests that wait for their turn (32)
	Connections   int           // open connections, for Serve (256)
	AnswerTimeout time.Duration // for waiting and answering together (10 minutes)
	WriteTimeout  time.Duration // for one write to a client, and up to a second more (30 seconds)

	Log *slog.Logger     // slog.Default
	Now func() time.Time // time.Now
}

// Gateway serves the API. It is safe for concurrent use.
type Gateway struct {
	Config
	mu         sync.RWMutex // guards accounts
	accounts   []*account
	attendance attendance
	queue      queue
	mux        *http.ServeMux
}

// New checks c and loads what the tokens already spent.
func New(c Config) (*Gateway, error) {
	if c.Ledger == nil || len(c.Tokens) == 0 {
		return nil, errors.New("the gateway needs a ledger and at least one token")
	}
	if min(c.Running, c.Waiting, c.Connections) < 0 || min(c.AnswerTimeout, c.WriteTimeout) < 0 {
		return nil, errors.New("a limit of the gateway is negative")
	}
	c.fillIn()
	g := &Gateway{Config: c, queue: newQueue(c.Running, c.Waiting), mux: http.NewServeMux()}
	for _, t := range c.Tokens {
		if err := g.Add(t); err != nil {
			return nil, err
		}
	}
	g.Tokens = nil // the secrets are not needed again
	g.route()
	return g, nil
}

func (c *Config) fillIn() {
	c.Running = orElse(c.Running, 4)
	c.Waiting = orElse(c.Waiting, 32)
	c.Connections = orElse(c.Connections, 256)
	c.AnswerTimeout = orElse(c.AnswerTimeout, 10*time.Minute)
	c.WriteTimeout = orElse(c.WriteTimeout, 30*time.Second)
	c.Hosts = slices.Clone(c.Hosts)
	for i, host := range c.Hosts {
		c.Hosts[i] = strings.ToLower(host)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func orElse[T int | time.Duration](v, absent T) T {
	if v == 0 {
		return absent
	}
	return v
}

func (g *Gateway) route() {
	if g.Backend != nil {
		g.mux.Handle("POST /v1/chat/completions", g.Guard(g.Attend(g.answers(openai.DecodeChat))))
		g.mux.Handle("POST /v1/completions", g.Guard(g.Attend(g.answers(openai.DecodeCompletion))))
		g.mux.Handle("GET /v1/models", g.Guard(http.HandlerFunc(g.models)))
		g.mux.Handle("GET /v1/models/{name...}", g.Guard(http.HandlerFunc(g.model)))
	}
	g.mux.Handle("/v1/", g.Guard(http.HandlerFunc(unknown)))
	g.mux.Handle("GET /healthz", g.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})))
}

// Handle adds a handler, such as the page, behind Local. It is called before the
// gateway serves; a handler that needs a token wraps itself in Guard.
func (g *Gateway) Handle(pattern string, h http.Handler) { g.mux.Handle(pattern, g.Local(h)) }

// Handler is everything that the gateway serves.
func (g *Gateway) Handler() http.Handler { return g.mux }

// Server is an HTTP server for Handler with its limits on time and size.
func (g *Gateway) Server() *http.Server {
	return &http.Server{
		Handler:           g.mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      g.WriteTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(g.Log.Handler(), slog.LevelDebug),
	}
}

// Serve serves on l until ctx ends, which cancels the answers in progress and
// closes l. It returns nil then, with the exact spend of each token on record.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	err := g.serve(ctx, l)
	for _, a := range g.all() {
		err = errors.Join(err, a.exact())
	}
	return err
}

func (g *Gateway) serve(ctx context.Context, l net.Listener) error {
	server := g.Server()
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // what did not end in time is cut off
		}
	})
	err := server.Serve(bound(l, g.Connections))
	if stop() {
		return fmt.Errorf("serve the gateway: %w", err)
	}
	<-stopped
	return nil
}

// boundedListener leaves connections above the bound waiting in the system.
type boundedListener struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func bound(l net.Listener, connections int) *boundedListener {
	return &boundedListener{Listener: l, places: make(chan struct{}, connections), closed: make(chan struct{})}
}

// Close ends an Accept that waits for a place, too: a server that shuts down
// waits for it before it closes the connections that hold the places.
func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &boundedConn{Conn: conn, leave: func() { <-l.places }}, nil
}

type boundedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

func (c *boundedConn) Close() error {
	defer c.once.Do(c.leave)
	return c.Conn.Close()
}
