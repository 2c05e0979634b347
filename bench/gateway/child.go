package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
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

// child is a process of this program's own.
type child struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	ready   ready
}

func startChild(t task) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{command: exec.Command(self, "serve")}
	c.command.Stderr = os.Stderr
	if c.in, err = c.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if err := c.command.Start(); err != nil {
		return nil, err
	}
	if err := c.call(t, &c.ready); err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s: %w", t.Role, err), c.close())
	}
	return c, nil
}

func (c *child) call(question, answer any) error {
	if err := json.NewEncoder(c.in).Encode(question); err != nil {
		return err
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, answer)
}

func (c *child) stats() (s stats, err error) { return s, c.call("stats", &s) }

func (c *child) close() error { return errors.Join(c.in.Close(), c.command.Wait()) }
