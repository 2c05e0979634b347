package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"daulat/core/canon"
	"daulat/data/blob"
	"daulat/link"
)

// session is the asking side of one stream.
type session struct {
	stream *link.Stream
	line   error // what went wrong with the stream
}

// Read fills p within one time limit, so that a provider who trickles is as slow
// as one who is silent.
func (s *session) Read(p []byte) (int, error) {
	n, err := s.stream.ReadFull(p)
	if err != nil {
		s.line = err
	}
	return n, err
}

// blame tells apart who failed while a slice was read: a line that broke, a peer
// that lied, or this machine, whose errors are no PeerError.
func (s *session) blame(err error) error {
	if s.line != nil {
		return s.fault(false, err)
	}
	if errors.Is(err, blob.ErrMismatch) {
		return s.fault(true, err)
	}
	return err
}

func (s *session) fault(bad bool, err error) error {
	return &PeerError{Peer: s.stream.Peer(), Bad: bad, Err: err}
}

// size asks for the blob's size and has it proved.
func (s *session) size(ctx context.Context, id canon.CID) (int64, error) {
	size, err := s.exchange(request{CID: id})
	if err != nil {
		return 0, err
	}
	if err := blob.ReadSize(ctx, s, id.Hash(), size); err != nil {
		return 0, s.blame(err)
	}
	return size, nil
}

// request asks for a range of a blob whose size is proved; the slice follows.
func (s *session) request(id canon.CID, offset, length, size int64) error {
	claim, err := s.exchange(request{CID: id, Offset: uint64(offset), Length: uint64(length)})
	if err != nil {
		return err
	}
	if claim != size {
		return s.fault(true, fmt.Errorf("it proved a size of %d bytes and now claims %d", size, claim))
	}
	return nil
}

// exchange sends a request and returns the size that the peer claims.
func (s *session) exchange(r request) (int64, error) {
	if err := s.stream.Send(r); err != nil {
		return 0, s.fault(false, err)
	}
	var a answer
	if err := s.stream.Receive(&a); err != nil {
		return 0, s.fault(errors.Is(err, link.ErrFrame), err)
	}
	if a.Reason != "" {
		return 0, s.fault(false, fmt.Errorf("it gives no bytes: %q", a.Reason))
	}
	if a.Size > blob.MaxSize {
		return 0, s.fault(true, fmt.Errorf("it claims a size of %d bytes", a.Size))
	}
	return int64(a.Size), nil
}

// readRange writes the range to w, cut at the end of the blob.
func (s *session) readRange(ctx context.Context, w io.Writer, id canon.CID, offset, length int64) error {
	size, err := s.size(ctx, id)
	if err != nil {
		return err
	}
	if length, err = within(size, offset, length); err != nil || length == 0 {
		return err
	}
	if err := s.request(id, offset, length, size); err != nil {
		return err
	}
	if err := blob.ReadSlice(ctx, w, s, id.Hash(), size, offset, length); err != nil {
		return s.blame(err)
	}
	return nil
}
