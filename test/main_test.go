// Package test drives the real program as its user would: in processes of its
// own, by its command line, its HTTP API and the files that it leaves behind.
//
// The scripts in testdata say what a person types and sees. The tests in Go do
// what a script says badly: many requests at once, hostile bytes, and a process
// that is killed at every moment. All of them use the generated noise model,
// listen on loopback alone and download nothing.
//
// Start at testdata/first_answer.txtar.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"daulat/ledger/client"
	"daulat/node"
	"daulat/test/child"
	"daulat/ui/cli"
	"daulat/ui/control"
)

// TestMain makes this binary the program, when it is called by that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"daulat": daulat})
}

func daulat() {
	ctx, stop := cli.Signals(context.Background())
	status := cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr, node.Runtime{})
	stop()
	os.Exit(status)
}

// patience bounds every wait for a process; nothing takes that long.
const patience = 60 * time.Second

// environment of a program whose user is at home in home: no cache, no Python,
// no network but loopback.
func environment(home string) []string {
	return []string{"HOME=" + filepath.Dir(home), "DAULAT_HOME=" + home, "TMPDIR=" + os.TempDir(), "PATH=" + bin(), "DAULAT_UPSTREAM_PROBE="}
}

// bin is the folder that holds the program and nothing else.
func bin() string { return filepath.SplitList(os.Getenv("PATH"))[0] }

// A result is what one command left.
type result struct {
	stdout, stderr string
	status         int // -1 if it was killed
}

// run executes one command of home to its end, or kills it when ctx ends.
func run(ctx context.Context, t *testing.T, home string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "daulat", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(home), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		t.Fatalf("daulat %s: %v", strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command that has to succeed and reads its JSON.
func must[T any](t *testing.T, home string, args ...string) (out T) {
	t.Helper()
	r := run(t.Context(), t, home, append(args, "--json")...)
	if r.status != 0 {
		t.Fatalf("daulat %s ended with status %d: %s", strings.Join(args, " "), r.status, r.stderr)
	}
	out, err := parse[T](r.stdout)
	if err != nil {
		t.Fatalf("daulat %s: %v in %s", strings.Join(args, " "), err, r.stdout)
	}
	return out
}

func parse[T any](text string) (v T, err error) { return v, json.Unmarshal([]byte(text), &v) }

// An upward is a process that runs `daulat up`.
type upward struct {
	control.Ready
	*child.Process
	home string
}

// launch starts a command that stays, and does not wait. The test's end kills it.
func launch(t *testing.T, home string, args ...string) *child.Process {
	t.Helper()
	cmd := exec.Command("daulat", append(args, "--json")...)
	cmd.Env = environment(home)
	p, err := child.Launch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// climb starts `daulat up` and does not wait.
func climb(t *testing.T, home string, args ...string) *child.Process {
	t.Helper()
	return launch(t, home, append([]string{"up", "--noise", "--listen", "127.0.0.1:0"}, args...)...)
}

// up starts a network in home and waits until it serves.
func up(t *testing.T, home string, args ...string) *upward {
	t.Helper()
	u := &upward{Process: climb(t, home, args...), home: home}
	if err := u.Process.Ready(patience, &u.Ready); err != nil {
		t.Fatal(err)
	}
	return u
}

// stop ends a process as Ctrl-C does and wants it to end well.
func stop(t *testing.T, p *child.Process) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
}

// ledger asks the network's node directly.
func (u *upward) ledger(t *testing.T) *client.Client {
	t.Helper()
	rpc, err := client.Dial(u.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	chain, _, _ := strings.Cut(u.Trust, "@")
	return client.New(rpc, chain, nil)
}

// windows is more than the ledger's windows of a test come to.
const windows = 30 * time.Second

// eventually polls until done; after the windows it is an error that something
// is missing.
func eventually(t *testing.T, done func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(windows)
	for {
		ok, missing := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("waited %s in vain: %s", windows, missing)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
