package manners

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// busyShare is the part of the machine's processor time, ppm, above which other
	// programs work hard enough to be somebody's wish.
	busyShare = 250_000
	// clockTick is the unit of /proc's times; it is 100 a second on every
	// architecture that Go runs on.
	clockTick = 10 * time.Millisecond
	// sessionEvery is how often the desktop is asked, which costs a process.
	sessionEvery = 2 * time.Second
)

// Machine senses this machine: its terminals and desktop for the owner's input,
// /proc for what other programs do, and /sys for its power.
type Machine struct {
	root    string // where /proc, /sys and /dev are
	desktop func(context.Context, time.Time) (time.Time, error)
	process func() time.Duration // processor time of this process

	all, idle  uint64 // clock ticks since the machine started
	own        time.Duration
	asked      time.Time
	lastInput  time.Time
	noDesktops bool
}

// NewMachine senses the machine that it runs on.
func NewMachine() (*Machine, error) {
	return &Machine{root: "/", desktop: desktopInput, process: ProcessTime}, nil
}

// Signs implements Sensor.
func (m *Machine) Signs(ctx context.Context, now time.Time) (s Signs, err error) {
	s.Now = now
	if s.Memory, err = m.memory(); err != nil {
		return s, err
	}
	busy, err := m.load()
	if err != nil {
		return s, err
	}
	if busy {
		s.Busy = now
	}
	s.Input, s.Battery = m.input(ctx, now), m.battery()
	return s, nil
}

// memory is what this process holds.
func (m *Machine) memory() (uint64, error) {
	data, err := os.ReadFile(filepath.Join(m.root, "proc/self/statm"))
	if err != nil {
		return 0, fmt.Errorf("read the machine's signs: %w", err)
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0, errors.New("read the machine's signs: statm has no second field")
	}
	pages, err := strconv.ParseUint(fields[1], 10, 48)
	if err != nil {
		return 0, fmt.Errorf("read the machine's signs: %w", err)
	}
	return pages * uint64(os.Getpagesize()), nil
}

// load reports whether others used much of the processor since the last look.
func (m *Machine) load() (busy bool, err error) {
	all, idle, err := m.ticks()
	if err != nil {
		return false, err
	}
	own := m.process()
	before, rested, mine := m.all, idle-m.idle, uint64((own-m.own)/clockTick)
	m.all, m.idle, m.own = all, idle, own
	if before == 0 || all <= before { // the first look, or no time has passed
		return false, nil
	}
	spent := all - before
	others := spent - min(spent, rested+mine)
	return others*Million > spent*busyShare, nil
}

// ticks are the machine's processor time, of all and of no programs. Time that
// waits for a disk is idle, and time that a hypervisor took is nobody's here.
func (m *Machine) ticks() (all, idle uint64, err error) {
	data, err := os.ReadFile(filepath.Join(m.root, "proc/stat"))
	if err != nil {
		return 0, 0, fmt.Errorf("read the machine's signs: %w", err)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, 0, errors.New("read the machine's signs: proc/stat has another form")
	}
	for i, field := range fields[1:8] { // user nice system idle iowait irq softirq
		n, err := strconv.ParseUint(field, 10, 62)
		if err != nil {
			return 0, 0, fmt.Errorf("read the machine's signs: %w", err)
		}
		all += n
		if i == 3 || i == 4 {
			idle += n
		}
	}
	return all, idle, nil
}

// input is when the owner last touched the machine, as far as terminals and the
// desktop tell; zero if nothing does.
func (m *Machine) input(ctx context.Context, now time.Time) time.Time {
	for _, pattern := range []string{"dev/tty[0-9]*", "dev/pts/[0-9]*"} {
		terminals, _ := filepath.Glob(filepath.Join(m.root, pattern)) // the pattern is well formed
		for _, path := range terminals {
			var stat syscall.Stat_t
			if syscall.Stat(path, &stat) != nil {
				continue // it was closed
			}
			if at := time.Unix(stat.Atim.Unix()); at.After(m.lastInput) && !at.After(now) {
				m.lastInput = at
			}
		}
	}
	if !m.noDesktops && now.Sub(m.asked) >= sessionEvery {
		m.asked = now
		at, err := m.desktop(ctx, now)
		m.noDesktops = err != nil // there is no logind here, now or later
		if at.After(m.lastInput) {
			m.lastInput = at
		}
	}
	return m.lastInput
}

// desktopInput asks logind when this user's sessions were last not idle. Desktops
// tell it after some minutes without input, and at once when it ends.
func desktopInput(ctx context.Context, now time.Time) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, sessionEvery)
	defer cancel()
	out, err := exec.CommandContext(ctx, "loginctl", "show-user", strconv.Itoa(os.Getuid()),
		"--property=IdleHint", "--property=IdleSinceHint", "--property=Display").Output()
	if err != nil {
		return time.Time{}, err
	}
	return parseDesktop(string(out), now)
}

// parseDesktop reads what logind says. Without a display its idle hint follows
// terminals, which were looked at already.
func parseDesktop(said string, now time.Time) (time.Time, error) {
	values := map[string]string{}
	for line := range strings.Lines(said) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[name] = value
		}
	}
	switch {
	case values["Display"] == "":
		return time.Time{}, nil
	case values["IdleHint"] == "no":
		return now, nil
	}
	micros, err := strconv.ParseInt(values["IdleSinceHint"], 10, 64)
	if err != nil || micros == 0 {
		return time.Time{}, nil
	}
	return time.UnixMicro(micros), nil
}

// battery reports that the machine's power comes from its battery alone.
func (m *Machine) battery() bool {
	supplies, _ := filepath.Glob(filepath.Join(m.root, "sys/class/power_supply/*")) // the pattern is well formed
	draining := false
	for _, dir := range supplies {
		read := func(name string) string {
			data, _ := os.ReadFile(filepath.Join(dir, name)) // what is not there is not said
			return strings.TrimSpace(string(data))
		}
		switch {
		case read("scope") == "Device": // of a mouse, say
		case read("type") == "Battery" && read("status") == "Discharging":
			draining = true
		case read("online") == "1":
			return false
		}
	}
	return draining
}
