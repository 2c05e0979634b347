//go:build unix

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	rpchttp "github.com/cometbft/cometbft/rpc/client/http"

	"daulat/ledger/client"
	"daulat/link/session"
	"daulat/ui/control"
)

// These tell a copy of the test binary to run a network in that home: on a disk
// that is full from when one answer is paid for, or with room.
const (
	fullHome  = "DAULAT_TEST_FULL_HOME"
	roomyHome = "DAULAT_TEST_ROOMY_HOME"
)

func TestMain(m *testing.M) {
	if home := os.Getenv(fullHome); home != "" {
		os.Exit(upOnce(home, fill))
	}
	if home := os.Getenv(roomyHome); home != "" {
		os.Exit(upOnce(home, nil))
	}
	os.Exit(m.Run())
}

// upOnce asks the network one question, then does what is to follow, or else
// ends it, and prints the error with which it ended. Its status is that of the
// program.
func upOnce(home string, then func(control.Ready) error) int {
	signal.Ignore(syscall.SIGXFSZ) // a write beyond the limit fails then
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ready := func(r control.Ready) {
		go func() {
			err := question(r)
			if err == nil && then != nil {
				err = then(r)
			} else {
				stop()
			}
			if err != nil {
				fmt.Println(err)
				os.Exit(2)
			}
		}()
	}
	o := control.UpOptions{Home: home, Noise: true, ChallengeWindow: 20, Listen: "127.0.0.1:0"}
	if err := (Runtime{}).Up(ctx, o, func(string) {}, ready); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// fill lets no file grow any more, from a moment at which a block is committed in
// every database and the next one has not begun.
func fill(r control.Ready) error {
	rpc, err := rpchttp.New(r.Ledger, "/websocket")
	if err != nil {
		return err
	}
	for seen := ""; ; {
		now, err := rpc.ConsensusState(context.Background())
		if err != nil {
			return err
		}
		height, rest, _ := strings.Cut(strings.TrimPrefix(string(now.RoundState), `{"height/round/step":"`), "/")
		if seen != "" && height != seen && strings.HasPrefix(rest, "0/1") {
			break
		}
		seen = height
	}
	var room syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		return err
	}
	room.Cur = 0
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room)
}

// TestFullDiskEndsTheNetwork: a ledger that can write no more ends the program
// with one sentence, and with room again it goes on and settles what was paid
// for before.
func TestFullDiskEndsTheNetwork(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	run := func(mode string) (said string, status int) {
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		child := exec.CommandContext(ctx, os.Args[0])
		child.Env = append(os.Environ(), mode+"="+home)
		out, err := child.Output()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), child.ProcessState.ExitCode()
	}
	said, status := run(fullHome)
	if status != 1 || !strings.HasPrefix(said, client.ErrHalted.Error()) || !strings.Contains(said, "free some space") || strings.Count(said, "\n") != 1 {
		t.Fatalf("on a full disk: status %d, %q", status, said)
	}
	if said, status := run(roomyHome); status != 0 {
		t.Fatalf("with room again: status %d, %q", status, said)
	}
	journal, err := session.OpenJournal(filepath.Join(home, "consumer.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	all, err := journal.Records(func(session.Record) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	answers := uint64(0)
	for _, r := range all {
		if s := r.Session; s.Claim != nil && s.Escrow.Withheld+s.Escrow.Paid == s.Claim.Due() {
			answers += s.Claim.Voucher.Seq
		}
	}
	if answers != 2 {
		t.Errorf("%d of 2 answers are settled: %+v", answers, all)
	}
}
