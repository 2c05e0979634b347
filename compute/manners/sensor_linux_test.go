package manners

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// made is a machine made of files.
type made struct {
	*Machine
	t    *testing.T
	root string
	own  time.Duration
}

func newMade(t *testing.T) *made {
	m := &made{t: t, root: t.TempDir()}
	m.Machine = &Machine{root: m.root, process: func() time.Duration { return m.own },
		desktop: func(context.Context, time.Time) (time.Time, error) { return time.Time{}, errors.New("no logind") }}
	m.write("proc/self/statm", "9999 300 50 1 0 70 0\n")
	m.ticks(1000, 1000)
	return m
}

func (m *made) write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

// ticks sets what programs and nobody used of the processor, in clock ticks.
func (m *made) ticks(busy, idle uint64) {
	m.write("proc/stat", fmt.Sprintf("cpu  %d 0 0 %d 0 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1\n", busy, idle))
}

func (m *made) see(now time.Time) Signs {
	m.t.Helper()
	s, err := m.Signs(m.t.Context(), now)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// What this process uses of the machine is not somebody else's work.
func TestLoadOfOthers(t *testing.T) {
	m, now := newMade(t), time.Now()
	if s := m.see(now); !s.Busy.IsZero() || s.Memory != 300*uint64(os.Getpagesize()) {
		t.Fatalf("at first %+v", s)
	}
	for i, step := range []struct {
		busy, idle uint64 // ticks since the last step
		own        time.Duration
		others     bool
	}{
		{100, 100, time.Second, false},            // all of it is ours
		{100, 100, 600 * time.Millisecond, false}, // 40 of 200
		{100, 100, 480 * time.Millisecond, true},  // 52 of 200
		{0, 200, 0, false},                        // nobody's
		{0, 0, 0, false},                          // no time has passed
		{10, 190, 400 * time.Millisecond, false},  // ours is counted more finely
	} {
		now = now.Add(time.Second)
		all, idle := m.all, m.idle
		m.ticks(all-idle+step.busy, idle+step.idle)
		m.own += step.own
		if got := m.see(now).Busy.Equal(now); got != step.others {
			t.Errorf("step %d: others work hard is %v", i, got)
		}
	}
}

// The newest of all terminals' reads is the owner's last input, a desktop's last
// activity if that is newer, and clocks that are ahead say nothing.
func TestInput(t *testing.T) {
	m, now := newMade(t), time.Now().Truncate(time.Second)
	if s := m.see(now); !s.Input.IsZero() {
		t.Errorf("without terminals the owner was here at %v", s.Input)
	}
	for name, age := range map[string]time.Duration{"dev/tty1": time.Hour, "dev/pts/0": time.Minute, "dev/pts/1": -time.Hour, "dev/ttyS": 0} {
		m.write(name, "")
		if err := os.Chtimes(filepath.Join(m.root, name), now.Add(-age), now.Add(-24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if s := m.see(now); !s.Input.Equal(now.Add(-time.Minute)) {
		t.Errorf("the owner was here at %v, and it is %v", s.Input, now)
	}
	m.noDesktops = false
	m.desktop = func(context.Context, time.Time) (time.Time, error) { return now.Add(-time.Second), nil }
	m.asked = time.Time{}
	if s := m.see(now); !s.Input.Equal(now.Add(-time.Second)) {
		t.Errorf("the desktop was used at %v", s.Input)
	}
}

func TestDesktop(t *testing.T) {
	now := time.UnixMicro(1_700_000_000_000_000)
	for said, want := range map[string]time.Time{
		"":                         {},
		"IdleHint=no\nDisplay=\n":  {},
		"IdleHint=no\nDisplay=2\n": now,
		"IdleHint=yes\nIdleSinceHint=0\nDisplay=2\n":                {},
		"IdleHint=yes\nIdleSinceHint=1699999990000000\nDisplay=2\n": now.Add(-10 * time.Second),
		"IdleHint=yes\nIdleSinceHint=soon\nDisplay=2\n":             {},
	} {
		if got, err := parseDesktop(said, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", said, got, err)
		}
	}
}

// Only a battery that drains while nothing is plugged in counts; a mouse has its own.
func TestBattery(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  bool
	}{
		"a desktop":          {nil, false},
		"a laptop unplugged": {map[string]string{"AC/type": "Mains", "AC/online": "0", "BAT0/type": "Battery", "BAT0/status": "Discharging"}, true},
		"a laptop plugged":   {map[string]string{"AC/type": "Mains", "AC/online": "1", "BAT0/type": "Battery", "BAT0/status": "Charging"}, false},
		"weak charger":       {map[string]string{"AC/type": "Mains", "AC/online": "1", "BAT0/type": "Battery", "BAT0/status": "Discharging"}, false},
		"a mouse":            {map[string]string{"hid/type": "Battery", "hid/status": "Discharging", "hid/scope": "Device"}, false},
		"a full battery":     {map[string]string{"BAT0/type": "Battery", "BAT0/status": "Full"}, false},
	} {
		m := newMade(t)
		for file, text := range c.files {
			m.write("sys/class/power_supply/"+file, text+"\n")
		}
		if got := m.see(time.Now()).Battery; got != c.want {
			t.Errorf("%s: on battery is %v", name, got)
		}
	}
}

// This machine can be read, whatever it is.
func TestThisMachine(t *testing.T) {
	m, err := NewMachine()
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Signs(t.Context(), time.Now())
	if err != nil || s.Memory < 1<<20 || s.Input.After(s.Now) {
		t.Errorf("%+v, %v", s, err)
	}
	if used := ProcessTime(); used <= 0 {
		t.Errorf("this process used %v", used)
	}
}

// A machine that shows something else than Linux does is an error, not a guess.
func TestStrangeSigns(t *testing.T) {
	for name, text := range map[string]string{
		"proc/self/statm": "9999", "proc/stat": "intr 1 2 3\n",
	} {
		m := newMade(t)
		m.write(name, text)
		if _, err := m.Signs(t.Context(), time.Now()); err == nil {
			t.Errorf("%s of %q is understood", name, text)
		}
	}
}
