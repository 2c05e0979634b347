package blob

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"daulat/core/canon"
)

// empty checks that nothing is visible or left in temp/.
func empty(t *testing.T, s *Store) {
	t.Helper()
	if all, err := s.List(); err != nil || len(all) > 0 {
		t.Fatalf("the store has %v: %v", all, err)
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, temp)); err != nil || len(left) > 0 {
		t.Fatalf("temp/ has %v: %v", left, err)
	}
}

func TestPutAndRead(t *testing.T) {
	s := open(t)
	data := random(1, 40000)
	c := put(t, s, data)
	if again := put(t, s, data); again != c {
		t.Fatal("the same bytes have two IDs")
	}
	got, err := s.Bytes(c, int64(len(data)))
	if err != nil || !bytes.Equal(got, data) {
		t.Fatal("other bytes", err)
	}
	if _, err := s.Bytes(c, int64(len(data))-1); err == nil {
		t.Fatal("more than max was read")
	}
	b, err := s.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := iotest.TestReader(b, data); err != nil {
		t.Fatal(err)
	}
	if size, err := s.Size(c); err != nil || size != int64(len(data)) {
		t.Fatal(size, err)
	}
	path, err := s.Path(c)
	if err != nil {
		t.Fatal(err)
	}
	if onDisk, err := os.ReadFile(path); err != nil || !bytes.Equal(onDisk, data) {
		t.Fatal("path leads elsewhere", err)
	}
}

func TestDocumentsAndRawBytesHaveTheirOwnNames(t *testing.T) {
	s := open(t)
	doc, err := s.PutBytes(canon.DagCBOR, []byte{0xa0})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.PutBytes(canon.Raw, []byte{0xa0})
	if err != nil || doc == raw {
		t.Fatal(doc, raw, err)
	}
	all, err := s.List()
	if err != nil || len(all) != 2 || !slices.Contains(all, doc) || !slices.Contains(all, raw) {
		t.Fatal(all, err)
	}
	if err := s.Delete(raw); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(raw); err != nil {
		t.Fatalf("second delete: %v", err)
	}
	if s.Has(raw) || !s.Has(doc) {
		t.Fatal("the wrong one was deleted")
	}
}

func TestAbsentBlob(t *testing.T) {
	s := open(t)
	c := canon.NewCID(canon.Raw, canon.Sum([]byte("absent")))
	_, sizeErr := s.Size(c)
	_, openErr := s.Open(c)
	_, bytesErr := s.Bytes(c, 10)
	_, pathErr := s.Path(c)
	for _, err := range []error{sizeErr, openErr, bytesErr, pathErr, s.Verify(t.Context(), c)} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("absent: %v", err)
		}
	}
}

func TestImportStoresOnlyWhatMatches(t *testing.T) {
	s := open(t)
	c := canon.NewCID(canon.DagCBOR, canon.Sum([]byte("right")))
	if err := s.Import(t.Context(), c, strings.NewReader("wrong")); !errors.Is(err, ErrMismatch) {
		t.Fatalf("wrong bytes: %v", err)
	}
	empty(t, s)
	if err := s.Import(t.Context(), c, strings.NewReader("right")); err != nil || !s.Has(c) {
		t.Fatal(err)
	}
}

