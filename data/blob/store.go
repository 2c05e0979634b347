// Package blob keeps artifacts on disk under the ID that proves them.
//
// Guarantees: a blob is either wholly there or not there, whatever a crash or a
// full disk interrupts, because bytes are synced before they are renamed into
// sight; beside each blob lies its BLAKE3 tree in groups of 16 KiB, with which
// any range can be served and checked by itself ([Blob.WriteSlice], [ReadSlice]);
// nothing is served unverified, so a bad disk never makes its owner a liar; a
// download that stopped goes on from its last verified group ([Partial]).
//
// Start at [Open], [Store.Put] and [Store.Open]; spec/transfer.md states the
// format of trees and slices.
package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"lukechampine.com/blake3/bao"

	"daulat/core/canon"
)

var (
	// ErrNotFound says that the store has no such blob.
	ErrNotFound = errors.New("artifact is not in the store")
	// ErrExists says that the store has the blob already.
	ErrExists = errors.New("artifact is in the store already")
	// ErrCorrupt says that a blob changed on disk; it was moved to damaged/.
	ErrCorrupt = errors.New("artifact was damaged on disk and moved aside")
)

// Folders of a store. Only what lies in blobs/ exists; a tree that is missing or
// damaged is built again from its blob.
const (
	blobs   = "blobs"
	trees   = "trees"
	partial = "partial"
	temp    = "temp"
	damaged = "damaged"

	treeSuffix = ".tree" // of the tree beside an unfinished blob
)

// tempAge is how long a temporary file must lie untouched before Open removes
// it: another process may be writing a younger one.
const tempAge = time.Hour

// Store is a folder of blobs. Its methods may be called concurrently.
type Store struct {
	dir  string
	disk disk

	mu   sync.Mutex
	busy map[canon.CID]chan struct{} // open partials; closed when released
}

// Open opens the store in dir, which it creates if need be.
func Open(dir string) (*Store, error) { return openOn(realDisk{}, dir) }

func openOn(d disk, dir string) (*Store, error) {
	for _, sub := range []string{blobs, trees, partial, temp, damaged} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("open blob store: %w", err)
		}
	}
	s := &Store{dir: dir, disk: d, busy: map[canon.CID]chan struct{}{}}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	return s, nil
}

