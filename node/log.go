package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// A home's log lies on somebody's machine, which may be off the network for weeks
// while each part says every second that it will try again. So it has two files at
// the most, and says nothing too often.

const (
	logMost    = 8 << 20 // bytes of a file, after which a new one is begun
	logEach    = 10      // times that one line is written in a logPeriod
	logPeriod  = time.Minute
	logForgets = 1000 // lines that are counted
)

// openLog writes what the parts have to say to a file of the home.
func openLog(h Home) (*slog.Logger, func() error, error) {
	f, err := openCappedFile(h.path("daulat.log"), logMost)
	if err != nil {
		return nil, nil, fmt.Errorf("open log: %w", err)
	}
	logger := slog.New(&sparing{Handler: slog.NewTextHandler(f, nil), said: &sayings{of: map[string]saying{}}})
	slog.SetDefault(logger) // what libraries say through the standard loggers goes the same way, in the same form
	return logger, func() error {
		slog.SetDefault(slog.New(slog.DiscardHandler))
		return f.Close()
	}, nil
}

// cappedFile is appended to. Once it is long it becomes NAME.old, in place of the one
// before.
type cappedFile struct {
	mu   sync.Mutex
	path string
	file *os.File
	size int64
	most int64
}

func openCappedFile(path string, most int64) (*cappedFile, error) {
	f := &cappedFile{path: path, most: most}
	return f, f.open()
}

func (f *cappedFile) open() (err error) {
	if f.file, err = os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	info, err := f.file.Stat()
	if err != nil {
		return errors.Join(err, f.file.Close())
	}
	f.size = info.Size()
	return nil
}

// Write implements io.Writer.
func (f *cappedFile) Write(p []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size > 0 && f.size+int64(len(p)) > f.most {
		if err := f.turn(); err != nil {
			return 0, err
		}
	}
	n, err = f.file.Write(p)
	f.size += int64(n)
	return n, err
}

func (f *cappedFile) turn() error {
	return errors.Join(f.file.Close(), os.Rename(f.path, f.path+".old"), f.open())
}

// Close implements io.Closer.
func (f *cappedFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}

// sparing is a handler that leaves out what was said word for word too often just now.
// The next of its kind tells how many there were.
type sparing struct {
	slog.Handler
	said *sayings
}

// Handle implements slog.Handler.
func (s *sparing) Handle(ctx context.Context, r slog.Record) error {
	var all strings.Builder
	all.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		all.WriteString(a.String())
		return true
	})
	missed, ok := s.said.count(all.String(), r.Time)
	if !ok {
		return nil
	}
	if missed > 0 {
		r.AddAttrs(slog.Int("left_out", missed))
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (s *sparing) WithAttrs(all []slog.Attr) slog.Handler {
	return &sparing{s.Handler.WithAttrs(all), s.said}
}

// WithGroup implements slog.Handler.
func (s *sparing) WithGroup(name string) slog.Handler {
	return &sparing{s.Handler.WithGroup(name), s.said}
}

// sayings is how often each line was said lately.
type sayings struct {
	mu sync.Mutex
	of map[string]saying
}

type saying struct {
	since         time.Time // of the period
	times, missed int
}

// count reports whether a line may be said again, and how many times it was left out
// before.
func (s *sayings) count(line string, at time.Time) (missed int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.of) >= logForgets {
		clear(s.of)
	}
	now := s.of[line]
	if at.Sub(now.since) >= logPeriod {
		now.since, now.times = at, 0
	}
	now.times++
	if ok = now.times <= logEach; ok {
		missed, now.missed = now.missed, 0
	} else {
		now.missed++
	}
	s.of[line] = now
	return missed, ok
}
