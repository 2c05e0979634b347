package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"daulat/core/canon"
	"daulat/link"
	"daulat/link/session"
)

// vanish is the life of a child: it reads how many machines it shall be, one key for
// each, and listens for all of them. They take streams and asks, and say nothing.
// It ends with its input.
func vanish(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	encode := json.NewEncoder(out)
	for lines.Scan() {
		seed, err := hex.DecodeString(lines.Text())
		if err != nil {
			return err
		}
		key, err := canon.KeyFromSeed(seed)
		if err != nil {
			return err
		}
		node, err := link.Open(link.Config{Key: key})
		if err != nil {
			return err
		}
		defer node.Close()
		node.Handle(session.Protocol, func(ctx context.Context, s *link.Stream) {
			var o session.Opening
			if s.Receive(&o) == nil {
				<-ctx.Done()
			}
		})
		if err := encode.Encode(node.Addrs()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// crowd is the child that is all machines which vanish.
type crowd struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func startCrowd() (*crowd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &crowd{cmd: exec.Command(self, "vanish")}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	return c, c.cmd.Start()
}

// add starts one more machine and returns its addresses.
func (c *crowd) add(seed []byte) (addrs []string, err error) {
	if _, err := fmt.Fprintf(c.in, "%x\n", seed); err != nil {
		return nil, err
	}
	return addrs, c.out.Decode(&addrs)
}

func (c *crowd) close() error { return errors.Join(c.in.Close(), c.cmd.Wait()) }
