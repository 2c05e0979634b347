package test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	rpchttp "github.com/cometbft/cometbft/rpc/client/http"

	"daulat/ledger/client"
	"daulat/test/child"
	"daulat/ui/control"
)

// blockTime makes the tests' ledgers fast; snapshotEvery then leaves a snapshot
// ten seconds, which a newcomer needs to find it and get it.
const (
	blockTime     = "50ms"
	snapshotEvery = "60"
)

// A process is a command that stays, and what it said when it was ready.
type process[T any] struct {
	*child.Process
	ready T
}

// background starts a command and waits until it is ready. The test's end kills it.
func background[T any](t *testing.T, home string, args ...string) *process[T] {
	t.Helper()
	p := &process[T]{Process: launch(t, home, args...)}
	if err := p.Ready(patience, &p.ready); err != nil {
		t.Fatal(err)
	}
	return p
}

// testnet is four validators, and how to start one of them again.
func testnet(t *testing.T) *process[control.Testnet] {
	t.Helper()
	home := filepath.Join(t.TempDir(), "net")
	p := background[control.Testnet](t, home, "testnet", "--home", home, "--block-time", blockTime, "--snapshot-every", snapshotEvery, "--invites", "1")
	t.Cleanup(func() { // what should have ended by then
		for _, v := range p.ready.Validators {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", v.PID))
			if err == nil && strings.Contains(string(line), v.Home) {
				_ = syscall.Kill(v.PID, syscall.SIGKILL) // it may end meanwhile
			}
		}
	})
	return p
}

func again(t *testing.T, v control.TestnetValidator) *process[control.Node] {
	t.Helper()
	args := strings.Fields(v.Restart)
	return background[control.Node](t, v.Home, args[1:]...)
}

// gone waits until the process with that ID is no more.
func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, func() (bool, string) {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/fd", pid))
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(data), ") Z "), fmt.Sprintf("the end of process %d", pid)
	})
}

func killed(t *testing.T, v control.TestnetValidator) {
	t.Helper()
	p, err := os.FindProcess(v.PID)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	gone(t, v.PID)
}

// connections are one to each address: a node takes a limited number.
var connections sync.Map

// asking asks one ledger node.
func asking(t *testing.T, n control.Node) *rpchttp.HTTP {
	t.Helper()
	if c, ok := connections.Load(n.Ledger); ok {
		return c.(*rpchttp.HTTP)
	}
	c, err := rpchttp.New(n.Ledger, "/websocket")
	if err != nil {
		t.Fatal(err)
	}
	connections.Store(n.Ledger, c)
	return c
}

// tip is the height of a node's newest block.
func tip(t *testing.T, n control.Node) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s, err := asking(t, n).Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s.SyncInfo.LatestBlockHeight
}

// reaches wants each node to have the block soon.
func reaches(t *testing.T, height int64, nodes ...control.Node) {
	t.Helper()
	for _, n := range nodes {
		eventually(t, func() (bool, string) {
			at := tip(t, n)
			return at >= height, fmt.Sprintf("block %d of %s, which is at %d", height, filepath.Base(n.Home), at)
		})
	}
}

// agrees wants one state of all nodes at a height that all have.
func agrees(t *testing.T, nodes ...control.Node) {
	t.Helper()
	height := tip(t, nodes[0])
	for _, n := range nodes[1:] {
		height = min(height, tip(t, n))
	}
	var roots []string
	for _, n := range nodes {
		c, err := asking(t, n).Commit(t.Context(), &height)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, fmt.Sprintf("%X", c.Header.AppHash))
	}
	if slices.Sort(roots); roots[0] != roots[len(roots)-1] {
		t.Fatalf("states at height %d: %q", height, roots)
	}
}

// TestFourValidators: any one may die and come back, two stop the ledger until
// one is back, and the end of the command is the end of all.
func TestFourValidators(t *testing.T) {
	net := testnet(t)
	if len(net.ready.Validators) != 4 {
		t.Fatalf("%d validators", len(net.ready.Validators))
	}
	all := slices.Clone(net.ready.Validators)
	all[0], all[1] = all[1], all[0] // the first of the testnet dies first
	var nodes []control.Node
	for _, v := range all {
		nodes = append(nodes, v.Node)
	}
	reaches(t, 10, nodes...)
	agrees(t, nodes...)

	one, two := all[1], all[2]
	killed(t, one)
	rest := []control.Node{nodes[0], nodes[2], nodes[3]}
	reaches(t, tip(t, nodes[0])+5, rest...)
	if r := run(t.Context(), t, net.ready.Home, "--home", net.ready.Home, "validator", "ls"); r.status != 0 || strings.Count(r.stdout, "bonded") != 4 {
		t.Fatalf("with the first validator gone, the testnet's home is told: %+v", r)
	}
	back := again(t, one)
	nodes[1] = back.ready
	reaches(t, tip(t, nodes[0])+5, nodes...)
	agrees(t, nodes...)

	// With two gone nothing is decided, and nothing forks.
	back.Kill()
	killed(t, two)
	left := []control.Node{nodes[0], nodes[3]}
	still := stands(t, left...)
	guest := filepath.Join(t.TempDir(), "guest")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if r := run(ctx, t, guest, "ask", "--network", net.ready.Invites[0], "hello"); r.status == 0 {
		t.Fatal("an invite was redeemed while the ledger stood still")
	}
	for _, n := range left {
		if at := tip(t, n); at != still {
			t.Fatalf("two of four validators went from block %d to %d", still, at)
		}
	}
	back = again(t, two)
	nodes[2] = back.ready
	rest = []control.Node{nodes[0], nodes[2], nodes[3]}
	reaches(t, still+5, rest...)
	other := again(t, one)
	nodes[1] = other.ready
	reaches(t, still+10, nodes...)
	agrees(t, nodes...)

	stop(t, other.Process)
	stop(t, back.Process)
	stop(t, net.Process)
	for _, v := range net.ready.Validators {
		gone(t, v.PID)
	}
}

