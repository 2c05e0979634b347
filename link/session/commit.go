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
	if err := <-done; err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// commit writes what waits in one transaction after the other. After a failed
// one it writes no more: the system may have dropped pages that it could not
// sync, and what is built on them would pass for written.
func (j *Journal) commit() {
	defer close(j.ended)
	var failed error
	for {
		batch := j.waiting()
		if len(batch) == 0 {
			return
		}
		err := failed
		if err == nil {
			err = j.db.Update(func(tx *bbolt.Tx) error { return apply(tx, batch) })
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("no more is written until it is opened again, for a write failed before: %w", err)
		}
		for _, c := range batch {
			c.done <- err
		}
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
