package blob

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"

	"daulat/core/canon"
)

// flakyDisk fails its operation number limit. As a full disk it goes on
// afterwards; as a crash everything fails from then on, the failing write is
// torn, and what was not synced is lost.
type flakyDisk struct {
	realDisk
	noLinks bool
	onOpen  func(name string)
	crash   bool
	limit   int // -1: never

	mu    sync.Mutex
	count int
	files []*flakyFile
}

var errCrash = errors.New("power cut")

func (d *flakyDisk) step() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	switch {
	case d.limit < 0 || d.count <= d.limit:
		return nil
	case d.crash:
		return errCrash
	case d.count == d.limit+1:
		return syscall.ENOSPC
	}
	return nil
}

// loseUnsynced cuts every file to what was synced, as a power cut may.
func (d *flakyDisk) loseUnsynced(t *testing.T) {
	for _, f := range d.files {
		if !f.synced {
			if err := f.keep.Truncate(0); err != nil {
				t.Fatal(err)
			}
		}
		f.keep.Close()
	}
}

func (d *flakyDisk) open(name string, flag int) (file, error) {
	if d.onOpen != nil {
		d.onOpen(name)
	}
	if err := d.step(); err != nil {
		return nil, err
	}
	f, err := d.realDisk.open(name, flag)
	if err != nil || flag == os.O_RDONLY {
		return f, err
	}
	keep, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	flaky := &flakyFile{file: f, disk: d, keep: keep}
	d.files = append(d.files, flaky)
	return flaky, nil
}

func (d *flakyDisk) link(from, to string) error {
	if d.noLinks {
		return syscall.EXDEV
	}
	return d.realDisk.link(from, to)
}

func (d *flakyDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.realDisk.rename(from, to)
}

func (d *flakyDisk) remove(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.realDisk.remove(name)
}

func (d *flakyDisk) syncDir(dir string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.realDisk.syncDir(dir)
}

type flakyFile struct {
	file
	disk   *flakyDisk
	keep   *os.File // follows renames
	synced bool
}

func (f *flakyFile) Write(p []byte) (int, error) {
	f.synced = false
	if err := f.disk.step(); err != nil {
		n, _ := f.file.Write(p[:len(p)/2])
		return n, err
	}
	return f.file.Write(p)
}

func (f *flakyFile) WriteAt(p []byte, offset int64) (int, error) {
	f.synced = false
	if err := f.disk.step(); err != nil {
		n, _ := f.file.WriteAt(p[:len(p)/2], offset)
		return n, err
	}
	return f.file.WriteAt(p, offset)
}

func (f *flakyFile) Truncate(size int64) error {
	if err := f.disk.step(); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f *flakyFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	f.synced = true
	return f.file.Sync()
}

// everyFault runs do on a disk that fails at its first, second, … operation,
// until it runs through, and calls check on the store opened again.
func everyFault(t *testing.T, crash bool, setup func(*Store), do func(*Store) error, check func(s *Store, err error)) {
	for limit := 0; ; limit++ {
		dir := t.TempDir()
		whole, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		setup(whole)
		d := &flakyDisk{crash: crash, limit: limit}
		s, err := openOn(d, dir)
		if err != nil {
			t.Fatal(err)
		}
		err = do(s)
		if crash {
			d.loseUnsynced(t)
		}
		again, openErr := Open(dir)
		if openErr != nil {
			t.Fatal(openErr)
		}
		check(again, err)
		if d.count <= limit {
			if limit < 5 {
				t.Fatalf("only %d operations can fail", limit)
			}
			return
		}
	}
}

func TestFaultAtAnyPointLeavesNoHalfBlob(t *testing.T) {
	data := random(4, 3*GroupSize+9)
	c := canon.NewCID(canon.Raw, canon.Sum(data))
	for name, crash := range map[string]bool{"full disk": false, "crash": true} {
		t.Run(name, func(t *testing.T) {
			everyFault(t, crash, func(*Store) {}, func(s *Store) error {
				_, _, err := s.Put(t.Context(), bytes.NewReader(data))
				return err
			}, func(s *Store, err error) {
				if err == nil && !s.Has(c) {
					t.Fatal("an acknowledged blob is lost")
				}
				if !s.Has(c) {
					return
				}
				if err := s.Verify(t.Context(), c); err != nil {
					t.Fatalf("a half blob is visible: %v", err)
				}
				writeSlice(t, s, c, 0, len(data))
			})
		})
	}
}

func TestFaultAtAnyPointOfADownload(t *testing.T) {
	data := random(4, 3*GroupSize+9)
	c := canon.NewCID(canon.Raw, canon.Sum(data))
	seeder := open(t)
	put(t, seeder, data)
	fetch := func(s *Store) error {
		p, err := s.Partial(t.Context(), c, int64(len(data)))
		if err != nil {
			return err
		}
		defer p.Close()
		rest := writeSlice(t, seeder, c, int(p.Done()), len(data)-int(p.Done()))
		if err := p.Append(t.Context(), bytes.NewReader(rest), nil); err != nil {
			return err
		}
		return p.Commit()
	}
	for name, crash := range map[string]bool{"full disk": false, "crash": true} {
		t.Run(name, func(t *testing.T) {
			everyFault(t, crash, func(*Store) {}, fetch, func(s *Store, err error) {
				if err == nil && !s.Has(c) {
					t.Fatal("an acknowledged blob is lost")
				}
				if !s.Has(c) {
					if err := fetch(s); err != nil {
						t.Fatalf("after the fault: %v", err)
					}
				}
				if err := s.Verify(t.Context(), c); err != nil {
					t.Fatalf("a half blob is visible: %v", err)
				}
			})
		})
	}
}
