package node

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"

	"daulat/link"
)

// Peers carry connections between ledger nodes, so that these need no port of
// their own that others reach: a node that follows the ledger dials a port of
// its own loopback, which leads through a stream to the other's.
const (
	nodeProtocol = "/daulat/ledger-p2p/1" // what CometBFT's nodes speak, encrypted and authenticated by itself

	// maxFollowers bounds the nodes that come through one peer. CometBFT takes 40
	// that it does not know, so others find a place beside them.
	maxFollowers = 16
	copyBuffer   = 32 << 10 // bytes, each way
)

// A tunnel passes connections of a listener on until it is closed.
type tunnel struct {
	listener net.Listener
	cancel   context.CancelFunc
	busy     sync.WaitGroup
}

func newTunnel(l net.Listener, dial func(context.Context) (net.Conn, error)) *tunnel {
	ctx, cancel := context.WithCancel(context.Background())
	t := &tunnel{listener: l, cancel: cancel}
	t.busy.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // closed
			}
			t.busy.Go(func() { carry(ctx, near, dial) })
		}
	})
	return t
}

// carry copies both ways until one side ends.
func carry(ctx context.Context, near net.Conn, dial func(context.Context) (net.Conn, error)) {
	defer near.Close()
	far, err := dial(ctx)
	if err != nil {
		return // the near side sees its connection closed, and tries again
	}
	defer far.Close()
	end := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	defer end()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.CopyBuffer(struct{ io.Writer }{near}, struct{ io.Reader }{far}, make([]byte, copyBuffer))
		near.Close()
	})
	_, _ = io.CopyBuffer(struct{ io.Writer }{far}, struct{ io.Reader }{near}, make([]byte, copyBuffer))
	far.Close()
	back.Wait()
}

func (t *tunnel) close() error {
	err := t.listener.Close()
	t.cancel()
	t.busy.Wait()
	return err
}

// serveNode lets nodes that follow the ledger reach the one at address, which is
// ID@HOST:PORT.
func serveNode(peer *link.Node, address string) *tunnel {
	_, at, _ := strings.Cut(address, "@")
	if _, port, err := net.SplitHostPort(at); err == nil && strings.HasPrefix(at, "0.0.0.0:") {
		at = net.JoinHostPort("127.0.0.1", port)
	}
	return newTunnel(peer.Listen(nodeProtocol, maxFollowers), func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", at)
	})
}

// reachFrom is a port of loopback that leads to a protocol of a peer.
func reachFrom(peer *link.Node, addrs []string, protocol string) (*tunnel, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	t := newTunnel(l, func(ctx context.Context) (net.Conn, error) { return peer.DialConn(ctx, addrs, protocol) })
	return t, l.Addr().String(), nil
}
