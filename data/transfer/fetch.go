package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"daulat/core/canon"
	"daulat/data/blob"
	"daulat/link"
)

// MaxRange bounds what FetchRange returns, in bytes, because it is held in memory.
const MaxRange = 64 << 20

// Dialer opens streams; a *link.Node is one.
type Dialer interface {
	Dial(ctx context.Context, addrs []string, protocol string) (*link.Stream, error)
}

// Client fetches blobs into a store.
type Client struct {
	Node    Dialer
	Store   *blob.Store
	MaxSize int64         // of a blob, in bytes; by default blob.MaxSize
	Timeout time.Duration // for a provider's next group to come; by default 30 s
}

// Fetch gets blob id into the store from the first of providers that can, each
// given by its addresses; see [Client.Fetch].
func Fetch(ctx context.Context, node Dialer, store *blob.Store, id canon.CID, providers [][]string, progress func(done, total int64)) error {
	return Client{Node: node, Store: store}.Fetch(ctx, id, providers, progress)
}

// FetchRange returns a range of blob id; see [Client.FetchRange].
func FetchRange(ctx context.Context, node Dialer, store *blob.Store, id canon.CID, providers [][]string, offset, length int64) ([]byte, error) {
	return Client{Node: node, Store: store}.FetchRange(ctx, id, providers, offset, length)
}

// Fetch gets blob id into the store. It asks one provider after the other and
// goes round again for as long as a round brings bytes; bad providers are not
// asked twice. progress, if not nil, hears how many bytes are verified. After an
// error the verified bytes stay for the next Fetch; see [BadPeers].
func (c Client) Fetch(ctx context.Context, id canon.CID, providers [][]string, progress func(done, total int64)) error {
	d := &download{Client: c, id: id, progress: progress}
	err := d.run(ctx, providers)
	if d.part != nil {
		err = errors.Join(err, d.part.Close())
	}
	if err != nil {
		return fmt.Errorf("fetch %s: %w", id, err)
	}
	return nil
}

// download is one Fetch.
type download struct {
	Client
	id       canon.CID
	progress func(done, total int64)
	part     *blob.Partial // nil until a size was proved
}

func (d *download) run(ctx context.Context, providers [][]string) error {
	if d.Store.Has(d.id) {
		return nil
	}
	before := int64(-1)
	verdicts := make([]error, len(providers))
	for before < d.done() {
		before = d.done()
		for i, addrs := range providers {
			if BadPeers(verdicts[i]) != nil {
				continue
			}
			verdicts[i] = d.ask(ctx, addrs, d.from)
			if verdicts[i] == nil {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err() // the stream broke because of it
			}
			if !isPeerError(verdicts[i]) {
				return verdicts[i]
			}
		}
	}
	return noneLeft(verdicts)
}

func noneLeft(verdicts []error) error {
	if len(verdicts) == 0 {
		return errors.New("no provider is known")
	}
	return errors.Join(verdicts...)
}

// done is how many bytes are verified.
func (d *download) done() int64 {
	if d.part == nil {
		return 0
	}
	return d.part.Done()
}

// from gets what is missing from one provider.
func (d *download) from(ctx context.Context, s *session) error {
	size, err := s.size(ctx, d.id)
	if err != nil {
		return err
	}
	err = d.open(ctx, size)
	if errors.Is(err, blob.ErrExists) { // another Fetch was first
		return nil
	}
	if err != nil {
		return err
	}
	d.report(d.done())
	if !d.part.Complete() {
		if err := s.request(d.id, d.done(), size-d.done(), size); err != nil {
			return err
		}
		if err := d.part.Append(ctx, s, d.report); err != nil {
			return s.blame(err)
		}
	}
	return d.part.Commit()
}

// open opens the partial blob, once. It waits while another Fetch of the blob is
// under way.
func (d *download) open(ctx context.Context, size int64) (err error) {
	if d.MaxSize > 0 && size > d.MaxSize {
		return fmt.Errorf("%w: %d bytes exceed %d", ErrTooLarge, size, d.MaxSize)
	}
	if d.part == nil {
		d.part, err = d.Store.Partial(ctx, d.id, size)
	}
	return err
}

func (d *download) report(done int64) {
	if d.progress != nil {
		d.progress(done, d.part.Size())
	}
}

// FetchRange returns bytes [offset, offset+length) of blob id, or up to its end
// if that comes first, verified, from the store or from the first provider that
// can. At most MaxRange bytes are read and nothing is stored.
func (c Client) FetchRange(ctx context.Context, id canon.CID, providers [][]string, offset, length int64) ([]byte, error) {
	out, err := c.fetchRange(ctx, id, providers, offset, length)
	if err != nil {
		return nil, fmt.Errorf("fetch range of %s: %w", id, err)
	}
	return out, nil
}

func (c Client) fetchRange(ctx context.Context, id canon.CID, providers [][]string, offset, length int64) ([]byte, error) {
	if offset < 0 || length < 0 || length > MaxRange {
		return nil, fmt.Errorf("a range has 0 to %d bytes, not %d from %d", MaxRange, length, offset)
	}
	if c.Store.Has(id) {
		return c.localRange(ctx, id, offset, length)
	}
	verdicts := make([]error, len(providers))
	for i, addrs := range providers {
		var out bytes.Buffer
		verdicts[i] = c.ask(ctx, addrs, func(ctx context.Context, s *session) error {
			out.Reset()
			return s.readRange(ctx, &out, id, offset, length)
		})
		if verdicts[i] == nil {
			return out.Bytes(), nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !isPeerError(verdicts[i]) {
			return nil, verdicts[i]
		}
	}
	return nil, noneLeft(verdicts)
}

func (c Client) localRange(ctx context.Context, id canon.CID, offset, length int64) ([]byte, error) {
	b, err := c.Store.Open(id)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if length, err = within(b.Size(), offset, length); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := b.WriteRange(ctx, &out, offset, length); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// within cuts a range at the end of the blob.
func within(size, offset, length int64) (int64, error) {
	if offset > size {
		return 0, fmt.Errorf("offset %d is behind the end of %d bytes", offset, size)
	}
	return min(length, size-offset), nil
}

// ask runs do on a fresh stream to one provider.
func (c Client) ask(ctx context.Context, addrs []string, do func(context.Context, *session) error) error {
	stream, err := c.Node.Dial(ctx, addrs, Protocol)
	if err != nil {
		return &PeerError{Err: err}
	}
	defer context.AfterFunc(ctx, stream.Reset)()
	defer stream.Reset() // whatever else the peer has to say is not wanted
	stream.SetFrameLimit(maxFrame)
	if c.Timeout > 0 {
		stream.SetFrameTimeout(c.Timeout)
	}
	return do(ctx, &session{stream: stream})
}

func isPeerError(err error) bool {
	var e *PeerError
	return errors.As(err, &e)
}
