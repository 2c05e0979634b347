//go:build unix

package validator_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"daulat/ledger/client"
	"daulat/ledger/validator"
)

// fullHome tells a copy of the test binary to run a node whose disk fills up as
// soon as it is told so on its standard input.
const fullHome = "DAULAT_TEST_FULL_HOME"

func init() { children[fullHome] = runUntilFull }

// runUntilFull lets no file grow any more, from a moment at which the node writes
// nothing, and says what comes of it. Its status is 0 if everything ended.
func runUntilFull(home string) int {
	signal.Ignore(syscall.SIGXFSZ) // the write fails then
	ctx := context.Background()
	v, err := validator.Start(ctx, validator.Config{Home: home, TimeoutCommit: time.Second})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(v.RPCAddress())
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return 1
	}
	if err := betweenBlocks(ctx, v); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := fillDisk(); err != nil {
		fmt.Println(err)
		return 1
	}
	k, err := client.NewAccountKey([]byte(strings.Repeat(string(rune(aliceSeed)), 32)))
	if err != nil {
		return 1
	}
	waiting := client.New(v.RPC(), v.ChainID(), k).Send(ctx, k.Account(), 1)
	fmt.Println(waiting) // it neither hangs nor succeeds
	<-v.Halted()
	fmt.Println(v.Err())
	if !errors.Is(waiting, client.ErrHalted) || !errors.Is(v.Err(), client.ErrHalted) {
		return 1
	}
	_ = v.Stop() // may say what could not be written
	return 0
}

// fillDisk lets no file of this process grow any more.
func fillDisk() error {
	var room syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		return err
	}
	room.Cur = 0
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room)
}

// A child is a copy of the test binary that runs a node.
type child struct {
	*exec.Cmd
	in    io.WriteCloser // a line, or the end, tells the child to go on
	lines *bufio.Scanner // what it says
}

// spawn starts the child that role stands for, on a home; ctx kills it.
func spawn(t *testing.T, ctx context.Context, role, home string) child {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), role+"="+home)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return child{cmd, in, bufio.NewScanner(out)}
}

// betweenBlocks returns when a block was just committed in every database, and
// the pause before the next one begins.
func betweenBlocks(ctx context.Context, v *validator.Validator) error {
	seen := ""
	for {
		r, err := v.RPC().ConsensusState(ctx)
		if err != nil {
			return err
		}
		height, rest, _ := strings.Cut(strings.TrimPrefix(string(r.RoundState), `{"height/round/step":"`), "/")
		if seen != "" && height != seen && strings.HasPrefix(rest, "0/1") {
			return nil
		}
		seen = height
	}
}

// TestFullDiskHaltsAloud has a validator run out of room: the process hears of
// it with the cause, whoever waits for a block gets an error, everything ends,
// and with room again the ledger goes on with all that it acknowledged.
func TestFullDiskHaltsAloud(t *testing.T) {
	home := t.TempDir()
	if err := validator.Init(home, genesis(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	child := spawn(t, ctx, fullHome, home)
	line := func() string {
		if !child.lines.Scan() {
			t.Errorf("the node says nothing more: %v", child.lines.Err())
		}
		return child.lines.Text()
	}
	rpc, err := client.Dial(line())
	if err != nil {
		t.Fatal(err)
	}
	to := key(t, strangerSeed).Account()
	if err := client.New(rpc, chain, key(t, aliceSeed)).Send(t.Context(), to, 5); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(child.in)
	for _, what := range []string{"a transaction that waits", "the halt"} {
		if said := line(); !strings.Contains(said, "the ledger has stopped") || !strings.Contains(said, "free some space") {
			t.Errorf("%s: %q", what, said)
		}
	}
	if err := child.Wait(); err != nil {
		t.Errorf("a node on a full disk: %v", err)
	}
	if got := balance(t, as(t, start(t, home), aliceSeed), to); got != 5 {
		t.Errorf("balance with room again: %d, acknowledged were 5", got)
	}
}
