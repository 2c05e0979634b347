package session

import (
	"fmt"

	"go.etcd.io/bbolt"

	"daulat/core/canon"
)

// item is a value to be written.
type item struct {
	bucket, key []byte
	value       any
}

// entry is an item in the form in which it is stored.
type entry struct{ bucket, key, value []byte }

// change is what is written as a whole or not at all.
type change struct {
	entries []entry
	done    chan<- error
}

// write returns when the items are on disk. They are encoded here and not in
// commit, so that one which can't be fails alone.
func (j *Journal) write(items ...item) error {
	entries := make([]entry, len(items))
	for i, v := range items {
		data, err := canon.Marshal(v.value)
		if err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
		entries[i] = entry{v.bucket, v.key, data}
	}
	return j.put(entries...)
}

func (j *Journal) put(entries ...entry) error {
	done := make(chan error, 1)
	select {
	case j.changes <- change{entries, done}:
	case <-j.quit:
		return fmt.Errorf("write journal: %w", errClosed)
	}
	return <-done
}

// BrokenError says that a write to a journal failed, and that it takes no more.
type BrokenError struct {
	Path string // of the journal
	Err  error
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("a write to the journal %s failed, and it takes no more: make room if its disk is full, then restart daulat: %v", e.Path, e.Err)
}

// Unwrap returns what the failed write ended with.
func (e *BrokenError) Unwrap() error { return e.Err }

// commit writes what waits in one transaction after the other. After a failed
// one it writes no more, even once there is room again: the system may have
// dropped pages that it could not sync, and what is built on them would pass for
// written; and who was told of the failure goes on from another state than may
// lie on disk. A restart has both sides read it anew.
func (j *Journal) commit() {
	defer close(j.ended)
	for {
		batch := j.waiting()
		if len(batch) == 0 {
			return
		}
		err := j.Err()
		if err == nil {
			err = j.db.Update(func(tx *bbolt.Tx) error { return apply(tx, batch) })
		}
		if err != nil && j.Err() == nil {
			err = &BrokenError{j.db.Path(), err}
			j.err = err
			close(j.broken)
		}
		for _, c := range batch {
			c.done <- err
		}
	}
}

// Broken is closed once a write has failed; Err says which.
func (j *Journal) Broken() <-chan struct{} { return j.broken }

// Err is a BrokenError once a write has failed, and nil before.
func (j *Journal) Err() error {
	select {
	case <-j.broken:
		return j.err
	default:
		return nil
	}
}

// waiting returns the changes that wait, at least one; none if the journal is
// closed.
func (j *Journal) waiting() (batch []change) {
	select {
	case c := <-j.changes:
		batch = append(batch, c)
	case <-j.quit:
		return nil
	}
	for {
		select {
		case c := <-j.changes:
			batch = append(batch, c)
		default:
			return batch
		}
	}
}

func apply(tx *bbolt.Tx, batch []change) error {
	for _, c := range batch {
		for _, e := range c.entries {
			if err := tx.Bucket(e.bucket).Put(e.key, e.value); err != nil {
				return err
			}
		}
	}
	return nil
}
