package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"daulat/ui/control"
)

// homeFormat is the layout of a home folder that this program writes. Formats 1 to
// 3 had a ledger without invites, without evidence against validators, or without
// preferences and declared models, which this program cannot go on with. In format 4
// the ledger had no bounds on transactions; a home without one is as now.
const homeFormat = "5"

// Home is the one folder in which a daulat keeps its state.
type Home struct {
	dir  string
	made bool // by this process
}

// OpenHome opens or creates a home. It refuses a folder that an older or a newer
// program wrote, or that is no home and not empty.
func OpenHome(dir string) (Home, error) {
	h := Home{dir: dir, made: !exists(dir)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return h, fmt.Errorf("open home: %w", err)
	}
	format, err := os.ReadFile(h.path("format"))
	switch {
	case err == nil && strings.TrimSpace(string(format)) == homeFormat:
		return h, nil
	case err == nil && strings.TrimSpace(string(format)) == "4" && !exists(h.path("chain")):
		return h, writeFile(h.path("format"), []byte(homeFormat+"\n"))
	case err == nil && slices.Contains([]string{"1", "2", "3", "4"}, strings.TrimSpace(string(format))):
		return h, fmt.Errorf("open home %s: an older program made it, with a ledger that this one can't go on with: move the folder away, or use another --home", dir)
	case err == nil && !isFormat(strings.TrimSpace(string(format))):
		return h, fmt.Errorf("open home %s: its file \"format\" is damaged, so nobody knows what lies in it: bring the home back from a copy, or use another --home", dir)
	case err == nil:
		return h, fmt.Errorf("open home %s: it has format %q and this program knows %s: use a newer program", dir, strings.TrimSpace(string(format)), homeFormat)
	case !errors.Is(err, fs.ErrNotExist):
		return h, fmt.Errorf("open home: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return h, fmt.Errorf("open home: %w", err)
	}
	if len(entries) > 0 {
		return h, fmt.Errorf("open home %s: the folder is not empty and is no daulat home", dir)
	}
	return h, writeFile(h.path("format"), []byte(homeFormat+"\n"))
}

// isFormat reports a number that some program could have written.
func isFormat(text string) bool {
	n, err := strconv.ParseUint(text, 10, 32)
	return err == nil && n > 0
}

func (h Home) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

// errHeld says that another process works in a home.
var errHeld = errors.New("another daulat runs")

// Lock makes this process the only one that works in the home, until release.
func (h Home) Lock() (release func(), err error) {
	f, err := os.OpenFile(h.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock home: %w", err)
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w in %s: end that one first, or take another --home", errHeld, h.dir)
	}
	return func() { f.Close() }, nil
}

// passingFile says that whoever holds the home's lock does for one command alone. It
// stays when that ends: what it says counts while the lock is held.
const passingFile = "passing"

const (
	// passingMost is how long a command waits for another one's process. Its answer
	// may have to come first.
	passingMost = outlastMost + stopTimeout
	passingPoll = 100 * time.Millisecond
)

// errServes says that the process that was waited for takes commands now.
var errServes = errors.New("the daulat of this home takes commands now")

// await is Lock. It waits for who passes, such as a command that settles what it asked,
// unless that is found to serve, and not for who stays.
func (h Home) await(ctx context.Context, say control.Progress, serves func() bool) (release func(), err error) {
	ctx, end := context.WithTimeout(ctx, passingMost)
	defer end()
	told := sync.OnceFunc(func() { say("waiting until the command before this one, in the same home, is settled and ends") })
	for {
		release, err := h.Lock()
		if !errors.Is(err, errHeld) || !exists(h.path(passingFile)) {
			return release, err
		}
		told()
		if serves() {
			return nil, errServes
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) { // by its user
				err = ctx.Err()
			}
			return nil, err
		case <-time.After(passingPoll):
		}
	}
}

// occupy is await for who stays.
func (h Home) occupy(ctx context.Context, say control.Progress) (release func(), err error) {
	if release, err = h.await(ctx, say, never); err != nil {
		return nil, err
	}
	if err = os.Remove(h.path(passingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		release()
		return nil, fmt.Errorf("lock home: %w", err)
	}
	return release, nil
}

// pass is await for one command.
func (h Home) pass(ctx context.Context, say control.Progress, serves func() bool) (release func(), err error) {
	if release, err = h.await(ctx, say, serves); err != nil {
		return nil, err
	}
	if err = writeFile(h.path(passingFile), nil); err != nil {
		release()
	}
	return release, err
}

// never is what serves a command that needs the home for itself.
func never() bool { return false }

// inHome opens a home and works in it as the only process, until that ends by itself
// or with ctx.
func inHome(ctx context.Context, dir string, say control.Progress, work func(Home) error) error {
	return inHomeAs(func(h Home) (func(), error) { return h.occupy(ctx, say) }, dir, work)
}

func inHomeAs(lock func(Home) (release func(), err error), dir string, work func(Home) error) error {
	home, err := OpenHome(dir)
	if err != nil {
		return err
	}
	release, err := lock(home)
	if err != nil {
		return err
	}
	err = work(home)
	release()
	if home.made && errors.As(err, new(errNotLetIn)) { // its keys have met nobody
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func randomHex(n int) (string, error) {
	raw := make([]byte, n)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("draw random bytes: %w", err)
	}
	return hex.EncodeToString(raw), nil
}

// writeFile replaces a file of the home whole or not at all.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails once renamed
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// loadJSON reads a file of the home; a missing file leaves v as it is.
func loadJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func saveJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeFile(path, append(data, '\n'))
}
