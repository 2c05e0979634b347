package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"daulat/node"
	"daulat/test/child"
)

// TestTourLeavesNothing: however the tour ends, with its terminal, its reader or
// by force, its network ends too and its folder is gone.
func TestTourLeavesNothing(t *testing.T) {
	for name, end := range map[string]func(*child.Process, *os.File){
		"killed":       func(p *child.Process, _ *os.File) { p.Kill() },
		"reader gone":  func(_ *child.Process, out *os.File) { out.Close() },
		"asked to end": func(p *child.Process, _ *os.File) { p.Interrupt() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			home, scratch := filepath.Join(dir, "home"), filepath.Join(dir, "tmp")
			if err := os.Mkdir(scratch, 0o700); err != nil {
				t.Fatal(err)
			}
			out, in, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			cmd := exec.Command("daulat", "demo", "--noise")
			cmd.Env = append(slices.DeleteFunc(environment(home), func(v string) bool { return strings.HasPrefix(v, "TMPDIR=") }), "TMPDIR="+scratch)
			cmd.Stdout = in
			cmd.WaitDelay = patience // its network has its stderr for as long as that lasts
			p, err := child.Launch(cmd)
			if err != nil {
				t.Fatal(err)
			}
			in.Close()
			first := bufio.NewReader(out)
			for line := ""; !strings.Contains(line, "receipt 1-1"); {
				if line, err = first.ReadString('\n'); err != nil {
					t.Fatalf("%v\n%s", err, p.Said())
				}
			}
			end(p, out)
			<-p.Ended() // its status is not the point
			eventually(t, func() (bool, string) {
				left, err := os.ReadDir(scratch)
				if err != nil || len(left) > 0 {
					return false, fmt.Sprintf("the end of %v (%v)", left, err)
				}
				release, err := lockOf(home)
				if err != nil {
					return false, "the end of the network: " + err.Error()
				}
				release()
				_, err = os.Stat(filepath.Join(home, "up.json"))
				return os.IsNotExist(err), "the end of up.json"
			})
		})
	}
}

func lockOf(home string) (release func(), err error) {
	h, err := node.OpenHome(home)
	if err != nil {
		return nil, err
	}
	return h.Lock()
}
