package validator

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/store/v2/snapshots"
)

// SnapshotEvery is how many blocks lie between two snapshots of the state unless
// a Config says otherwise. All nodes take them at multiples of it, so that one
// who needs it gets the parts of one snapshot from many.
const SnapshotEvery = 100

const (
	keepSnapshots = 2
	snapshotPoll  = 500 * time.Millisecond
)

// openSnapshots opens the store of the snapshots, under data/snapshots.
func openSnapshots(home string, c *closers) (*snapshots.Store, error) {
	dir := filepath.Join(home, "data", "snapshots")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := dbm.NewDB("metadata", dbm.PebbleDBBackend, dir)
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	db = stateDB{DB: db, close: sync.OnceValue(db.Close)}
	c.add(db.Close)
	return snapshots.NewStore(db, dir)
}

// snapper takes snapshots while the node runs. The SDK would do so in goroutines
// that nobody waits for, which then read from closed databases.
type snapper struct {
	stop context.CancelFunc
	busy sync.WaitGroup
}

func (s *snapper) start(v *Validator, c Config, l logger) {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.busy.Go(func() {
		var last int64 // height that was tried
		for await(ctx, snapshotPoll) {
			height, err := v.Height(ctx)
			if err != nil {
				continue // the node stops
			}
			if v.node.BlockStore().Height() > 0 { // else the state may be there, and its block not
				if err := v.synced(); err != nil {
					l.Error("a sync that ended is not noted", "err", err)
				}
			}
			height -= height % int64(c.SnapshotEvery)
			if height <= last {
				continue
			}
			last = height
			if err := s.take(v, uint64(height)); err != nil {
				l.Warn("no snapshot for others", "height", height, "err", err)
			}
		}
	})
}

func (s *snapper) take(v *Validator, height uint64) error {
	m := v.app.SnapshotManager()
	have, err := m.List()
	if err != nil {
		return err
	}
	if len(have) > 0 && have[0].Height >= height {
		return nil
	}
	if _, err := m.Create(height); err != nil {
		return err
	}
	_, err = m.Prune(keepSnapshots)
	return err
}

// wait returns when no snapshot is being taken, and none will be.
func (s *snapper) wait() {
	if s.stop != nil {
		s.stop()
		s.busy.Wait()
	}
}