func TestFailingReaderStoresNothing(t *testing.T) {
	s := open(t)
	broken := errors.New("cable pulled")
	if _, _, err := s.Put(t.Context(), io.MultiReader(bytes.NewReader(random(1, 70000)), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	empty(t, s)
}

func TestPutFileLinksAndNoticesChanges(t *testing.T) {
	s := open(t)
	path := filepath.Join(t.TempDir(), "weights")
	data := random(5, 2*GroupSize+3)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	symlink := path + ".link"
	if err := os.Symlink(path, symlink); err != nil {
		t.Fatal(err)
	}
	c, size, err := s.PutFile(t.Context(), symlink)
	if err != nil || size != int64(len(data)) || c.Hash() != canon.Sum(data) {
		t.Fatal(c, size, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), c); err != nil {
		t.Fatalf("after the original was removed: %v", err)
	}
	if _, _, err := s.PutFile(t.Context(), t.TempDir()); err == nil {
		t.Fatal("a folder was stored")
	}
}

func TestPutFileCopiesWhereLinksAreNotAllowed(t *testing.T) {
	d := &flakyDisk{noLinks: true, limit: -1}
	s, err := openOn(d, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "weights")
	if err := os.WriteFile(path, []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := s.PutFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), c); err != nil {
		t.Fatalf("the copy follows the original: %v", err)
	}
}

func TestPutFileKeepsTheStoresOwnCopy(t *testing.T) {
	s := open(t)
	c := put(t, s, []byte("bytes"))
	path := filepath.Join(t.TempDir(), "weights")
	if err := os.WriteFile(path, []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, _, err := s.PutFile(t.Context(), path); err != nil || again != c {
		t.Fatal(again, err)
	}
	if err := os.WriteFile(path, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestFileThatChangesWhileItIsReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weights")
	if err := os.WriteFile(path, []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &flakyDisk{limit: -1, onOpen: func(name string) {
		if !strings.HasSuffix(name, treeSuffix) {
			return
		}
		if err := os.WriteFile(path, []byte("other bytes"), 0o600); err != nil {
			t.Error(err)
		}
	}}
	s, err := openOn(d, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if c, _, err := s.PutFile(t.Context(), path); err == nil {
		t.Fatalf("stored as %s", c)
	}
	empty(t, s)
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedBlobMovesAside(t *testing.T) {
	data := random(9, 3*GroupSize)
	small := []byte("a small document")
	for name, find := range map[string]func(*Store, canon.CID) error{
		"verify": func(s *Store, c canon.CID) error { return s.Verify(t.Context(), c) },
		"bytes":  func(s *Store, c canon.CID) error { _, err := s.Bytes(c, 1<<20); return err },
		"slice": func(s *Store, c canon.CID) error {
			b, err := s.Open(c)
			if err != nil {
				return err
			}
			defer b.Close()
			return b.WriteSlice(t.Context(), io.Discard, 0, b.Size())
		},
	} {
		for _, content := range [][]byte{data, small} {
			t.Run(name, func(t *testing.T) {
				s := open(t)
				c := put(t, s, content)
				flip(t, s.path(blobs, c), int64(len(content)-3))
				if err := find(s, c); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("damaged: %v", err)
				}
				if s.Has(c) {
					t.Fatal("the damaged blob is still visible")
				}
				if _, err := os.Stat(s.path(damaged, c)); err != nil {
					t.Fatal("it was not moved aside:", err)
				}
				put(t, s, content)
				if err := s.Verify(t.Context(), c); err != nil {
					t.Fatalf("stored again: %v", err)
				}
			})
		}
	}
}

func TestCutBlobMovesAside(t *testing.T) {
	for _, cut := range []int64{0, 1, GroupSize, 2*GroupSize + 9} {
		s := open(t)
		c := put(t, s, random(9, 3*GroupSize))
		if err := os.Truncate(s.path(blobs, c), cut); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(t.Context(), c); !errors.Is(err, ErrCorrupt) || s.Has(c) {
			t.Fatalf("cut to %d bytes: %v", cut, err)
		}
	}
}

func TestDamagedOrLostTreeIsBuiltAgain(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"flipped": func(path string) error { flip(t, path, headerSize+70); return nil },
		"cut":     func(path string) error { return os.Truncate(path, 30) },
		"lost":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			data := random(9, 5*GroupSize)
			c := put(t, s, data)
			whole, err := os.ReadFile(s.path(trees, c))
			if err != nil {
				t.Fatal(err)
			}
			if err := harm(s.path(trees, c)); err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if now, err := os.ReadFile(s.path(trees, c)); err != nil || !bytes.Equal(now, whole) {
				t.Fatal("the tree is not whole again", err)
			}
			writeSlice(t, s, c, 0, len(data))
		})
	}
}

func TestPutHealsADamagedBlob(t *testing.T) {
	s := open(t)
	data := random(9, GroupSize)
	c := put(t, s, data)
	flip(t, s.path(blobs, c), 0)
	put(t, s, data)
	if err := s.Verify(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRemovesOldLeftoversAlone(t *testing.T) {
	s := open(t)
	old, young := filepath.Join(s.dir, temp, "old"), filepath.Join(s.dir, temp, "young")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * tempAge)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the leftover of a crash is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Fatal("a file that may be in use was removed")
	}
}
