package transfer

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"daulat/core/canon"
	"daulat/data/blob"
	"daulat/link"
)

// burst is how many bytes leave at once: several groups, for fewer packets.
const burst = 64 << 10

// ServeOptions limit what a node gives away. A zero limit means its default.
type ServeOptions struct {
	MaxStreams     int           // served at once; 32
	MaxPerPeer     int           // served at once to one peer; 4
	BytesPerSecond int64         // over all peers, 4096 or more; unlimited
	Timeout        time.Duration // for a request to come and for each 64 KiB to leave; 30 s

	// Allow, if set, says which peer may have which blob.
	Allow func(peer canon.PublicKey, c canon.CID) bool
}

// Serve answers transfer requests that reach node with blobs of the store.
func Serve(node *link.Node, store *blob.Store, o ServeOptions) {
	s := &server{store: store, o: o, active: map[canon.PublicKey]int{}, pace: rate.NewLimiter(rate.Inf, burst)}
	if o.BytesPerSecond > 0 {
		s.pace.SetLimit(rate.Limit(o.BytesPerSecond))
	}
	if s.o.MaxStreams == 0 {
		s.o.MaxStreams = 32
	}
	if s.o.MaxPerPeer == 0 {
		s.o.MaxPerPeer = 4
	}
	if s.o.Timeout == 0 {
		s.o.Timeout = link.DefaultTimeout
	}
	node.Handle(Protocol, s.serve)
}

type server struct {
	store *blob.Store
	o     ServeOptions
	pace  *rate.Limiter

	mu     sync.Mutex
	total  int
	active map[canon.PublicKey]int
}

// serve answers requests, one after the other, until the peer stops asking.
func (s *server) serve(ctx context.Context, stream *link.Stream) {
	stream.SetFrameLimit(maxFrame)
	stream.SetFrameTimeout(s.o.Timeout)
	defer context.AfterFunc(ctx, stream.Reset)()
	room := s.enter(stream.Peer())
	if room {
		defer s.leave(stream.Peer())
	}
	for {
		var r request
		if stream.Receive(&r) != nil {
			return
		}
		if !room {
			stream.Send(answer{Reason: busy})
			return
		}
		if s.answer(ctx, stream, r) != nil {
			stream.Reset() // the peer must not take a part for the whole
			return
		}
	}
}

func (s *server) enter(peer canon.PublicKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.o.MaxStreams || s.active[peer] >= s.o.MaxPerPeer {
		return false
	}
	s.total++
	s.active[peer]++
	return true
}

func (s *server) leave(peer canon.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.active[peer]--; s.active[peer] == 0 {
		delete(s.active, peer)
	}
}

func (s *server) answer(ctx context.Context, stream *link.Stream, r request) error {
	if s.o.Allow != nil && !s.o.Allow(stream.Peer(), r.CID) {
		return stream.Send(answer{Reason: absent})
	}
	b, err := s.store.Open(r.CID)
	if errors.Is(err, blob.ErrNotFound) {
		return stream.Send(answer{Reason: absent})
	}
	if err != nil {
		return stream.Send(answer{Reason: failed})
	}
	defer b.Close()
	offset, length, ok := r.span(b.Size())
	if !ok {
		return stream.Send(answer{Reason: invalid})
	}
	if err := stream.Send(answer{Size: uint64(b.Size())}); err != nil {
		return err
	}
	w := bufio.NewWriterSize(paced{ctx, s.pace, stream}, burst)
	if length == 0 {
		err = b.WriteSize(ctx, w)
	} else {
		err = b.WriteSlice(ctx, w, offset, length)
	}
	return errors.Join(err, w.Flush())
}

// paced writes at most burst bytes at once, as fast as the limiter lets it.
type paced struct {
	ctx  context.Context
	pace *rate.Limiter
	w    io.Writer
}

func (p paced) Write(b []byte) (n int, err error) {
	for n < len(b) {
		part := b[n:min(n+burst, len(b))]
		if err := p.pace.WaitN(p.ctx, len(part)); err != nil {
			return n, err
		}
		m, err := p.w.Write(part)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
