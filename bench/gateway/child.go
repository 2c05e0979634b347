package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"daulat/test/child"
)

// task is what a child is started with: one line of JSON. It answers each line
// that it gets with one of its own, and ends when its input does.
type task struct {
	Role    string // provider or gateway
	Ledger  string // RPC address
	Account []byte // secret of its account
	Dir     string
	Streams int
	Pace    time.Duration
	Profile string
}

// ready is a child's first line; the gateway fills it in.
type ready struct{ URL, Token, Model string }

// stats is a child's answer to any further line.
type stats struct {
	CPU        time.Duration // user and system time so far
	Calls      int           // to the ledger, other than in the background
	Background int
}

// part is a child that has started.
type part struct {
	*child.Process
	ready ready
}

func startPart(t task) (*part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "serve")
	cmd.Stderr = os.Stderr
	p := &part{}
	if p.Process, err = child.Lead(cmd); err != nil {
		return nil, err
	}
	if err := p.Ask(t, &p.ready); err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s: %w", t.Role, err), p.Stop())
	}
	return p, nil
}

func (p *part) stats() (s stats, err error) { return s, p.Ask("stats", &s) }
