package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"daulat/core/canon"
)

func partialOf(t *testing.T, s *Store, c canon.CID, size int) *Partial {
	t.Helper()
	p, err := s.Partial(t.Context(), c, int64(size))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestPartialResumesAfterACutAnywhere(t *testing.T) {
	for _, size := range sizes {
		data := random(6, size)
		seeder := open(t)
		c := put(t, seeder, data)
		whole := writeSlice(t, seeder, c, 0, size)
		for cut := 0; cut < len(whole); cut += 1 + GroupSize/3 {
			s := open(t)
			p := partialOf(t, s, c, size)
			if size > 0 {
				if err := p.Append(t.Context(), bytes.NewReader(whole[:cut]), nil); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
					t.Fatalf("size %d cut at %d: %v", size, cut, err)
				}
			}
			done := p.Done()
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			reopened, err := Open(s.dir)
			if err != nil {
				t.Fatal(err)
			}
			p = partialOf(t, reopened, c, size)
			if p.Done() != done || done%GroupSize != 0 {
				t.Fatalf("size %d cut at %d: %d bytes before the restart, %d after", size, cut, done, p.Done())
			}
			if !p.Complete() {
				rest := writeSlice(t, seeder, c, int(done), size-int(done))
				if err := p.Append(t.Context(), bytes.NewReader(rest), nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Commit(); err != nil {
				t.Fatal(err)
			}
			if got, err := reopened.Bytes(c, int64(size)); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("size %d cut at %d: %v", size, cut, err)
			}
		}
	}
}

// damage at rest in a partial costs the groups from there on and nothing more.
func TestPartialTrustsNothingItFinds(t *testing.T) {
	const size = 5*GroupSize + 1
	data := random(6, size)
	seeder := open(t)
	c := put(t, seeder, data)
	whole := writeSlice(t, seeder, c, 0, size)
	for name, test := range map[string]struct {
		harm func(data, tree string) error
		keep int64
	}{
		"first group": {func(data, _ string) error { flip(t, data, 0); return nil }, 0},
		"third group": {func(data, _ string) error { flip(t, data, 2*GroupSize+8); return nil }, 2 * GroupSize},
		"cut":         {func(data, _ string) error { return os.Truncate(data, GroupSize+99) }, GroupSize},
		"root node":   {func(_, tree string) error { flip(t, tree, headerSize); return nil }, 0},
		"size":        {func(_, tree string) error { flip(t, tree, 0); return nil }, 0},
		"no tree":     {func(_, tree string) error { return os.Remove(tree) }, 0},
		"no data":     {func(data, _ string) error { return os.Remove(data) }, 0},
		"long data":   {func(data, _ string) error { return os.Truncate(data, size+1000) }, size},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			p := partialOf(t, s, c, size)
			if err := p.Append(t.Context(), bytes.NewReader(whole), nil); err != nil {
				t.Fatal(err)
			}
			dataName, treeName := p.names()
			p.Close()
			if err := test.harm(dataName, treeName); err != nil {
				t.Fatal(err)
			}
			p = partialOf(t, s, c, size)
			if p.Done() != test.keep {
				t.Fatalf("%d bytes are kept, not %d", p.Done(), test.keep)
			}
			if !p.Complete() {
				if err := p.Commit(); err == nil || s.Has(c) {
					t.Fatal("an incomplete blob was committed")
				}
				rest := writeSlice(t, seeder, c, int(p.Done()), size-int(p.Done()))
				if err := p.Append(t.Context(), bytes.NewReader(rest), nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestBadGroupKeepsThePrefix(t *testing.T) {
	const size = 4 * GroupSize
	data := random(8, size)
	seeder := open(t)
	c := put(t, seeder, data)
	bad := writeSlice(t, seeder, c, 0, size)
	bad[len(bad)-1] ^= 1
	s := open(t)
	p := partialOf(t, s, c, size)
	var heard int64
	if err := p.Append(t.Context(), bytes.NewReader(bad), func(done int64) { heard = done }); !errors.Is(err, ErrMismatch) {
		t.Fatal(err)
	}
	if p.Done() != 3*GroupSize || heard != p.Done() {
		t.Fatalf("%d bytes verified, %d reported", p.Done(), heard)
	}
	name, _ := p.names()
	if stored, err := os.ReadFile(name); err != nil || !bytes.Equal(stored, data[:3*GroupSize]) {
		t.Fatal("the bad group was written", err)
	}
}

func TestNoPartialOfWhatIsThere(t *testing.T) {
	s := open(t)
	c := put(t, s, []byte("bytes"))
	for range 2 { // the first leaves no lock behind
		if _, err := s.Partial(t.Context(), c, 5); !errors.Is(err, ErrExists) {
			t.Fatal(err)
		}
	}
}

func TestOnePartialAtATime(t *testing.T) {
	s := open(t)
	c := canon.NewCID(canon.Raw, canon.Sum([]byte("x")))
	p := partialOf(t, s, c, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Partial(ctx, c, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("second partial: %v", err)
	}
	p.Close()
	p.Close()
	if err := s.Discard(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Partial(t.Context(), c, 1); err != nil || p.Done() != 0 {
		t.Fatal(err)
	} else {
		p.Close()
	}
}
