// Namespaces runs the real product on machines of their own: network namespaces
// with switches and home routers between them, on this machine and apart from its
// network. `make peers` builds the product and calls it.
//
// It needs Linux, iproute2 and nftables, and root or the right to make user
// namespaces; it says so once if anything lacks. Everything started is stopped and
// keeps its state in a temporary folder. The last line of output is RESULT; a
// failed check ends with status 1 instead.
//
// Start at scenarios; lab.go makes the machines, and clock.go their clocks where those
// are wrong, on amd64 alone. README.md shows what the scenario
// readme prints with -transcript.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"daulat/test/child"
	"daulat/test/debian"
)

// limit bounds the whole run.
const limit = 25 * time.Minute

// logShown is how much of each log a failed scenario shows, in bytes.
const logShown = 3000

// A scenario is one check. Its figures join the RESULT line.
type scenario struct {
	name string
	run  func(ctx context.Context, t *trial) (figures string, err error)
}

// trial is what a scenario works with.
type trial struct {
	lab        *lab
	daulat     string // the program
	temp       string // a folder of its own
	transcript bool   // shown
	say        func(string)
	clocks     map[string]time.Duration // how far those of some hosts are ahead
	running    []*child.Process         // killed at the end
}

// scenarios in the order in which they run.
var scenarios = []scenario{
	{"lab", checkLab},
	{"readme", checkReadme},
	{"nat", checkNAT},
	{"forward", checkForward},
	{"roam", checkRoam},
	{"relays", checkRelays},
	{"partition", checkPartition},
	{"eclipse", checkEclipse},
	{"upgrade", checkUpgrade},
	{"clocks", checkClocks},
}

func main() {
	program := flag.String("daulat", "bin/daulat", "the program to run")
	only := flag.String("only", "", "the one scenario to run")
	transcript := flag.Bool("transcript", false, "show what was typed and told in the scenario readme")
	clock := flag.Bool("clock", false, "tell the time; for this program's own use")
	how := flag.String("lie", "", "serve the ledger of the -honest peer at -at, changed so; for this program's own use")
	at, honest := flag.String("at", "", ""), flag.String("honest", "", "")
	flag.Parse()
	if *clock {
		fmt.Println(time.Now().UnixNano())
		return
	}
	if *how != "" {
		if err := lie(context.Background(), *how, *at, *honest); err != nil {
			fmt.Fprintln(os.Stderr, "namespaces:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, limit)
	var result string
	err := enterSpace(ctx)
	if err == nil {
		result, err = runAll(ctx, *program, *only, *transcript)
	}
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "namespaces:", err)
		os.Exit(1)
	}
	fmt.Println(result)
}

// insideMark says that this process was started by another one of its kind, as
// root of a user namespace.
const insideMark = "DAULAT_NAMESPACES_INSIDE"

// enterSpace makes sure that this process may make network namespaces, or replaces
// it by one that may.
func enterSpace(ctx context.Context) error {
	if err := installed(ctx); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if err := errors.Join(run("ip", "netns", "add", openLab().prefix+"probe"), run("ip", "netns", "delete", openLab().prefix+"probe")); err != nil {
			return fmt.Errorf("this machine lets nobody make network namespaces: %w", err)
		}
		return nil
	}
	if os.Getenv(insideMark) != "" {
		return errors.New("this machine gives no root in a user namespace")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	// The names of network namespaces lie in /run, which is nobody else's there.
	script := `mount -t tmpfs none /run && exec "$@"`
	args := append([]string{unshare, "-rnm", "sh", "-c", script, "sh", self}, os.Args[1:]...)
	return fmt.Errorf("run as root of a user namespace: %w", syscall.Exec(unshare, args, append(os.Environ(), insideMark+"=1")))
}

// packages are the Debian packages of the programs that are needed.
var packages = map[string]string{"ip": "iproute2", "nft": "nftables", "sysctl": "procps", "ping": "iputils-ping"}

// installed sees to it that the programs are there.
func installed(ctx context.Context) error {
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		return err
	}
	say := func(what string) { fmt.Fprintln(os.Stderr, what) }
	return debian.Install(ctx, say, func() []string { return debian.Lacking(packages) })
}

