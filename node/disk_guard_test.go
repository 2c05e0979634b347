//go:build unix

package node

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"daulat/platform/gateway"
)

// fullDisk lets no file grow beyond a size while do runs: a write then fails
// half-way, as on a disk that is full.
func fullDisk(t *testing.T, size uint64, do func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &low); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

// TestFullDiskLosesNoSpend: what a token spent is on record whole or as it was
// before, and the gateway hears that it was not kept.
func TestFullDiskLosesNoSpend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spent.json")
	s, err := openSpending(path)
	if err != nil {
		t.Fatal(err)
	}
	before := gateway.Spend{Day: 20000, Spent: 100}
	if err := s.Save("t", before); err != nil {
		t.Fatal(err)
	}
	for _, room := range []uint64{0, 1, 20} {
		fullDisk(t, room, func() {
			if err := s.Save("t", gateway.Spend{Day: 20000, Spent: 900}); err == nil {
				t.Errorf("with room for %d bytes a spend was kept", room)
			}
		})
		again, err := openSpending(path)
		if err != nil {
			t.Errorf("with room for %d bytes: %v", room, err)
			continue
		}
		if kept, err := again.Load("t"); err != nil || kept != before {
			t.Errorf("with room for %d bytes: %+v, %v", room, kept, err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if strings.HasPrefix(e.Name(), ".new-") {
			t.Errorf("%s is left behind", e.Name())
		}
	}
	if err := s.Save("t", gateway.Spend{Day: 20000, Spent: 200}); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
