package validator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	rpcserver "github.com/cometbft/cometbft/rpc/jsonrpc/server"
	cmtlog "github.com/cosmos/cosmos-sdk/server/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// Limits of what servers take, each per server.
const (
	maxConnections = 256
	maxHeader      = 64 << 10         // bytes
	maxRPCBody     = 4 << 20          // bytes: ten transactions at most, as base64
	maxRPCBatch    = 10               // calls
	maxRESTBody    = 1 << 20          // bytes: one transaction, as base64
	maxReceive     = 4 << 20          // bytes of a gRPC request
	maxSend        = 8 << 20          // bytes of a gRPC answer
	maxStreams     = 64               // gRPC calls at once on one connection
	headerTime     = 3 * time.Second  // for the header of a request, or the greeting of a gRPC client
	readTime       = 10 * time.Second // for a whole request
	writeTime      = 30 * time.Second // for request and answer
	idleTime       = time.Minute      // between two requests
	connectionAge  = 10 * time.Minute // then a gRPC client connects anew
	memoryPipe     = 64 << 10         // bytes between REST and gRPC
)

// servers answer others. REST translates into calls of the gRPC server, over a
// pipe in memory, so both have the same answers and limits.
type servers struct {
	rpc, grpc, rest string // host:port
	hosts           []string
	log             *slog.Logger
	calling         http.Handler // of RPC
	calls           *grpc.Server
	conn            *grpc.ClientConn // of REST

	mu     sync.Mutex
	closed bool
	http   []*http.Server
	busy   sync.WaitGroup // accept loops, and requests that enter let in
}

// start serves the node of v, which runs.
func (s *servers) start(c Config, v *Validator, l logger) error {
	s.log, s.hosts = l.Logger, c.Hosts
	if err := s.startRPC(c, v, cmtlog.CometLoggerWrapper{Logger: l.With("module", "rpc-server")}); err != nil {
		return fmt.Errorf("serve RPC: %w", err)
	}
	pipe := bufconn.Listen(memoryPipe)
	if err := s.startGRPC(c, v, pipe); err != nil {
		return fmt.Errorf("serve gRPC: %w", errors.Join(err, pipe.Close()))
	}
	if err := s.startREST(c, v, pipe); err != nil {
		return fmt.Errorf("serve REST: %w", err)
	}
	return nil
}

// startRPC serves CometBFT's calls, without those it calls unsafe and without
// subscriptions, which need a WebSocket.
func (s *servers) startRPC(c Config, v *Validator, l cmtlog.CometLoggerWrapper) error {
	env, err := v.node.ConfigureRPC()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	rpcserver.RegisterRPCFuncs(mux, env.GetRoutes(), l)
	batches := &rpcserver.Config{MaxBodyBytes: maxRPCBody, MaxRequestBatchSize: maxRPCBatch}
	s.calling = bodies(rpcserver.PreChecksHandler(rpcserver.RecoverAndLogHandler(mux, l), batches), maxRPCBody)
	listener, err := listen(c.RPC, c.Home, "rpc-address")
	if err != nil {
		return err
	}
	s.rpc = listener.Addr().String()
	s.serveHTTP(listener, s.calling)
	return nil
}

func (s *servers) startGRPC(c Config, v *Validator, pipe net.Listener) error {
	listener, err := listen(c.GRPC, c.Home, "grpc-address")
	if err != nil {
		return err
	}
	s.grpc = listener.Addr().String()
	s.calls = grpc.NewServer(
		grpc.ForceServerCodec(v.app.GRPCCodec()),
		grpc.MaxRecvMsgSize(maxReceive), grpc.MaxSendMsgSize(maxSend),
		grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(maxHeader),
		grpc.ConnectionTimeout(headerTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTime, MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: writeTime}),
		grpc.WaitForHandlers(true), // no query outlives the databases
		grpc.UnaryInterceptor(recoverCall), grpc.StreamInterceptor(recoverStream))
	v.app.RegisterAPI(s.calls, v.rpc)
	for _, l := range []net.Listener{listener, pipe} {
		s.busy.Go(func() {
			if err := s.calls.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				s.log.Error("gRPC server ended", "err", err)
			}
		})
	}
	return nil
}

func (s *servers) startREST(c Config, v *Validator, pipe *bufconn.Listener) error {
	var err error
	s.conn, err = grpc.NewClient("passthrough:///ledger",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // never leaves the process
		grpc.WithDefaultCallOptions(grpc.ForceCodec(v.app.GRPCCodec()),
			grpc.MaxCallSendMsgSize(maxReceive), grpc.MaxCallRecvMsgSize(maxSend)))
	if err != nil {
		return err
	}
	listener, err := listen(c.REST, c.Home, "rest-address")
	if err != nil {
		return err
	}
	s.rest = listener.Addr().String()
	s.serveHTTP(listener, bodies(v.app.Router(s.conn), maxRESTBody))
	return nil
}

func (s *servers) serveHTTP(l net.Listener, h http.Handler) {
	server := &http.Server{
		Handler:           s.guard(h),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = l.Close() // nobody is there yet
		return
	}
	s.http = append(s.http, server)
	s.busy.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("HTTP server ended", "err", err)
		}
	})
}

// enter reports whether a request may begin; if so, done ends it.
func (s *servers) enter() (done func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false
	}
	s.busy.Add(1)
	return s.busy.Done, true
}

// close takes no more requests, drops all connections, and waits for gRPC.
func (s *servers) close() {
	s.mu.Lock()
	s.closed = true
	all := s.http
	s.mu.Unlock()
	for _, h := range all {
		_ = h.Close() // closing a listener twice is its only error
	}
	if s.calls != nil {
		s.calls.Stop()
	}
	if s.conn != nil {
		_ = s.conn.Close() // fails if closed before
	}
}

// wait returns when no request runs. A call of RPC may wait for a block, and
// ends with the node at the latest.
func (s *servers) wait() { s.busy.Wait() }

// listen takes the port of the configuration, or that of the last start, or a
// free one, which is then kept: other programs remember where a node is.
func listen(configured, home, name string) (net.Listener, error) {
	if configured != "" && !strings.HasSuffix(configured, ":0") {
		return rpcserver.Listen(configured, maxConnections)
	}
	file := filepath.Join(home, "config", name)
	kept, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(kept) > 0 {
		if l, err := rpcserver.Listen("tcp://"+string(kept), maxConnections); err == nil {
			return l, nil
		}
	}
	l, err := rpcserver.Listen("tcp://127.0.0.1:0", maxConnections)
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	if err := os.WriteFile(file, []byte(l.Addr().String()), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// recoverCall and recoverStream turn a panic over a request into its error.
func recoverCall(ctx context.Context, r any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (answer any, err error) {
	defer recovered(&err)
	return h(ctx, r)
}

func recoverStream(s any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) (err error) {
	defer recovered(&err)
	return h(s, stream)
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = status.Errorf(codes.Internal, "the request cannot be answered: %v", r)
	}
}
