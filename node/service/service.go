// Package service makes a program a unit of the user's systemd: it writes the
// unit's file, and starts nothing. The file holds no secret, and one that this
// package did not write is never touched.
//
// Start at [Install].
package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// Name is the unit's.
const Name = "daulat-provide.service"

// target is what the unit is started with.
const target = "default.target"

// mark is the first line of every file that Install writes.
const mark = "# Written by \"daulat provide --install\"; \"daulat provide --uninstall\" removes it.\n"

// Program is what the unit runs.
type Program struct {
	Path      string   // absolute
	Arguments []string // without secrets: anybody on the machine can see them once it runs
	Writable  []string // the only folders that it may write to, absolute
}

// ErrForeign says that there is a unit which this package did not write.
var ErrForeign = errors.New("it is not this program's: move it away first")

// ErrNone says that there is no unit.
var ErrNone = errors.New("no service is installed")

// File is where the unit of the user lies.
func File() (string, error) {
	config := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) { // as the specification has it
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the folder of user units: %w", err)
		}
		config = filepath.Join(home, ".config")
	}
	return filepath.Join(config, "systemd", "user", Name), nil
}

// Install writes the program's unit to file, in place of one that it wrote before.
func Install(file string, p Program) error {
	text, err := unit(p)
	if err != nil {
		return err
	}
	if err := ours(file); err != nil && !errors.Is(err, ErrNone) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("install the service: %w", err)
	}
	return replace(file, []byte(text))
}

// replace writes a file whole or not at all.
func replace(file string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".daulat-*")
	if err != nil {
		return fmt.Errorf("install the service: %w", err)
	}
	defer os.Remove(f.Name()) // fails once renamed
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o600), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("install the service: %w", err)
	}
	return nil
}

// Uninstall removes a unit that Install wrote, and what has systemd start it.
func Uninstall(file string) error {
	if err := ours(file); err != nil {
		return err
	}
	err := disable(file)
	if err == nil {
		err = os.Remove(file)
	}
	if err != nil {
		return fmt.Errorf("uninstall the service: %w", err)
	}
	return nil
}

// disable removes the link to the unit that "systemctl enable" made, and no other:
// systemctl itself does so no more once the unit is gone.
func disable(file string) error {
	link := filepath.Join(filepath.Dir(file), target+".wants", Name)
	wanted, err := os.Stat(link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	own, err := os.Stat(file)
	if err != nil || !os.SameFile(wanted, own) {
		return err
	}
	return os.Remove(link)
}

// ours reports an error unless Install wrote the file. A link is nobody's: what
// it leads to is not the unit's.
func ours(file string) error {
	info, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no %s", ErrNone, file)
	}
	if err != nil {
		return fmt.Errorf("look for the service: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > 1<<20 {
		return fmt.Errorf("%s: %w", file, ErrForeign)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("look for the service: %w", err)
	}
	if !strings.HasPrefix(string(text), mark) {
		return fmt.Errorf("%s: %w", file, ErrForeign)
	}
	return nil
}

// unit is the file's text. The program gets what nobody else wants of the
// machine, may write to its own folders alone, and is not started again over a
// wrong input (status 2).
func unit(p Program) (string, error) {
	command := make([]string, 0, 1+len(p.Arguments))
	for i, word := range append([]string{p.Path}, p.Arguments...) {
		text, err := quote(word)
		if err != nil {
			return "", err
		}
		if i == 0 && strings.ContainsRune(word, '$') { // systemd would take it as it stands
			return "", fmt.Errorf("install the service: systemd can't start a program called %q", word)
		}
		command = append(command, text)
	}
	var writable strings.Builder
	for _, dir := range p.Writable {
		text, err := quote("-" + dir) // "-": it may be missing
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&writable, "ReadWritePaths=%s\n", strings.ReplaceAll(text, "$$", "$")) // variables are a command's alone
	}
	return mark + `[Unit]
Description=Daulat: sells answers of this machine
After=network-online.target

[Service]
ExecStart=` + strings.Join(command, " ") + `
Restart=on-failure
RestartSec=30
RestartPreventExitStatus=2
TimeoutStopSec=60
Nice=10
CPUSchedulingPolicy=idle
IOSchedulingClass=idle
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
` + writable.String() + `LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native

[Install]
WantedBy=` + target + `
`, nil
}

// quote is a word as systemd reads it back: quoted, and without its specifiers
// and variables.
func quote(word string) (string, error) {
	if word == "" || strings.ContainsFunc(word, unicode.IsControl) {
		return "", fmt.Errorf("install the service: %q can't stand in a unit", word)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(word) + `"`, nil
}
