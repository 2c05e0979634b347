package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"daulat/test/debian"
)

// tools is what foreign programs run with.
type tools struct {
	folder   string // that the scripts lie in
	temp     string
	python   string // folder of the Python packages
	node     string // folder of the npm packages
	openaigo string // the Go client's program
	chromium string
	cache    string // folder of what is installed, and of pictures
	daulat   string
	qemu     string // runs arm64 programs
	say      func(string)
}

// install finds or installs everything that the peers need.
func install(ctx context.Context, folder, temp string, say func(string)) (*tools, error) {
	if err := present(ctx); err != nil {
		return nil, err
	}
	cache, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	t := &tools{temp: temp, cache: cache, openaigo: filepath.Join(temp, "openaigo"), say: say}
	if t.folder, err = filepath.Abs(folder); err != nil {
		return nil, err
	}
	if t.chromium, err = t.browser(ctx); err != nil {
		return nil, err
	}
	version, err := exec.CommandContext(ctx, "python3", "-VV").Output()
	if err != nil {
		return nil, fmt.Errorf("python3: %w", err)
	}
	t.python, err = t.locked(ctx, "python", version, []string{"requirements.txt"}, func(dir string) error {
		t.say("installing the Python packages of requirements.txt")
		return quiet(t.command(ctx, "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-script-location",
			"--require-hashes", "--only-binary", ":all:", "--target", dir, "--requirement", "requirements.txt"))
	})
	if err != nil {
		return nil, err
	}
	t.node, err = t.locked(ctx, "node", nil, []string{"package.json", "package-lock.json"}, func(dir string) error {
		t.say("installing the npm packages of package-lock.json")
		if err := quiet(t.command(ctx, "npm", "ci", "--prefix", dir, "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")); err != nil {
			return err
		}
		return llamaIn(dir) // an optional package, whose absence npm passes over
	})
	if err != nil {
		return nil, err
	}
	if err := link(filepath.Join(cache, "llama.cpp"), libraries(t.node)); err != nil {
		return nil, err
	}
	if t.qemu, err = t.emulator(ctx); err != nil {
		return nil, err
	}
	t.say("building the Go client")
	return t, t.attempts(ctx, func() error {
		return quiet(t.command(ctx, "go", "build", "-C", "_openaigo", "-o", t.openaigo, "."))
	})
}

// present says in one sentence what this machine lacks.
func present(ctx context.Context) error {
	var lacks []string
	for _, need := range []struct {
		name string
		test []string
	}{
		{"python3 (3.11 or newer) with pip", []string{"python3", "-c", "import pip, sys; sys.exit(sys.version_info < (3, 11))"}},
		{"node (20 or newer)", []string{"node", "-e", "process.exit(process.versions.node.split('.')[0] < 20 ? 1 : 0)"}},
		{"npm", []string{"npm", "--version"}},
	} {
		if exec.CommandContext(ctx, need.test[0], need.test[1:]...).Run() != nil {
			lacks = append(lacks, need.name)
		}
	}
	if lacks != nil {
		return fmt.Errorf("make peers needs %s, which this machine lacks", strings.Join(lacks, " and "))
	}
	return nil
}

func cacheFolder() (string, error) {
	dir := os.Getenv("DAULAT_PEERS_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(user, "daulat", "peers")
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// locked gives the cache folder for these lock files, named by their hash and
// salt, and has fill install into it unless an earlier run completed that.
func (t *tools) locked(ctx context.Context, name string, salt []byte, locks []string, fill func(dir string) error) (string, error) {
	h := sha256.New()
	h.Write(salt)
	contents := map[string][]byte{}
	for _, lock := range locks {
		data, err := os.ReadFile(filepath.Join(t.folder, lock))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", lock, len(data), data)
		contents[lock] = data
	}
	dir := filepath.Join(t.cache, fmt.Sprintf("%s-%.8x", name, h.Sum(nil)))
	complete := filepath.Join(dir, ".complete")
	if _, err := os.Stat(complete); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	err := t.attempts(ctx, func() error {
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
			return err
		}
		for lock, data := range contents {
			if err := os.WriteFile(filepath.Join(dir, lock), data, 0o644); err != nil {
				return err
			}
		}
		return fill(dir)
	})
	if err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	return dir, os.WriteFile(complete, nil, 0o644)
}

// tries and pause are for networks that fail now and then.
const (
	tries = 3
	pause = 5 * time.Second
)

// attempts runs do, which needs the network, until it succeeds, but not for ever.
func (t *tools) attempts(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if try == tries {
			return fmt.Errorf("failed %d times, as without a network: %w", try, err)
		}
		what, _, _ := strings.Cut(err.Error(), "\n")
		t.say("that failed and is tried again: " + what)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// link gives the folder dir a name that stays, by which bench/native finds it.
func link(name, dir string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(dir, name)
}

// browser finds Chromium, or installs Debian's where that needs no question.
func (t *tools) browser(ctx context.Context) (string, error) {
	err := debian.Install(ctx, t.say, func() []string {
		if findBrowser() != "" {
			return nil
		}
		return []string{"chromium"}
	})
	return findBrowser(), err
}

func findBrowser() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// command is a program that runs in the folder of the scripts and finds what was
// installed. It is asked to end when ctx ends, and then made to.
func (t *tools) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = t.folder
	cmd.Env = append(os.Environ(), "PYTHONPATH="+t.python, "PYTHONNOUSERSITE=1", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1",
		"NODE_PATH="+filepath.Join(t.node, "node_modules"))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// quiet runs cmd and shows what it said only if it fails.
func quiet(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return failure(cmd, err, out)
	}
	return nil
}

// answerOf runs cmd and reads the JSON that it prints.
func answerOf(cmd *exec.Cmd, v any) error {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return failure(cmd, err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, v); err != nil {
		return fmt.Errorf("%s printed something else than its result: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}

// failure names the command and ends with the end of what it said.
func failure(cmd *exec.Cmd, err error, said []byte) error {
	said = said[max(0, len(said)-4000):]
	return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(said))
}
