//go:build unix

package validator_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"daulat/ledger/validator"
)

// fullPeer tells a copy of the test binary to run one of several validators,
// whose disk fills up when its standard input ends.
const fullPeer = "DAULAT_TEST_FULL_PEER"

func init() { children[fullPeer] = runPeerUntilFull }

// peersOf is where the test leaves the peers of that validator, one a line.
func peersOf(home string) string { return filepath.Join(home, "peers") }

func runPeerUntilFull(home string) int {
	signal.Ignore(syscall.SIGXFSZ) // the write fails then
	peers, err := os.ReadFile(peersOf(home))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	v, err := validator.Start(context.Background(), validator.Config{Home: home, TimeoutCommit: 50 * time.Millisecond, Peers: strings.Fields(string(peers))})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if err := v.WaitBlock(context.Background(), 3); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("it signs")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // its end is what counts
	if err := fillDisk(); err != nil {
		fmt.Println(err)
		return 1
	}
	<-v.Halted() // if its database did not end the process over the failed write
	_ = v.Stop() // may say what could not be written
	return 0
}

// One validator of four runs out of room: it stops, the others go on, and with
// room again it is one of them.
func TestFullDiskOfOneOfFour(t *testing.T) {
	s := found(t, 4)
	full := s.homes[3]
	if err := os.WriteFile(peersOf(full), []byte(strings.Join(s.peers[:3], "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := spawn(t, ctx, fullPeer, full)
	var nodes []*validator.Validator
	for _, home := range s.homes[:3] {
		nodes = append(nodes, s.start(t, s.config(home)))
	}
	if !child.lines.Scan() || child.lines.Text() != "it signs" {
		t.Fatalf("the fourth validator says %q", child.lines.Text())
	}
	child.in.Close()
	for child.lines.Scan() { // until it ends, one way or the other
		t.Log(child.lines.Text())
	}
	if err := child.Wait(); ctx.Err() != nil {
		t.Fatalf("a validator on a full disk goes on: %v", err)
	}
	// Its own end, or that of a database that could not write: nothing else.
	if code := child.ProcessState.ExitCode(); code != 0 && code != 1 {
		t.Fatalf("a validator on a full disk ends with status %d", code)
	}
	goesOn := height(t, as(t, nodes[0], aliceSeed)) + 5
	reach(t, goesOn, nodes...)
	nodes = append(nodes, s.start(t, s.config(full)))
	reach(t, goesOn+5, nodes...)
	agree(t, goesOn+4, nodes...)
}
