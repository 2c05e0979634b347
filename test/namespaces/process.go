package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"daulat/ledger/client"
	"daulat/test/child"
)

// startLimit bounds the start of a process.
const startLimit = 90 * time.Second

// start runs a command of the program on a host, waits until it says as JSON that it
// is ready, and reads that into ready. The trial's end kills it.
func (t *trial) start(ctx context.Context, h *host, ready any, args ...string) (*child.Process, error) {
	return t.launch(ctx, h, ready, t.daulat, append(args, "--json")...)
}

// startSelf is start for this program.
func (t *trial) startSelf(ctx context.Context, h *host, ready any, args ...string) (*child.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return t.launch(ctx, h, ready, self, args...)
}

func (t *trial) launch(ctx context.Context, h *host, ready any, program string, args ...string) (*child.Process, error) {
	cmd := h.command(context.WithoutCancel(ctx), program, args...)
	cmd.Env = t.environment()
	p, err := child.LaunchBy(cmd, func() error { return h.begin(cmd, program) })
	if err != nil {
		return nil, err
	}
	t.running = append(t.running, p)
	return p, p.Ready(startLimit, ready)
}

// environment of the program: its user has nothing but the trial's folder.
func (t *trial) environment() []string {
	return []string{"HOME=" + t.temp, "TMPDIR=" + os.TempDir(), "PATH=" + os.Getenv("PATH")}
}

// An outcome is what one command came to.
type outcome struct {
	stdout, stderr string
	status         int
}

// run executes one command of the program on a host to its end.
func (t *trial) run(ctx context.Context, h *host, limit time.Duration, args ...string) (outcome, error) {
	return t.runOf(ctx, h, limit, t.daulat, args...)
}

// runOf is run for another program.
func (t *trial) runOf(ctx context.Context, h *host, limit time.Duration, program string, args ...string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := h.command(ctx, program, args...)
	var out, said bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = t.environment(), &out, &said
	err := h.begin(cmd, program)
	if err == nil {
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		return outcome{}, fmt.Errorf("%s did not end in %s: %s", cmd, limit, &said)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	return outcome{out.String(), said.String(), cmd.ProcessState.ExitCode()}, nil
}

// must is run for a command that has to succeed, and reads its JSON.
func (t *trial) must(ctx context.Context, h *host, into any, args ...string) error {
	o, err := t.run(ctx, h, startLimit, append(args, "--json")...)
	if err == nil && o.status != 0 {
		err = fmt.Errorf("daulat %s ended with status %d: %s", strings.Join(args, " "), o.status, o.stderr)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(o.stdout), into)
}

// rpc calls the ledger node that a host has at an address of its own loopback.
func (h *host) rpc(address string) (client.RPC, error) {
	return client.Over(func(ctx context.Context) (net.Conn, error) {
		return h.dial(ctx, strings.TrimPrefix(address, "tcp://"))
	})
}

// dial opens a connection from a host. A socket belongs to the namespace that its
// thread was in, so a thread goes there, and is given up.
func (h *host) dial(ctx context.Context, address string) (net.Conn, error) {
	type dialed struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialed, 1)
	go func() {
		runtime.LockOSThread() // until it ends, and the thread with it
		space, err := os.Open("/var/run/netns/" + h.space)
		if err == nil {
			defer space.Close()
			err = unix.Setns(int(space.Fd()), syscall.CLONE_NEWNET)
		}
		if err != nil {
			done <- dialed{nil, fmt.Errorf("enter %s: %w", h.space, err)}
			return
		}
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		done <- dialed{c, err}
	}()
	d := <-done
	return d.conn, d.err
}
