package blob

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"lukechampine.com/blake3/guts"

	"daulat/core/canon"
)

const (
	// GroupSize is how many bytes are verified at once: 16 BLAKE3 chunks.
	GroupSize = 16 << 10
	// MaxSize bounds a blob, in bytes, so that no sum of sizes overflows.
	MaxSize = 1 << 48

	headerSize = 8  // of a tree or slice: the blob's size, little-endian
	nodeSize   = 64 // two chaining values
	groupLog   = 4  // log2 of the chunks in a group, as package bao counts
)

// ErrMismatch says that bytes are not those which the artifact ID names.
var ErrMismatch = errors.New("bytes do not match the artifact ID")

// The tree over a blob is BLAKE3's own: a left subtree spans the largest power
// of two below the size. Its inner nodes down to groups lie in pre-order, so a
// subtree of g groups takes g-1 places and the right child's place is known
// without reading the left one.

func groups(size int64) int64 { return max(1, (size+GroupSize-1)/GroupSize) }

func treeSize(size int64) int64 { return headerSize + nodeSize*(groups(size)-1) }

func leftSize(size int64) int64 { return 1 << (bits.Len64(uint64(size-1)) - 1) }

type node [nodeSize]byte

// source yields the parts of a tree in the order in which a walk asks.
type source interface {
	readNode(index int64, n *node) error
	readGroup(offset int64, p []byte) error
}

// sink takes parts, each after it was verified.
type sink interface {
	writeNode(index int64, n *node) error
	writeGroup(offset int64, p []byte) error
}

// walk copies the part of a blob that overlaps [from, to) and the tree above it
// from src to dst, and checks everything against the root before dst sees it.
type walk struct {
	ctx      context.Context
	src      source
	dst      sink
	from, to int64
	buf      [GroupSize]byte
}

// copyVerified walks [from, to) of the blob with the given root and size. An
// empty blob has one empty group.
func copyVerified(ctx context.Context, root canon.Hash, size, from, to int64, src source, dst sink) error {
	w := walk{ctx: ctx, src: src, dst: dst, from: from, to: to}
	return w.visit(chaining(root[:]), 0, size, 0, guts.FlagRoot)
}

func (w *walk) visit(want [8]uint32, offset, size, index int64, flags uint32) error {
	if size > 0 && (offset >= w.to || offset+size <= w.from) {
		return nil
	}
	if size <= GroupSize {
		return w.group(want, offset, size, flags)
	}
	var n node
	if err := w.src.readNode(index, &n); err != nil {
		return err
	}
	left, right := chaining(n[:32]), chaining(n[32:])
	if guts.ChainingValue(guts.ParentNode(left, right, &guts.IV, flags)) != want {
		return fmt.Errorf("tree over bytes %d to %d: %w", offset, offset+size, ErrMismatch)
	}
	if err := w.dst.writeNode(index, &n); err != nil {
		return err
	}
	mid := leftSize(size)
	if err := w.visit(left, offset, mid, index+1, 0); err != nil {
		return err
	}
	return w.visit(right, offset+mid, size-mid, index+groups(mid), 0)
}

func (w *walk) group(want [8]uint32, offset, size int64, flags uint32) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	p := w.buf[:size]
	if err := w.src.readGroup(offset, p); err != nil {
		return err
	}
	n := guts.CompressBuffer(&w.buf, len(p), &guts.IV, uint64(offset)/guts.ChunkSize, 0)
	n.Flags |= flags
	if guts.ChainingValue(n) != want {
		return fmt.Errorf("bytes %d to %d: %w", offset, offset+size, ErrMismatch)
	}
	return w.dst.writeGroup(offset, p)
}

func chaining(p []byte) (cv [8]uint32) {
	for i := range cv {
		cv[i] = binary.LittleEndian.Uint32(p[4*i:])
	}
	return cv
}

// files is a blob and its tree at rest, as a source.
type files struct{ data, tree io.ReaderAt }

func (f files) readNode(index int64, n *node) error {
	return readAt(f.tree, n[:], headerSize+nodeSize*index)
}

func (f files) readGroup(offset int64, p []byte) error { return readAt(f.data, p, offset) }

// readAt fills p; a file that ends early does not match.
func readAt(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		return fmt.Errorf("file ends at byte %d: %w", offset+int64(n), ErrMismatch)
	}
	return err
}

// stream is a slice on its way: nodes and groups in pre-order.
type stream struct{ io.Reader }

func (s stream) readNode(_ int64, n *node) error   { return s.full(n[:]) }
func (s stream) readGroup(_ int64, p []byte) error { return s.full(p) }

func (s stream) full(p []byte) error {
	if _, err := io.ReadFull(s, p); err != nil {
		return fmt.Errorf("read slice: %w", err)
	}
	return nil
}

// slice writes nodes and groups in pre-order.
type slice struct{ io.Writer }

func (s slice) writeNode(_ int64, n *node) error { _, err := s.Write(n[:]); return err }

func (s slice) writeGroup(_ int64, p []byte) error { _, err := s.Write(p); return err }

// window writes those bytes of [from, to) alone, without the tree.
type window struct {
	io.Writer
	from, to int64
}

func (window) writeNode(int64, *node) error { return nil }

func (w window) writeGroup(offset int64, p []byte) error {
	end := min(offset+int64(len(p)), w.to)
	start := max(offset, w.from)
	if start >= end {
		return nil
	}
	_, err := w.Write(p[start-offset : end-offset])
	return err
}

// ReadSlice reads a slice from r, as [Blob.WriteSlice] wrote it, and writes
// bytes [offset, offset+length) of the blob to dst, each group only after it was
// verified against root. It reads not a byte more than the slice has. The slice
// proves size if, and only if, it includes the blob's last byte; see [ReadSize].
func ReadSlice(ctx context.Context, dst io.Writer, r io.Reader, root canon.Hash, size, offset, length int64) error {
	if err := checkRange(size, offset, length); err != nil {
		return err
	}
	if err := readHeader(r, size); err != nil {
		return err
	}
	to := offset + length
	return copyVerified(ctx, root, size, offset, to, stream{r}, window{dst, offset, to})
}

// ReadSize reads a slice over the last group, which proves that the blob has
// the given size.
func ReadSize(ctx context.Context, r io.Reader, root canon.Hash, size int64) error {
	offset, length := lastByte(size)
	return ReadSlice(ctx, io.Discard, r, root, size, offset, length)
}

func lastByte(size int64) (offset, length int64) { return max(size-1, 0), min(size, 1) }

func readHeader(r io.Reader, size int64) error {
	var header [headerSize]byte
	if err := (stream{r}).full(header[:]); err != nil {
		return err
	}
	if got := binary.LittleEndian.Uint64(header[:]); got != uint64(size) {
		return fmt.Errorf("slice is of a blob of %d bytes, not %d: %w", got, size, ErrMismatch)
	}
	return nil
}

// header is what a tree or a slice starts with.
func header(size int64) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(size))
}

func checkRange(size, offset, length int64) error {
	if size < 0 || size > MaxSize {
		return fmt.Errorf("a blob of %d bytes exceeds the limit of %d", size, int64(MaxSize))
	}
	if offset < 0 || length < 0 || offset > size || length > size-offset {
		return fmt.Errorf("range of %d bytes from %d is outside a blob of %d bytes", length, offset, size)
	}
	return nil
}
