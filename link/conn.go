package link

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"

	"daulat/core/canon"
)

// Listen takes the incoming streams of a protocol as connections, for servers
// that speak something else than frames over them, such as HTTP. At most limit
// are open at once; one too many is reset. Nothing bounds their time but the
// deadlines that the server sets.
func (n *Node) Listen(protocol string, limit int) net.Listener {
	l := &listener{address: address{n.key, protocol}, streams: make(chan *conn), closed: make(chan struct{}), places: make(chan struct{}, limit)}
	n.Handle(protocol, l.serve)
	return l
}

// DialConn is Dial for a protocol that is no frames.
func (n *Node) DialConn(ctx context.Context, addrs []string, protocol string) (net.Conn, error) {
	s, err := n.Dial(ctx, addrs, protocol)
	if err != nil {
		return nil, err
	}
	return newConn(s, address{n.key, protocol}), nil
}

// listener hands streams to whoever accepts.
type listener struct {
	address address
	streams chan *conn
	places  chan struct{} // one token for each connection
	once    sync.Once
	closed  chan struct{}
}

// serve returns when the connection is closed, by either side's wish.
func (l *listener) serve(ctx context.Context, s *Stream) {
	select {
	case l.places <- struct{}{}:
	default:
		s.Reset()
		return
	}
	defer func() { <-l.places }()
	c := newConn(s, l.address)
	select {
	case l.streams <- c:
	case <-l.closed:
		s.Reset()
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		s.Reset()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.streams:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that were accepted go on.
func (l *listener) Close() error {
	err := error(net.ErrClosed)
	l.once.Do(func() {
		close(l.closed)
		err = nil
	})
	return err
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.address }

// conn is a stream as a net.Conn.
type conn struct {
	network.Stream
	local, remote address
	once          sync.Once
	done          chan struct{}
}

func newConn(s *Stream, local address) *conn {
	return &conn{Stream: s.raw, local: local, remote: address{s.peer, local.protocol}, done: make(chan struct{})}
}

// Close implements net.Conn: as for a socket, both directions end.
func (c *conn) Close() error {
	err := errors.New("connection is closed")
	c.once.Do(func() {
		err = c.Stream.Close()
		close(c.done)
	})
	return err
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// address is a peer and a protocol: what a connection has in place of host and port.
type address struct {
	key      canon.PublicKey
	protocol string
}

// Network implements net.Addr.
func (a address) Network() string { return "daulat" }

// String implements net.Addr.
func (a address) String() string { return PeerID(a.key) + a.protocol }
