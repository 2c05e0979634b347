package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"daulat/test/child"
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

// command is one of the program's, which the caller starts and ends.
func (p *person) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := p.host.command(ctx, p.trial.daulat, p.at(args)...)
	cmd.Env = p.trial.environment()
	return cmd
}

// run runs a command that has to succeed and reads its JSON into v.
func (p *person) run(ctx context.Context, v any, args ...string) error {
	return p.trial.must(ctx, p.host, v, p.at(args)...)
}

// start runs a command that goes on running, and reads what it says when it is ready
// into v.
func (p *person) start(ctx context.Context, v any, args ...string) (*child.Process, error) {
	return p.trial.start(ctx, p.host, v, p.at(args)...)
}

func (p *person) at(args []string) []string { return append([]string{"--home", p.home}, args...) }

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
