// Package ci tests the scripts below .ci as their user meets them.
package ci

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine makes a PATH that holds only the named commands: the few that the
// script itself runs are real, the others succeed and do nothing.
func machine(t *testing.T, commands ...string) string {
	t.Helper()
	path := t.TempDir()
	for _, name := range []string{"dirname", "id", "sed", "uname"} {
		real, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(real, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range commands {
		if err := os.WriteFile(filepath.Join(path, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestNeedNamesOneLine(t *testing.T) {
	for name, c := range map[string]struct {
		commands string
		want     []string // parts of the line; none means that nothing is missing
		not      string
	}{
		"all there":      {commands: "make git python3 go apt-get"},
		"no git":         {"make python3 go apt-get", []string{"missing: git.", "apt-get install -y git"}, "go.dev"},
		"no pip":         {"make git go dnf", []string{"missing: pip.", "dnf install -y python3-pip"}, "go.dev"},
		"no pip on Arch": {"make git go pacman", []string{"pacman -S --noconfirm python-pip"}, "python3-pip"},
		"no go":          {"make git python3 apt-get", []string{"missing: go.", "https://go.dev/dl/go1."}, "apt-get"},
		"nothing":        {"apt-get", []string{"missing: make git pip go.", "install -y make git python3-pip && ", "go.dev"}, "brew"},
		"unknown system": {"make python3 go", []string{"Install with: install git"}, "apt-get"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/bin/sh", "../../.ci/need")
			cmd.Env = []string{"PATH=" + machine(t, strings.Fields(c.commands)...)}
			out, err := cmd.CombinedOutput()
			if (err == nil) != (c.want == nil) {
				t.Fatalf("%v: %s", err, out)
			}
			if c.want == nil {
				if len(out) > 0 {
					t.Errorf("nothing is missing, but it said %s", out)
				}
				return
			}
			line := string(out)
			if strings.Count(line, "\n") != 1 || strings.Contains(line, c.not) {
				t.Errorf("want one line without %q: %s", c.not, line)
			}
			for _, w := range c.want {
				if !strings.Contains(line, w) {
					t.Errorf("want %q in: %s", w, line)
				}
			}
		})
	}
}
