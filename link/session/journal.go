package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
)

// Record is what one side remembers of a session.
type Record struct {
	Session job.Session    `cbor:"session"`          // as the ledger last showed it
	Served  job.Served     `cbor:"served"`           // what is paid for
	Unpaid  *job.Served    `cbor:"unpaid,omitempty"` // and one answer more, if its voucher is still to come
	Newest  *receipt.Entry `cbor:"newest,omitempty"` // the newest pair, which the ledger may not know yet
	// Closing says that a final voucher may be out: the session carries no more
	// requests, whatever the ledger still shows.
	Closing bool `cbor:"closing,omitempty"`
	// Ended is the block time at which a provider saw that the session was over.
	Ended uint64 `cbor:"ended,omitempty"`
}

// Lie is an answer that was found wrong before it was paid for, with what binds
// the provider to it.
type Lie struct {
	Transcript receipt.Transcript `cbor:"transcript"`
	Receipt    receipt.Signed     `cbor:"receipt"`
	Path       []canon.Hash       `cbor:"path"` // from the transcript's leaf to the receipt's root
}

// Journal is a side's memory of its sessions on disk. A write is on disk when
// the call returns, so whoever is killed at any moment finds every voucher it
// acknowledged and every transcript it signed for. Writes that come while
// others are being synced share the next sync. After a write that failed, as on
// a full disk, it takes no more. It is safe for concurrent use.
type Journal struct {
	db      *bbolt.DB
	changes chan change   // to commit, which is the only writer
	quit    chan struct{} // closed by Close
	ended   chan struct{} // closed when commit has returned
	broken  chan struct{} // closed when a write has failed
	err     error         // why; set before broken is closed
	close   func() error

	counting   sync.Mutex
	counter    uint64 // the last one given out
	counterEnd uint64 // on disk: the last one that may be given out
}

var (
	sessionsBucket    = []byte("sessions")    // session → Record
	transcriptsBucket = []byte("transcripts") // session ‖ index → Transcript
	liesBucket        = []byte("lies")        // session ‖ seq → Lie
	countersBucket    = []byte("counters")    // name → no number above it was given out
	requestCounter    = []byte("request")
)

// counterStep is how many request counters one write allows for.
const counterStep = 1000

// ErrNoRecord says that the journal does not know a session or transcript.
var ErrNoRecord = errors.New("not in the journal")

var errClosed = errors.New("journal is closed")

// OpenJournal opens or creates the journal at path. Two processes can't hold
// one journal.
func OpenJournal(path string) (*Journal, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	counter, err := prepare(db)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	j := &Journal{db: db, changes: make(chan change), quit: make(chan struct{}), ended: make(chan struct{}),
		broken: make(chan struct{}), counter: counter, counterEnd: counter}
	j.close = sync.OnceValue(func() error {
		close(j.quit)
		<-j.ended
		return db.Close()
	})
	go j.commit()
	return j, nil
}

// prepare makes what a new journal lacks and returns the end of the request
// counters.
func prepare(db *bbolt.DB) (counter uint64, err error) {
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{sessionsBucket, transcriptsBucket, liesBucket, countersBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		switch end := tx.Bucket(countersBucket).Get(requestCounter); len(end) {
		case 0:
		case 8:
			counter = binary.BigEndian.Uint64(end)
		default:
			return fmt.Errorf("request counter has %d bytes", len(end))
		}
		return nil
	})
	return counter, err
}

// Close releases the file. What is being written comes to its end first; later
// writes fail.
func (j *Journal) Close() error { return j.close() }

// Save writes a record.
func (j *Journal) Save(r Record) error {
	return j.write(item{sessionsBucket, key(r.Session.ID), r})
}

// Append writes a record together with the transcript that it now covers.
func (j *Journal) Append(r Record, t receipt.Transcript) error {
	return j.write(item{transcriptsBucket, key(r.Session.ID, t.Index), t}, item{sessionsBucket, key(r.Session.ID), r})
}

// Record returns what is remembered of a session.
func (j *Journal) Record(session uint64) (r Record, err error) {
	return r, j.view(sessionsBucket, key(session), &r)
}

// Records returns the records that keep picks, in the order of their sessions.
func (j *Journal) Records(keep func(Record) bool) (all []Record, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(sessionsBucket).ForEach(func(_, data []byte) error {
			var r Record
			if err := canon.Unmarshal(data, &r); err != nil {
				return err
			}
			if keep(r) {
				all = append(all, r)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return all, nil
}

// Transcripts returns all that was served in a session, in the order of the
// receipt's range.
func (j *Journal) Transcripts(session uint64) (all []receipt.Transcript, err error) {
	prefix := key(session)
	err = j.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(transcriptsBucket).Cursor()
		for k, data := c.Seek(prefix); len(k) == 16 && string(k[:8]) == string(prefix); k, data = c.Next() {
			var t receipt.Transcript
			if err := canon.Unmarshal(data, &t); err != nil {
				return err
			}
			all = append(all, t)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return all, nil
}

// SaveLie keeps the evidence against a provider.
func (j *Journal) SaveLie(l Lie) error {
	ask := l.Transcript.Ask
	return j.write(item{liesBucket, key(ask.Session, ask.Seq), l})
}

// Lie returns the evidence kept under a receipt's name.
func (j *Journal) Lie(session, seq uint64) (l Lie, err error) {
	return l, j.view(liesBucket, key(session, seq), &l)
}

// NextCounter returns a request counter that was never given out before. On disk
// is the upper end of those that may have been, so a crash skips some.
func (j *Journal) NextCounter() (uint64, error) {
	j.counting.Lock()
	defer j.counting.Unlock()
	if j.counter == j.counterEnd {
		end := j.counterEnd + counterStep
		if err := j.put(entry{countersBucket, requestCounter, key(end)}); err != nil {
			return 0, err
		}
		j.counterEnd = end
	}
	j.counter++
	return j.counter, nil
}

func (j *Journal) view(bucket, key []byte, v any) error {
	return j.db.View(func(tx *bbolt.Tx) error {
		data := tx.Bucket(bucket).Get(key)
		if data == nil {
			return ErrNoRecord
		}
		return canon.Unmarshal(data, v)
	})
}

func key(parts ...uint64) []byte {
	var k []byte
	for _, p := range parts {
		k = binary.BigEndian.AppendUint64(k, p)
	}
	return k
}
