package session_test

import (
	"path/filepath"
	"sync"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/link/session"
)

func record(id, seq uint64) session.Record {
	return session.Record{Session: job.Session{ID: id, Terms: job.Terms{Model: canon.NewCID(canon.DagCBOR, canon.Hash{1})}}, Served: job.Served{Seq: seq}}
}

func TestBadWriteStopsNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := journal(t, path)
	bad := session.Record{Session: job.Session{ID: 1000}} // a model of no name can't be encoded
	var writers sync.WaitGroup
	for id := range uint64(40) {
		writers.Go(func() {
			if err := j.Save(record(id, 1)); err != nil {
				t.Error(err)
			}
		})
		writers.Go(func() {
			if j.Save(bad) == nil {
				t.Error("a record that can't be encoded was written")
			}
		})
	}
	writers.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = journal(t, path)
	defer j.Close()
	if all, err := j.Records(func(session.Record) bool { return true }); err != nil || len(all) != 40 {
		t.Fatalf("%d records, %v", len(all), err)
	}
}

// Whatever was acknowledged before Close is there afterwards, and nobody waits
// for ever.
func TestCloseWhileOthersWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := journal(t, path)
	var acknowledged [8]uint64
	var started, writers sync.WaitGroup
	started.Add(len(acknowledged))
	for id := range acknowledged {
		writers.Go(func() {
			for seq := uint64(1); j.Save(record(uint64(id), seq)) == nil; seq++ {
				if acknowledged[id] = seq; seq == 3 {
					started.Done()
				}
			}
		})
	}
	started.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	if err := j.Close(); err != nil {
		t.Fatalf("a second Close: %v", err)
	}
	j = journal(t, path)
	defer j.Close()
	for id, seq := range acknowledged {
		if r, err := j.Record(uint64(id)); err != nil || r.Served.Seq < seq {
			t.Errorf("writer %d: %d is there of %d that were acknowledged, %v", id, r.Served.Seq, seq, err)
		}
	}
}
