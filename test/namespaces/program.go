package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	startLimit = 90 * time.Second // for a daulat to say that it is ready
	stopLimit  = 30 * time.Second // for one to end in order
	askLimit   = 2 * time.Minute  // for a command
)

// A person is a home on a host, and what runs in it.
type person struct {
	trial *trial
	host  *host
	home  string
}

func (t *trial) person(h *host, name string) *person {
	return &person{t, h, filepath.Join(t.temp, name)}
}

func (p *person) command(ctx context.Context, args ...string) *exec.Cmd {
	return p.host.command(ctx, p.trial.daulat, append([]string{"--home", p.home}, args...)...)
}

// run runs a command and reads the JSON that it prints into v, if v is not nil.
func (p *person) run(ctx context.Context, v any, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cmd := p.command(ctx, append([]string{"--json"}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("daulat %s of %s: %w: %s", args[0], filepath.Base(p.home), err, tail(said.Bytes()))
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(out.Bytes(), v)
}

// A program is a daulat that goes on running.
type program struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // once done
}

// start runs a command that prints JSON once it is ready, which is read into v.
func (p *person) start(ctx context.Context, v any, args ...string) (*program, error) {
	r := &program{log: p.home + ".log", done: make(chan struct{})}
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	r.cmd = p.command(context.WithoutCancel(ctx), append([]string{"--json"}, args...)...) // it is stopped in order
	r.cmd.Stdout, r.cmd.Stderr = in, log
	err = r.cmd.Start()
	in.Close()
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	go func() { r.err = r.cmd.Wait(); close(r.done) }()
	ready := make(chan error, 1)
	go func() {
		defer out.Close()
		d := json.NewDecoder(out)
		ready <- d.Decode(v)
		_, _ = io.Copy(io.Discard, out) // it may say more
	}()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(startLimit):
		err = errors.New("it is not ready in time")
	}
	if err != nil {
		said, _ := os.ReadFile(r.log)
		return nil, errors.Join(fmt.Errorf("daulat %s of %s: %w: %s", args[0], filepath.Base(p.home), err, tail(said)), r.stop())
	}
	return r, nil
}

// stop ends a program in order.
func (r *program) stop() error {
	if r == nil {
		return nil
	}
	_ = r.cmd.Process.Signal(os.Interrupt) // it may have ended
	select {
	case <-r.done:
		return nil // how it went is no matter of a scenario that is over
	case <-time.After(stopLimit):
		return errors.Join(fmt.Errorf("%s does not end", r.log), r.kill())
	}
}

func (r *program) kill() error {
	err := r.cmd.Process.Kill()
	<-r.done
	return err
}

// tail is the last of what somebody said.
func tail(said []byte) []byte {
	const most = 600
	said = bytes.TrimSpace(said)
	return said[max(0, len(said)-most):]
}

// eventually waits for what happens elsewhere.
func eventually(ctx context.Context, what string, limit time.Duration, happened func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := happened()
		if ok && err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("never happened: %s (%w)", what, errors.Join(err, ctx.Err()))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