// sweep removes what interrupted writes left.
func (s *Store) sweep() error {
	left, err := os.ReadDir(filepath.Join(s.dir, temp))
	if err != nil {
		return err
	}
	for _, e := range left {
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < tempAge {
			continue // gone meanwhile, or still in use
		}
		if err := s.disk.remove(filepath.Join(s.dir, temp, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) path(folder string, c canon.CID) string {
	return filepath.Join(s.dir, folder, c.String())
}

// Put stores what r yields as a raw blob, and returns its ID and size in bytes.
func (s *Store) Put(ctx context.Context, r io.Reader) (canon.CID, int64, error) {
	c, size, err := s.put(ctx, canon.Raw, r, nil)
	if err != nil {
		return canon.CID{}, 0, fmt.Errorf("store blob: %w", err)
	}
	return c, size, nil
}

// PutBytes stores data, a raw blob or a canonical document.
func (s *Store) PutBytes(codec canon.Codec, data []byte) (canon.CID, error) {
	c, _, err := s.put(context.Background(), codec, bytes.NewReader(data), nil)
	if err != nil {
		return canon.CID{}, fmt.Errorf("store blob: %w", err)
	}
	return c, nil
}

// Import stores what r yields under c, and stores nothing if it does not match.
func (s *Store) Import(ctx context.Context, c canon.CID, r io.Reader) error {
	if _, _, err := s.put(ctx, c.Codec(), r, &c); err != nil {
		return fmt.Errorf("import %s: %w", c, err)
	}
	return nil
}

// PutFile stores the file at path as a raw blob. On one file system it links the
// file instead of copying it, so the file must not be changed in place later;
// a change is found before a byte of it is served.
func (s *Store) PutFile(ctx context.Context, path string) (canon.CID, int64, error) {
	c, size, err := s.putFile(ctx, path)
	if err != nil {
		return canon.CID{}, 0, fmt.Errorf("store file %s: %w", filepath.Base(path), err)
	}
	return c, size, nil
}

func (s *Store) putFile(ctx context.Context, path string) (canon.CID, int64, error) {
	path, err := filepath.EvalSymlinks(path) // a link to a symbolic link would name no bytes
	if err != nil {
		return canon.CID{}, 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return canon.CID{}, 0, err
	}
	if !info.Mode().IsRegular() {
		return canon.CID{}, 0, errors.New("not a regular file")
	}
	name := s.tempName()
	if s.disk.link(path, name) != nil { // another file system, or links are not allowed
		return s.copyFile(ctx, path)
	}
	defer s.removeTemp(name)
	c, size, err := s.prepare(ctx, name, canon.Raw)
	if err != nil {
		return canon.CID{}, 0, err
	}
	if s.Has(c) { // the store's own copy is safer than a link
		return c, size, nil
	}
	return c, size, s.publish(c, name, name+treeSuffix)
}

func (s *Store) copyFile(ctx context.Context, path string) (canon.CID, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return canon.CID{}, 0, err
	}
	defer f.Close()
	return s.put(ctx, canon.Raw, f, nil)
}

// put copies r to a temporary file and publishes it if it is the wanted blob, or
// if any will do. It replaces a blob of the same ID, and so heals a damaged one.
func (s *Store) put(ctx context.Context, codec canon.Codec, r io.Reader, want *canon.CID) (canon.CID, int64, error) {
	name := s.tempName()
	f, err := s.disk.open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return canon.CID{}, 0, err
	}
	defer s.removeTemp(name)
	if _, err := io.Copy(f, withContext(ctx, r)); err != nil {
		return canon.CID{}, 0, errors.Join(err, f.Close())
	}
	if err := closeSynced(f); err != nil {
		return canon.CID{}, 0, err
	}
	c, size, err := s.prepare(ctx, name, codec)
	if err != nil {
		return canon.CID{}, 0, err
	}
	if want != nil && *want != c {
		return canon.CID{}, 0, fmt.Errorf("%w: they are %s", ErrMismatch, c)
	}
	return c, size, s.publish(c, name, name+treeSuffix)
}

// prepare writes the tree of the file at name beside it and returns the file's
// ID and size.
func (s *Store) prepare(ctx context.Context, name string, codec canon.Codec) (canon.CID, int64, error) {
	data, err := s.disk.open(name, os.O_RDONLY)
	if err != nil {
		return canon.CID{}, 0, err
	}
	defer data.Close()
	before, err := data.Stat()
	if err != nil {
		return canon.CID{}, 0, err
	}
	size := before.Size()
	if err := checkRange(size, 0, size); err != nil {
		return canon.CID{}, 0, err
	}
	root, err := s.buildTree(ctx, name+treeSuffix, data, size)
	if err != nil {
		return canon.CID{}, 0, err
	}
	after, err := data.Stat()
	if err != nil {
		return canon.CID{}, 0, err
	}
	if after.Size() != size || !after.ModTime().Equal(before.ModTime()) { // a linked file
		return canon.CID{}, 0, errors.New("the file changed while it was read")
	}
	return canon.NewCID(codec, root), size, nil
}

// buildTree writes the tree of data to a new synced file and returns its root.
func (s *Store) buildTree(ctx context.Context, name string, data io.Reader, size int64) (canon.Hash, error) {
	f, err := s.disk.open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return canon.Hash{}, err
	}
	root, err := bao.Encode(f, withContext(ctx, data), size, groupLog, true)
	if err != nil {
		return canon.Hash{}, errors.Join(err, f.Close())
	}
	return root, closeSynced(f)
}