// stands waits until nodes have the same tip and no new one for longer than a
// round takes, and returns it.
func stands(t *testing.T, nodes ...control.Node) (height int64) {
	t.Helper()
	last, same := int64(-1), 0
	eventually(t, func() (bool, string) {
		height = tip(t, nodes[0])
		for _, n := range nodes[1:] {
			height = max(height, tip(t, n))
		}
		if same++; height != last {
			last, same = height, 0
		}
		return same >= 60, "a ledger that stands still" // polls, 50 ms or more apart
	})
	return height
}

// TestTestnetEndsWithItsCommand: a command that is killed takes its validators
// along, and a second start goes on with the same ledger.
func TestTestnetEndsWithItsCommand(t *testing.T) {
	net := testnet(t)
	reaches(t, 5, net.ready.Validators[0].Node)
	net.Kill()
	for _, v := range net.ready.Validators {
		gone(t, v.PID)
	}
	second := background[control.Testnet](t, net.ready.Home, "testnet", "--home", net.ready.Home)
	if second.ready.Chain != net.ready.Chain || second.ready.Validators[0].Genesis != net.ready.Validators[0].Genesis {
		t.Fatalf("%s became %s", net.ready.Chain, second.ready.Chain)
	}
	trust, err := client.ParseTrust(second.ready.Trust)
	if err != nil || trust.Height < 5 {
		t.Fatalf("trust %v: %v", trust, err)
	}
	stop(t, second.Process)
}

// TestTestnetEndsInItsStart: Ctrl-C while the validators start ends them in order,
// and the command says that it was interrupted and nothing of what that broke.
func TestTestnetEndsInItsStart(t *testing.T) {
	home := filepath.Join(t.TempDir(), "net")
	cmd := exec.Command("daulat", "testnet", "--home", home, "--block-time", blockTime)
	cmd.Env = environment(home)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	var said []string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if said = append(said, lines.Text()); strings.Contains(lines.Text(), "starting 4 validators") {
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
	_ = cmd.Wait() // its status is in ProcessState
	if last := said[len(said)-1]; last != "daulat: interrupted" || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("status %d: %s", cmd.ProcessState.ExitCode(), strings.Join(said, "\n"))
	}
}

// TestNodeFollowsByStateSync: an invite lets an empty home follow the ledger from
// a snapshot, through the peers' links alone, and not through one that shows
// another genesis.
func TestNodeFollowsByStateSync(t *testing.T) {
	net := testnet(t)
	first := net.ready.Validators[0].Node
	longer(t, 155, first) // beyond which a node takes a snapshot
	home := filepath.Join(t.TempDir(), "follower")
	follower := background[control.Node](t, home, "node", net.ready.Invites[0])
	now := tip(t, first)
	longer(t, now+5, follower.ready)
	agrees(t, first, follower.ready)
	s, err := asking(t, follower.ready).Status(t.Context())
	if err != nil || s.SyncInfo.EarliestBlockHeight < 10 || s.ValidatorInfo.VotingPower != 0 {
		t.Fatalf("the node has blocks from %d on and a power of %d: %v", s.SyncInfo.EarliestBlockHeight, s.ValidatorInfo.VotingPower, err)
	}
	stop(t, follower.Process)
	follower = background[control.Node](t, home, "node") // it remembers the network
	longer(t, tip(t, first), follower.ready)
	stop(t, follower.Process)

	// A validator that lost its disk comes back so too. Its key may have signed what is
	// in no block yet, so it signs none of the next.
	lost := net.ready.Validators[3]
	killed(t, lost)
	if err := os.RemoveAll(filepath.Join(lost.Home, "chain", "data")); err != nil {
		t.Fatal(err)
	}
	back := background[control.Node](t, lost.Home, "node", net.ready.Invites[0])
	began := tip(t, first)
	longer(t, began+3, back.ready)
	agrees(t, first, back.ready)
	if s, err = asking(t, back.ready).Status(t.Context()); err != nil || s.SyncInfo.EarliestBlockHeight < 10 || s.ValidatorInfo.VotingPower == 0 {
		t.Fatalf("the validator has blocks from %d on and a power of %d: %v", s.SyncInfo.EarliestBlockHeight, s.ValidatorInfo.VotingPower, err)
	}
	for h := began; h <= began+2; h++ {
		c, err := asking(t, first).Commit(t.Context(), &h)
		if err != nil {
			t.Fatal(err)
		}
		for _, sig := range c.Commit.Signatures {
			if bytes.Equal(sig.ValidatorAddress, s.ValidatorInfo.Address) {
				t.Fatalf("it signed block %d", h)
			}
		}
	}
	stop(t, back.Process)
	stop(t, net.Process)
}

// longer is reaches for what takes a minute.
func longer(t *testing.T, height int64, n control.Node) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); tip(t, n) < height; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is at block %d and not at %d", n.Home, tip(t, n), height)
		}
	}
}
