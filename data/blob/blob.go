package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"daulat/core/canon"
)

// Blob is an open blob: an io.Reader, io.Seeker and io.ReaderAt over its bytes,
// which these three do not verify. Close it.
type Blob struct {
	*io.SectionReader
	store *Store
	id    canon.CID
	size  int64
	data  file
}

// Open opens the blob for reading.
func (s *Store) Open(c canon.CID) (*Blob, error) {
	f, err := s.disk.open(s.path(blobs, c), os.O_RDONLY)
	if err != nil {
		return nil, notFound(c, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(notFound(c, err), f.Close())
	}
	size := info.Size()
	return &Blob{io.NewSectionReader(f, 0, size), s, c, size, f}, nil
}

// Close releases the file.
func (b *Blob) Close() error { return b.data.Close() }

// WriteSlice writes bytes [offset, offset+length) to w as a slice: the blob's
// size in 8 bytes, then the tree nodes above and the groups around the range, in
// pre-order. Each part is verified first; a damaged blob is moved aside.
func (b *Blob) WriteSlice(ctx context.Context, w io.Writer, offset, length int64) error {
	if err := checkRange(b.size, offset, length); err != nil {
		return err
	}
	if _, err := w.Write(header(b.size)); err != nil {
		return err
	}
	return b.verified(ctx, offset, offset+length, slice{w})
}

// WriteSize writes the slice that proves the blob's size; see [ReadSize].
func (b *Blob) WriteSize(ctx context.Context, w io.Writer) error {
	offset, length := lastByte(b.size)
	return b.WriteSlice(ctx, w, offset, length)
}

// WriteRange writes bytes [offset, offset+length) to w, each group of them
// verified first.
func (b *Blob) WriteRange(ctx context.Context, w io.Writer, offset, length int64) error {
	if err := checkRange(b.size, offset, length); err != nil {
		return err
	}
	return b.verified(ctx, offset, offset+length, window{w, offset, offset + length})
}

// errTree says that a tree, not its blob, was damaged.
var errTree = errors.New("tree was damaged and has been built again")

func (b *Blob) verified(ctx context.Context, from, to int64, dst sink) error {
	tree, err := b.tree(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	err = copyVerified(ctx, b.id.Hash(), b.size, from, to, files{b.data, tree}, dst)
	if !errors.Is(err, ErrMismatch) {
		return err
	}
	if err := b.rebuild(ctx); err != nil {
		return err
	}
	return fmt.Errorf("artifact %s: %w", b.id, errTree)
}

// tree opens the blob's tree, and builds it again if it is lost.
func (b *Blob) tree(ctx context.Context) (file, error) {
	name := b.store.path(trees, b.id)
	f, err := b.store.disk.open(name, os.O_RDONLY)
	if err == nil {
		info, err := f.Stat()
		if err == nil && info.Size() == treeSize(b.size) {
			return f, nil
		}
		f.Close()
	}
	if err := b.rebuild(ctx); err != nil {
		return nil, err
	}
	return b.store.disk.open(name, os.O_RDONLY)
}

// rebuild builds the tree again from the blob; if that gives another root, the
// blob itself is damaged and moves aside.
func (b *Blob) rebuild(ctx context.Context) error {
	fresh := b.store.tempName()
	defer b.store.disk.remove(fresh)
	root, err := b.store.buildTree(ctx, fresh, io.NewSectionReader(b.data, 0, b.size), b.size)
	short := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if short || err == nil && root != b.id.Hash() {
		return b.store.quarantine(b.id, ErrMismatch)
	}
	if err == nil {
		err = b.store.disk.rename(fresh, b.store.path(trees, b.id))
	}
	if err != nil {
		return fmt.Errorf("rebuild tree of %s: %w", b.id, err)
	}
	return nil
}

func closeSynced(f file) error { return errors.Join(f.Sync(), f.Close()) }

// contextReader stops when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func withContext(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
