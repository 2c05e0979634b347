package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"daulat/core/canon"
)

const (
	// DefaultFrame is the longest frame body that a stream carries, in bytes,
	// unless SetFrameLimit says otherwise; MaxFrame is the most it may say.
	DefaultFrame = 1 << 20
	MaxFrame     = canon.MaxSize

	// DefaultTimeout is how long one frame may take.
	DefaultTimeout = 30 * time.Second

	lengthSize = 4 // big-endian, before each frame

	smallFrame = 1 << 10 // bytes that a frame may announce and get before they come
)

// ErrFrame says that a peer sent a frame that is too long or not canonical.
var ErrFrame = errors.New("bad frame")

// Stream is a conversation with one peer. One goroutine may receive while one
// sends; Reset may be called by any. Whatever goes wrong with the peer or the
// line, except for a clean io.EOF, leaves the stream reset.
type Stream struct {
	raw     network.Stream
	peer    canon.PublicKey
	limit   int
	timeout time.Duration
	ended   func() // is told if the connection ends under the stream; may be nil
	read    deadline
	write   deadline
}

func newStream(raw network.Stream, peer canon.PublicKey) *Stream {
	return &Stream{raw: raw, peer: peer, limit: DefaultFrame, timeout: DefaultTimeout,
		read: deadline{set: raw.SetReadDeadline}, write: deadline{set: raw.SetWriteDeadline}}
}

// deadline is one direction's. It is renewed at most once a second, or once in a
// shorter timeout, and lies that much later: a timer for each frame is dear.
type deadline struct {
	set     func(time.Time) error
	renewed time.Time
}

// allow lets the call that begins now take timeout, and at most a second more.
func (d *deadline) allow(timeout time.Duration) error {
	span, now := min(timeout, time.Second), time.Now()
	if now.Sub(d.renewed) < span {
		return nil
	}
	d.renewed = now
	return d.set(now.Add(timeout + span))
}

// Cut reports whether the connection to the peer is gone, and not just this stream:
// the peer, or this machine, may have moved.
func (s *Stream) Cut() bool { return s.raw.Conn().IsClosed() }

// Peer is the key that the other side proved.
func (s *Stream) Peer() canon.PublicKey { return s.peer }

// SetFrameLimit changes the longest frame body, at most MaxFrame bytes. It is
// called before the stream is used.
func (s *Stream) SetFrameLimit(bytes int) {
	if bytes <= 0 || bytes > MaxFrame {
		panic(fmt.Sprintf("link: frame limit of %d bytes", bytes))
	}
	s.limit = bytes
}

// SetFrameTimeout changes how long each Send, Receive, Read, ReadFull and Write
// may take; it may take up to a second more, but not twice as long. It is called
// before the stream is used, or between calls.
func (s *Stream) SetFrameTimeout(d time.Duration) {
	if d <= 0 {
		panic(fmt.Sprintf("link: frame timeout of %s", d))
	}
	s.timeout = d
	s.read.renewed, s.write.renewed = time.Time{}, time.Time{}
}

// Send sends v as one frame: its length in 4 bytes, then its canonical encoding.
func (s *Stream) Send(v any) error {
	body, err := canon.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > s.limit {
		return fmt.Errorf("send %T: frame of %d bytes exceeds the limit of %d", v, len(body), s.limit)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, lengthSize+len(body)), uint32(len(body)))
	if _, err := s.Write(append(frame, body...)); err != nil {
		return fmt.Errorf("send %T: %w", v, err)
	}
	return nil
}

// Receive reads one frame into v, strictly. At the end of the stream between
// frames the error is io.EOF itself.
func (s *Stream) Receive(v any) error {
	if err := s.read.allow(s.timeout); err != nil {
		return s.fail(err)
	}
	return s.receive(v)
}

// Await is Receive without a bound: whoever awaits a frame knows when to Reset.
func (s *Stream) Await(v any) error {
	s.read.renewed = time.Time{}
	if err := s.read.set(time.Time{}); err != nil {
		return s.fail(err)
	}
	return s.receive(v)
}

func (s *Stream) receive(v any) error {
	body, err := readFrame(s.raw, s.limit)
	if err == io.EOF {
		return err
	}
	if err == nil {
		err = decodeFrame(body, v)
	}
	if err != nil {
		return s.fail(fmt.Errorf("receive %T: %w", v, err))
	}
	return nil
}

func decodeFrame(body []byte, v any) error {
	if err := canon.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return nil
}

// readFrame reads a frame of at most limit bytes. Memory grows with what arrives,
// not with what the length announces, but for small frames.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err // io.EOF if not a byte came
	}
	n := binary.BigEndian.Uint32(length[:])
	if uint64(n) > uint64(limit) {
		return nil, fmt.Errorf("%w: %d bytes exceed the limit of %d", ErrFrame, n, limit)
	}
	if n <= smallFrame {
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, cut(err)
		}
		return body, nil
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, int64(n)); err != nil {
		return nil, cut(err)
	}
	return body.Bytes(), nil
}

// cut is the error of a stream that ends within a frame.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read reads some bytes, at least one within the frame timeout.
func (s *Stream) Read(p []byte) (int, error) {
	if err := s.read.allow(s.timeout); err != nil {
		return 0, s.fail(err)
	}
	n, err := s.raw.Read(p)
	if err != nil && err != io.EOF {
		err = s.fail(err)
	}
	return n, err
}

// ReadFull fills p within one frame timeout, so a peer cannot drag it out byte by
// byte. At the end of the stream before the first byte the error is io.EOF.
func (s *Stream) ReadFull(p []byte) (int, error) {
	if err := s.read.allow(s.timeout); err != nil {
		return 0, s.fail(err)
	}
	n, err := io.ReadFull(s.raw, p)
	if err != nil && err != io.EOF {
		err = s.fail(err)
	}
	return n, err
}

// Write sends all of p within the frame timeout, as raw bytes.
func (s *Stream) Write(p []byte) (int, error) {
	if err := s.write.allow(s.timeout); err != nil {
		return 0, s.fail(err)
	}
	n, err := s.raw.Write(p)
	if err != nil {
		err = s.fail(err)
	}
	return n, err
}

func (s *Stream) fail(err error) error {
	if s.ended != nil && s.Cut() {
		s.ended()
	}
	s.raw.Reset()
	return err
}

// CloseWrite tells the peer that nothing more comes; receiving goes on.
func (s *Stream) CloseWrite() error { return s.raw.CloseWrite() }

// Close ends both directions; what was sent still arrives.
func (s *Stream) Close() error { return s.raw.Close() }

// Reset ends both directions at once; the peer sees an error. It unblocks calls
// that wait.
func (s *Stream) Reset() { s.raw.Reset() }