// publish renames the blob first: a crash in between costs a tree, which is
// built again when it is needed, and never a finished download.
func (s *Store) publish(c canon.CID, data, tree string) error {
	for _, step := range []struct{ from, folder string }{{data, blobs}, {tree, trees}} {
		if err := s.disk.rename(step.from, s.path(step.folder, c)); err != nil {
			return err
		}
		if err := s.disk.syncDir(filepath.Join(s.dir, step.folder)); err != nil {
			return err
		}
	}
	return nil
}

// tempName is a fresh name in temp/.
func (s *Store) tempName() string { return filepath.Join(s.dir, temp, rand.Text()) }

// removeTemp removes what publish did not rename.
func (s *Store) removeTemp(name string) {
	s.disk.remove(name)
	s.disk.remove(name + treeSuffix)
}

// Has reports whether the blob is there.
func (s *Store) Has(c canon.CID) bool {
	_, err := s.Size(c)
	return err == nil
}

// Size returns the blob's size in bytes.
func (s *Store) Size(c canon.CID) (int64, error) {
	info, err := os.Stat(s.path(blobs, c))
	if err != nil {
		return 0, notFound(c, err)
	}
	return info.Size(), nil
}

// Path returns where the blob lies, for programs that map it into memory. The
// file must not be changed.
func (s *Store) Path(c canon.CID) (string, error) {
	if _, err := s.Size(c); err != nil {
		return "", err
	}
	return s.path(blobs, c), nil
}

// Bytes returns a blob of at most max bytes, verified.
func (s *Store) Bytes(c canon.CID, max int64) ([]byte, error) {
	b, err := s.Open(c)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if b.Size() > max {
		return nil, fmt.Errorf("artifact %s has %d bytes, more than %d", c, b.Size(), max)
	}
	data := make([]byte, b.Size())
	if _, err := io.ReadFull(b, data); err != nil {
		return nil, fmt.Errorf("read artifact %s: %w", c, err)
	}
	if canon.Sum(data) != c.Hash() {
		return nil, s.quarantine(c, ErrMismatch)
	}
	return data, nil
}

// List returns the IDs of all blobs, in the order of their text.
func (s *Store) List() ([]canon.CID, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, blobs))
	if err != nil {
		return nil, fmt.Errorf("list blobs: %w", err)
	}
	var all []canon.CID
	for _, e := range entries {
		if c, err := canon.ParseCID(e.Name()); err == nil {
			all = append(all, c)
		}
	}
	return all, nil
}

// Delete removes the blob; one that is not there is no error.
func (s *Store) Delete(c canon.CID) error {
	for _, folder := range []string{blobs, trees} { // the blob first: it needs its tree
		if err := s.disk.remove(s.path(folder, c)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete %s: %w", c, err)
		}
	}
	return nil
}

// Verify reads the whole blob and its tree. A damaged blob is moved to damaged/
// and the error is ErrCorrupt.
func (s *Store) Verify(ctx context.Context, c canon.CID) error {
	b, err := s.Open(c)
	if err != nil {
		return err
	}
	defer b.Close()
	err = b.verified(ctx, 0, b.size, window{Writer: io.Discard})
	if errors.Is(err, errTree) { // it is whole again, and so is the blob
		return nil
	}
	return err
}

// quarantine moves the blob aside and returns why.
func (s *Store) quarantine(c canon.CID, cause error) error {
	moved := s.disk.rename(s.path(blobs, c), s.path(damaged, c))
	if errors.Is(moved, fs.ErrNotExist) { // deleted, or moved by another reader
		moved = nil
	}
	return errors.Join(fmt.Errorf("artifact %s: %w: %w", c, ErrCorrupt, cause), moved)
}

func notFound(c canon.CID, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotFound, c)
	}
	return fmt.Errorf("artifact %s: %w", c, err)
}
