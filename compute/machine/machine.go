// Package machine says what this machine is: processor, memory, graphics cards,
// and the energy that its processors used. It starts nothing, and what it cannot
// find out it states as not known instead of guessing.
//
// All of it comes from a [Source], which is the machine's own files and programs
// or made-up ones. Start at [Source.Read].
package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Facts are what a machine is. Amounts are bytes; 0 and "" are not known, and
// Unknown says why.
type Facts struct {
	OS          string
	Arch        string
	CPU         string // model
	Cores       int    // logical, that this process may use
	Features    []string
	MemoryTotal uint64
	MemoryFree  uint64 // that programs can get without swapping
	GPUs        []GPU
	Unknown     []string // sentences
}

// GPU is one graphics card.
type GPU struct {
	Vendor      string
	Name        string
	Bus         string // PCI address
	Driver      string
	MemoryTotal uint64
	MemoryFree  uint64
}

// Source is where facts come from.
type Source struct {
	OS       string // as runtime.GOOS
	Arch     string // as runtime.GOARCH
	Cores    int
	Features []string
	Root     fs.FS // all files
	// Run gives the standard output of a program, or fs.ErrNotExist if there is none.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
}

// cores are those that this process began with: its owner may have it use fewer.
var cores = runtime.GOMAXPROCS(0)

// This is the machine that the program runs on.
func This() Source {
	return Source{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: cores, Features: features(),
		Root: os.DirFS("/"), Run: run}
}

// patience bounds one call of another program.
const patience = 5 * time.Second

// most bounds what is read of a file or program.
const most = 1 << 20

func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	out := &bounded{}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out.data.Bytes(), nil
}

// bounded refuses more than most bytes, which ends the program that writes them.
// It embeds no buffer: that would be filled past Write.
type bounded struct{ data bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.data.Len()+len(p) > most {
		return 0, errors.New("too much output")
	}
	return b.data.Write(p)
}

// Read finds out what it can.
func (s Source) Read(ctx context.Context) Facts {
	f := Facts{OS: s.OS, Arch: s.Arch, Cores: s.Cores, Features: s.Features}
	switch s.OS {
	case "linux":
		s.linux(&f)
	case "darwin":
		s.darwin(ctx, &f)
	default:
		f.unknown("this program does not ask %s for its processor's model or its memory", s.OS)
	}
	s.gpus(ctx, &f)
	return f
}

func (f *Facts) unknown(format string, a ...any) {
	f.Unknown = append(f.Unknown, fmt.Sprintf(format, a...))
}

// text is the trimmed beginning of a file, or empty.
func (s Source) text(name string) string {
	file, err := s.Root.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// String is the machine in one line.
func (f Facts) String() string {
	parts := []string{fmt.Sprintf("%s, %d %s", known(f.CPU, "processor of unknown model"), f.Cores, plural(f.Cores, "core"))}
	if len(f.Features) > 0 {
		parts[0] += " with " + strings.Join(f.Features, " ")
	}
	if f.MemoryTotal > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s memory free", Size(f.MemoryFree), Size(f.MemoryTotal)))
	} else {
		parts = append(parts, "memory not known")
	}
	for _, g := range f.GPUs {
		parts = append(parts, g.String())
	}
	if len(f.GPUs) == 0 {
		parts = append(parts, "no GPU found")
	}
	return strings.Join(parts, "; ")
}

// String is the card in a few words.
func (g GPU) String() string {
	text := g.Name
	if g.MemoryTotal > 0 {
		text += " with " + Size(g.MemoryTotal)
	}
	return text
}

// Size is a number of bytes as people say it, rounded down.
func Size(bytes uint64) string {
	const tenth = 1 << 30 / 10
	if bytes < 1<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d.%d GiB", bytes/tenth/10, bytes/tenth%10)
}

func known(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
