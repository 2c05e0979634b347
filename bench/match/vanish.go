package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"

	"daulat/core/canon"
	"daulat/link"
	"daulat/link/session"
	"daulat/test/child"
)

// vanish is the life of a child that is many machines: for each key that it reads
// it listens as one more, and says where. They take streams and asks, and say nothing.
// It ends with its input.
func vanish(in io.Reader, out io.Writer) error {
	decode, encode := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var seed []byte
		if err := decode.Decode(&seed); err == io.EOF {
			return nil
		} else if err != nil {
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
}

// startCrowd starts the child that is all machines which vanish.
func startCrowd() (*child.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "vanish")
	cmd.Stderr = os.Stderr
	return child.Lead(cmd)
}
