package session_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/link/session"
)

func journal(t *testing.T, path string) *session.Journal {
	t.Helper()
	j, err := session.OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestJournalKeepsWhatWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := journal(t, path)
	model := canon.NewCID(canon.DagCBOR, canon.Hash{1})
	r := session.Record{Session: job.Session{ID: 3, Terms: job.Terms{Model: model}}, Served: job.Served{Seq: 2}}
	if err := j.Save(r); err != nil {
		t.Fatal(err)
	}
	other := r
	other.Session.ID = 4
	if err := j.Save(other); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) {
		r.Served.Tally.Range.Count = i + 1
		if err := j.Append(r, receipt.Transcript{Ask: receipt.Ask{Session: 3, Seq: i + 1}, Request: receipt.Request{Model: model}, Index: i}); err != nil {
			t.Fatal(err)
		}
	}
	// An answer that was never paid gives its place to the next one.
	if err := j.Append(r, receipt.Transcript{Ask: receipt.Ask{Session: 3, Seq: 9}, Request: receipt.Request{Model: model}, Index: 2}); err != nil {
		t.Fatal(err)
	}
	if err := j.SaveLie(session.Lie{Transcript: receipt.Transcript{Ask: receipt.Ask{Session: 3, Seq: 5}, Request: receipt.Request{Model: model}}}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j = journal(t, path)
	defer j.Close()
	back, err := j.Record(3)
	if err != nil || back.Served.Tally.Range.Count != 3 {
		t.Fatalf("%+v, %v", back, err)
	}
	all, err := j.Transcripts(3)
	if err != nil || len(all) != 3 || all[2].Ask.Seq != 9 {
		t.Fatalf("%d transcripts, %v", len(all), err)
	}
	if none, err := j.Transcripts(4); err != nil || len(none) != 0 {
		t.Fatalf("%d transcripts of another session, %v", len(none), err)
	}
	if _, err := j.Lie(3, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Lie(3, 6); !errors.Is(err, session.ErrNoRecord) {
		t.Fatal(err)
	}
	if _, err := j.Record(5); !errors.Is(err, session.ErrNoRecord) {
		t.Fatal(err)
	}
	kept, err := j.Records(func(r session.Record) bool { return r.Session.ID == 4 })
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d records, %v", len(kept), err)
	}
}

func TestCountersNeverRepeat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	last := uint64(0)
	for range 3 {
		j := journal(t, path)
		for range 3 {
			n, err := j.NextCounter()
			if err != nil || n <= last {
				t.Fatalf("%d after %d, %v", n, last, err)
			}
			last = n
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A crash may come between any two numbers: what lies on disk then is enough.
func TestCountersNeverRepeatAfterACrash(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	j := journal(t, path)
	defer j.Close()
	disk := func() []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	writes, before := 0, disk()
	for i := range 2500 {
		n, err := j.NextCounter()
		if err != nil {
			t.Fatal(err)
		}
		now := disk()
		if !bytes.Equal(now, before) {
			writes++
		} else if i%100 != 99 {
			continue
		}
		before = now
		crashed := filepath.Join(dir, "crashed.db")
		if err := os.WriteFile(crashed, now, 0o600); err != nil {
			t.Fatal(err)
		}
		after := journal(t, crashed)
		if m, err := after.NextCounter(); err != nil || m <= n {
			t.Fatalf("%d after %d, %v", m, n, err)
		}
		after.Close()
	}
	if writes != 3 {
		t.Errorf("%d writes for 2500 numbers", writes)
	}
}

func TestCountersOfManyAtOnce(t *testing.T) {
	j := journal(t, filepath.Join(t.TempDir(), "journal.db"))
	defer j.Close()
	var seen sync.Map
	var askers sync.WaitGroup
	for range 8 {
		askers.Go(func() {
			for range 300 {
				n, err := j.NextCounter()
				if _, known := seen.LoadOrStore(n, true); known || err != nil {
					t.Errorf("%d twice, or %v", n, err)
				}
			}
		})
	}
	askers.Wait()
}

func TestOneJournalOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := journal(t, path)
	defer j.Close()
	if _, err := session.OpenJournal(path); err == nil {
		t.Fatal("a journal was opened twice")
	}
}
