package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"daulat/core/canon"
)

// Partial is a blob under way. Its verified bytes are always a prefix; they and
// the tree above them are kept in partial/ until Commit, whatever happens to the
// process. One Partial of a blob is open at a time. Close it.
type Partial struct {
	store      *Store
	id         canon.CID
	size, done int64
	complete   bool
	data, tree file
	release    func()
}

// Partial opens what was downloaded of c, or starts a download. It trusts
// nothing that it finds: it verifies the prefix again, which takes as long as
// hashing it. size must have been proved (see [ReadSize]). While another Partial
// of c is open it waits; if the blob is there the error is ErrExists.
func (s *Store) Partial(ctx context.Context, c canon.CID, size int64) (*Partial, error) {
	if err := checkRange(size, 0, size); err != nil {
		return nil, err
	}
	release, err := s.acquire(ctx, c)
	if err != nil {
		return nil, err
	}
	if s.Has(c) {
		release()
		return nil, fmt.Errorf("open partial %s: %w", c, ErrExists)
	}
	p := &Partial{store: s, id: c, size: size, release: release}
	if err := p.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open partial %s: %w", c, err), p.Close())
	}
	return p, nil
}

// acquire waits until no other Partial of c is open.
func (s *Store) acquire(ctx context.Context, c canon.CID) (release func(), err error) {
	for {
		s.mu.Lock()
		other, taken := s.busy[c]
		if !taken {
			mine := make(chan struct{})
			s.busy[c] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.busy, c)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p *Partial) names() (data, tree string) {
	data = p.store.path(partial, p.id)
	return data, data + treeSuffix
}

func (p *Partial) open(ctx context.Context) (err error) {
	data, tree := p.names()
	if p.data, err = p.store.disk.open(data, os.O_RDWR|os.O_CREATE); err != nil {
		return err
	}
	if p.tree, err = p.store.disk.open(tree, os.O_RDWR|os.O_CREATE); err != nil {
		return err
	}
	if readHeader(io.NewSectionReader(p.tree, 0, headerSize), p.size) != nil {
		// New, or torn by a crash: places in the tree depend on the size.
		if err := p.tree.Truncate(0); err != nil {
			return err
		}
		if _, err := p.tree.WriteAt(header(p.size), 0); err != nil {
			return err
		}
	}
	err = p.copy(ctx, files{p.data, p.tree}, &prefix{p: p})
	if errors.Is(err, ErrMismatch) { // the end of what is verified
		return nil
	}
	return err
}

// copy walks from the first byte that is not yet verified to the end.
func (p *Partial) copy(ctx context.Context, src source, dst sink) error {
	if p.complete {
		return nil
	}
	err := copyVerified(ctx, p.id.Hash(), p.size, p.done, p.size, src, dst)
	p.complete = err == nil
	return err
}

// Size is the size of the whole blob in bytes.
func (p *Partial) Size() int64 { return p.size }

// Done is how many bytes from the start are verified.
func (p *Partial) Done() int64 { return p.done }

// Complete reports whether only Commit is missing.
func (p *Partial) Complete() bool { return p.complete }

// Append reads the slice over [Done, size) from r and keeps each group once it
// is verified; progress, if not nil, hears of each. After an error the verified
// prefix stands and Append may go on from another source. ErrMismatch means that
// the source is bad.
func (p *Partial) Append(ctx context.Context, r io.Reader, progress func(done int64)) error {
	if err := readHeader(r, p.size); err != nil {
		return err
	}
	return p.copy(ctx, stream{r}, &prefix{p: p, keep: true, progress: progress})
}

// prefix is the sink that moves a Partial forward.
type prefix struct {
	p        *Partial
	keep     bool // write the parts: they come from elsewhere
	progress func(done int64)
}

func (s *prefix) writeNode(index int64, n *node) error {
	if !s.keep {
		return nil
	}
	_, err := s.p.tree.WriteAt(n[:], headerSize+nodeSize*index)
	return err
}

func (s *prefix) writeGroup(offset int64, b []byte) error {
	if s.keep {
		if _, err := s.p.data.WriteAt(b, offset); err != nil {
			return err
		}
	}
	s.p.done = offset + int64(len(b))
	if s.progress != nil {
		s.progress(s.p.done)
	}
	return nil
}

// Commit makes a complete blob visible in the store.
func (p *Partial) Commit() error {
	if !p.complete {
		return fmt.Errorf("commit %s: %d of %d bytes are there", p.id, p.done, p.size)
	}
	if err := p.settle(); err != nil {
		return fmt.Errorf("commit %s: %w", p.id, err)
	}
	data, tree := p.names()
	if err := p.store.publish(p.id, data, tree); err != nil {
		return fmt.Errorf("commit %s: %w", p.id, err)
	}
	return nil
}

// settle cuts what a crash may have left behind the end, and syncs.
func (p *Partial) settle() error {
	return errors.Join(
		p.data.Truncate(p.size), p.tree.Truncate(treeSize(p.size)),
		p.data.Sync(), p.tree.Sync(),
	)
}

// Close releases the files and keeps what was verified. It may be called again.
func (p *Partial) Close() error {
	if p.release == nil {
		return nil
	}
	var err error
	for _, f := range []file{p.data, p.tree} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	p.release()
	p.release = nil
	return err
}

// Discard forgets what was downloaded of c.
func (s *Store) Discard(ctx context.Context, c canon.CID) error {
	release, err := s.acquire(ctx, c)
	if err != nil {
		return err
	}
	defer release()
	data := s.path(partial, c)
	for _, name := range []string{data, data + treeSuffix} {
		if err := s.disk.remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("discard partial %s: %w", c, err)
		}
	}
	return nil
}
