package session_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// swapDisk lets writes to the open file go to another device, until back is
// called.
func swapDisk(t *testing.T, path, device string) (back func()) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err != nil || target != path {
			continue
		}
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		kept, err := syscall.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if err := syscall.Dup3(int(other.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := errors.Join(syscall.Dup3(kept, fd, syscall.O_CLOEXEC), syscall.Close(kept)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatalf("%s is not open", path)
	return nil
}

// On a full disk every call that waits fails. After that the journal takes
// nothing more, as it can't know what of the failed write is on disk.
func TestFullDisk(t *testing.T) {
	path, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(path, "journal.db")
	j := journal(t, path)
	if err := j.Save(record(1, 1)); err != nil {
		t.Fatal(err)
	}
	back := swapDisk(t, path, "/dev/full")
	var writers sync.WaitGroup
	for range 20 {
		writers.Go(func() {
			if err := j.Save(record(1, 2)); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("a write to a full disk: %v", err)
			}
		})
	}
	writers.Wait()
	if r, err := j.Record(1); err != nil || r.Served.Seq != 1 {
		t.Errorf("a failed write is read: %d, %v", r.Served.Seq, err)
	}
	back()
	if err := j.Save(record(1, 3)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write after a failed one: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = journal(t, path)
	defer j.Close()
	if r, err := j.Record(1); err != nil || r.Served.Seq != 1 {
		t.Fatalf("%d, %v", r.Served.Seq, err)
	}
	if err := j.Save(record(1, 4)); err != nil {
		t.Fatal(err)
	}
}
