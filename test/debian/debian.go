// Package debian installs packages of Debian where nobody has to be asked: as root,
// on a machine that has apt-get. On any other machine it says what is lacking.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Install sees to it that nothing is lacking: lacking names the packages whose
// programs are not there. say is told before anything is installed.
func Install(ctx context.Context, say func(string), lacking func() []string) error {
	names := lacking()
	if len(names) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
		return fmt.Errorf("this machine lacks %s", strings.Join(names, " and "))
	}
	install := append([]string{"install", "-y", "--no-install-recommends"}, names...)
	say("apt-get " + strings.Join(install, " "))
	err := apt(ctx, install...)
	if err != nil { // the lists may be missing or old
		err = errors.Join(apt(ctx, "update"), apt(ctx, install...))
	}
	if left := lacking(); err == nil && len(left) > 0 {
		err = fmt.Errorf("apt-get installed no %s that can be found", strings.Join(left, " and "))
	}
	return err
}

// Lacking names the packages, sorted, of the programs that are not on PATH, by
// program.
func Lacking(packages map[string]string) (names []string) {
	for program, name := range packages {
		if _, err := exec.LookPath(program); err != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(said))
	}
	return nil
}
