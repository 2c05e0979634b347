package validator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

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
	opened := chainDB{DB: db, close: sync.OnceValue(db.Close)}
	c.add(opened.Close)
	return opened, nil
}

// chainDB is a database of CometBFT's that may be closed twice.
type chainDB struct {
	cometdb.DB
	close func() error
}

func (d chainDB) Close() error { return d.close() }

// stateDB is the application's database that may be closed twice: by it, and if
// it fails to start.
type stateDB struct {
	dbm.DB
	close func() error
}

func (d stateDB) Close() error { return d.close() }

// rpcAddress is what the configuration says, or the port of the last start, or
// a free one, which is then kept: other programs remember where a node is.
func rpcAddress(c Config) (string, error) {
	if c.RPC != "" && !strings.HasSuffix(c.RPC, ":0") {
		return c.RPC, nil
	}
	file := filepath.Join(c.Home, "config", "rpc-address")
	kept, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if port, err := probe(string(kept)); err == nil {
		return "tcp://" + port, nil
	}
	address, err := probe("127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return "tcp://" + address, os.WriteFile(file, []byte(address), 0o600)
}

// probe reports the address that a listener on it gets.
func probe(address string) (string, error) {
	if address == "" {
		return "", errors.New("no address")
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// maxLog is the size in bytes at which a log is set aside at the next start.
const maxLog = 8 << 20

// openLog writes warnings and errors to a file, and to also if that is not nil.
func openLog(path string, also *slog.Logger, c *closers) (log.Logger, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	c.add(file.Close)
	var handler slog.Handler = slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelWarn})
	if also != nil {
		handler = slog.NewMultiHandler(handler, warnings{also.Handler()})
	}
	return logger{slog.New(handler)}, nil
}

// warnings passes on what is worth a person's attention.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}
func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(name string) slog.Handler   { return warnings{w.Handler.WithGroup(name)} }

// logger is slog as the SDK wants it.
type logger struct{ *slog.Logger }

func (l logger) With(kv ...any) log.Logger { return logger{l.Logger.With(kv...)} }
func (l logger) WithContext(kv ...any) any { return l.With(kv...) }
func (l logger) Impl() any                 { return l.Logger }