// runAll runs the scenarios and returns the RESULT line.
func runAll(ctx context.Context, program, only string, transcript bool) (string, error) {
	start := time.Now()
	say := func(what string) { fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(start).Seconds(), what) }
	daulat, err := filepath.Abs(program)
	if err != nil {
		return "", err
	}
	result := []string{"RESULT namespaces"}
	for _, s := range scenarios {
		if only != "" && s.name != only {
			continue
		}
		figures, err := s.within(ctx, daulat, transcript, say)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.name, err)
		}
		result = append(result, figures)
	}
	if len(result) == 1 {
		return "", fmt.Errorf("there is no scenario %q", only)
	}
	return strings.Join(result, " "), nil
}

// within is a part of a trial that has a lab and a folder of its own.
func (t *trial) within(name string) (*trial, error) {
	part := &trial{lab: &lab{prefix: t.lab.prefix + name + "-"}, daulat: t.daulat, temp: filepath.Join(t.temp, name),
		say: func(what string) { t.say(name + ": " + what) }}
	return part, os.Mkdir(part.temp, 0o700)
}

func (s scenario) within(ctx context.Context, daulat string, transcript bool, say func(string)) (figures string, err error) {
	temp, err := os.MkdirTemp("", "daulat-namespaces-*")
	if err != nil {
		return "", err
	}
	t := &trial{lab: openLab(), daulat: daulat, temp: temp, transcript: transcript, say: func(what string) { say(s.name + ": " + what) }}
	defer func() {
		for _, p := range t.running {
			p.Kill()
		}
		if err != nil {
			t.showLogs()
		}
		err = errors.Join(err, t.lab.close(), os.RemoveAll(temp))
	}()
	return s.run(ctx, t)
}

// showLogs shows the end of what each home that took part has logged.
func (t *trial) showLogs() {
	_ = filepath.WalkDir(t.temp, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "daulat.log" {
			return nil
		}
		home := strings.TrimPrefix(filepath.Dir(path), t.temp)
		if said, err := os.ReadFile(path); err == nil {
			t.say(fmt.Sprintf("log of %s ends with\n%s", home, said[max(0, len(said)-logShown):]))
		}
		return nil
	})
}

// checkLab holds the lab itself to what the scenarios rely on.
func checkLab(ctx context.Context, t *trial) (string, error) {
	t.say("hosts reach each other, out of a home but not into it")
	wan, err := t.lab.network("wan")
	if err != nil {
		return "", err
	}
	server, err := t.lab.host("server")
	if err != nil {
		return "", err
	}
	card, err := server.plug(wan, "10.0.0.2/24")
	if err != nil {
		return "", err
	}
	inner, err := t.lab.home("home", wan, "10.0.0.3/24", preserving)
	if err != nil {
		return "", err
	}
	pc, err := t.lab.behind("pc", inner, "192.168.1.2")
	if err != nil {
		return "", err
	}
	reaches := func(h *host, address string) bool {
		return h.command(ctx, "ping", "-c1", "-W1", address).Run() == nil
	}
	a, b := map[*host]string{server: "10.0.0.2"}, map[*host]string{pc: "10.0.0.3"}
	for _, want := range []struct {
		what   string
		before func() error
		from   *host
		to     string
		reach  bool
	}{
		{"out of a home", nil, pc, "10.0.0.2", true},
		{"into a home", func() error { return server.route("10.0.0.3") }, server, "192.168.1.2", false},
		{"a parted host", func() error { return part(a, b) }, pc, "10.0.0.2", false},
		{"after mending", func() error { return mend(a, b) }, pc, "10.0.0.2", true},
		{"an unplugged host", func() error { return server.unplug(card) }, pc, "10.0.0.2", false},
		{"a host that is plugged in again", func() error { return server.replug(card) }, pc, "10.0.0.2", true},
	} {
		if want.before != nil {
			if err := want.before(); err != nil {
				return "", err
			}
		}
		if got := reaches(want.from, want.to); got != want.reach {
			return "", fmt.Errorf("%s: reached is %v", want.what, got)
		}
	}
	return "lab=ok", nil
}
