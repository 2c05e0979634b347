package validator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"cosmossdk.io/log/v2"
	cometdb "github.com/cometbft/cometbft-db"
	cmtconfig "github.com/cometbft/cometbft/config"
	dbm "github.com/cosmos/cosmos-db"
)

// closers are called in reverse order.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	*c = nil
	return errors.Join(errs...)
}

// database opens one of CometBFT's databases. The node closes them when it
// stops, but not when it fails to start.
func (c *closers) database(ctx *cmtconfig.DBContext) (cometdb.DB, error) {
	db, err := cmtconfig.DefaultDBProvider(ctx)
	if err != nil {
		return nil, err
	}
	opened := &chainDB{DB: db}
	c.add(opened.Close)
	return opened, nil
}

// chainDB is a database of CometBFT's that may be closed twice. CometBFT does not
// wait for the routines that look up what a peer lacks, and they go on for up to
// two seconds after the node ended. Absence and errors make some of them panic, so
// whoever reads a closed database ends there, its deferred calls made.
type chainDB struct {
	cometdb.DB
	mu     sync.RWMutex
	closed bool
	err    error // of closing
}

func (d *chainDB) Get(key []byte) ([]byte, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		runtime.Goexit()
	}
	return d.DB.Get(key)
}

func (d *chainDB) Has(key []byte) (bool, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		runtime.Goexit()
	}
	return d.DB.Has(key)
}

// Close waits for those who read.
func (d *chainDB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed, d.err = true, d.DB.Close()
	}
	return d.err
}

// stateDB is the application's database that may be closed twice: by it, and if
// it fails to start.
type stateDB struct {
	dbm.DB
	close func() error
}

func (d stateDB) Close() error { return d.close() }

// maxLog is the size in bytes at which a log is set aside at the next start.
const maxLog = 8 << 20

// openLog writes warnings and errors to a file, and to also if that is not nil,
// through q.
func openLog(path string, also *slog.Logger, q quiet, c *closers) (logger, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".old"); err != nil {
			return logger{}, err
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return logger{}, fmt.Errorf("open log: %w", err)
	}
	c.add(file.Close)
	var handler slog.Handler = slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelWarn})
	if also != nil {
		handler = slog.NewMultiHandler(handler, warnings{also.Handler()})
	}
	q.Handler = handler
	return logger{slog.New(q)}, nil
}

// warnings passes on what is worth a person's attention.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}
func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(name string) slog.Handler   { return warnings{w.Handler.WithGroup(name)} }

// quiet keeps silent about what CometBFT calls an error, though each stop
// causes it, and listens for the end of consensus, and of a hunt.
type quiet struct {
	slog.Handler
	stopping *atomic.Bool
	halt     *halt
	hunt     *hunt // nil if none is on
}

// ofStopping are the words of an ordinary end.
var ofStopping = []string{"Stopped accept routine, as transport is closed", "error while stopped reactor"}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return q.hunt != nil && l >= slog.LevelInfo || q.Handler.Enabled(ctx, l)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	q.halt.notice(r)
	q.hunt.notice(r)
	if !q.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	if q.stopping.Load() && slices.Contains(ofStopping, r.Message) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}
func (q quiet) WithAttrs(a []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(a), q.stopping, q.halt, q.hunt}
}
func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{q.Handler.WithGroup(name), q.stopping, q.halt, q.hunt}
}

// logger is slog as the SDK wants it.
type logger struct{ *slog.Logger }

func (l logger) With(kv ...any) log.Logger { return logger{l.Logger.With(kv...)} }
func (l logger) WithContext(kv ...any) any { return l.With(kv...) }
func (l logger) Impl() any                 { return l.Logger }
