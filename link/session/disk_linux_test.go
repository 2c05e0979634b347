package session_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"daulat/link/session"
	"daulat/link/session/sessiontest"
)

// On a full disk every call that waits fails. After that the journal takes
// nothing more, as it can't know what of the failed write is on disk.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := journal(t, path)
	if err := j.Save(record(1, 1)); err != nil {
		t.Fatal(err)
	}
	back := sessiontest.FillDisk(t, path)
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
	err := j.Save(record(1, 3))
	var broken *session.BrokenError
	if !errors.As(err, &broken) || !errors.Is(err, syscall.ENOSPC) || broken != j.Err() {
		t.Fatalf("a write after a failed one: %v, and the journal says %v", err, j.Err())
	}
	if said := err.Error(); !strings.Contains(said, path) || !strings.Contains(said, "make room") || !strings.Contains(said, "restart daulat") {
		t.Errorf("it does not say what to do: %s", said)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = journal(t, path)
	defer j.Close()
	if r, err := j.Record(1); err != nil || r.Served.Seq != 1 {
		t.Fatalf("%d, %v", r.Served.Seq, err)
	}
	if err := errors.Join(j.Save(record(1, 4)), j.Err()); err != nil {
		t.Fatal(err)
	}
}
