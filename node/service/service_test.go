package service

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program is one that is there, so that systemd has nothing to say about it.
func program(t *testing.T, arguments ...string) Program {
	t.Helper()
	path, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	return Program{Path: path, Arguments: arguments, Writable: []string{t.TempDir()}}
}

func TestInstallAndUninstall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config", "systemd", "user", Name)
	if err := Uninstall(file); !errors.Is(err, ErrNone) {
		t.Errorf("nothing to remove: %v", err)
	}
	for _, price := range []string{"--output-price=400", "--output-price=500"} { // the second one in place of the first
		if err := Install(file, program(t, "provide", price)); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), price) {
			t.Fatalf("%s, %v", text, err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
	if err := Uninstall(file); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// TestNothingStartsWhatIsGone: the link that enabled the unit goes with it, by whatever
// path it was made, and another unit's stays.
func TestNothingStartsWhatIsGone(t *testing.T) {
	dir := t.TempDir()
	real, home := filepath.Join(dir, "real"), filepath.Join(dir, "home")
	if err := errors.Join(os.Mkdir(real, 0o700), os.Symlink(real, home)); err != nil {
		t.Fatal(err)
	}
	file, other := filepath.Join(home, Name), filepath.Join(dir, Name)
	link := filepath.Join(real, "default.target.wants", Name)
	for name, to := range map[string]string{"its path": file, "its real path": filepath.Join(real, Name), "a relative path": "../" + Name, "another": other, "nothing": filepath.Join(dir, "none")} {
		err := errors.Join(Install(file, program(t)), Install(other, program(t)), os.MkdirAll(filepath.Dir(link), 0o700), os.Symlink(to, link), Uninstall(file))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		own := name != "another" && name != "nothing"
		if _, err := os.Lstat(link); own != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a link to %s: %v", name, err)
		}
		if err := os.RemoveAll(link); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForeignFilesStay: neither command touches what another hand wrote, or a link
// to anything.
func TestForeignFilesStay(t *testing.T) {
	dir := t.TempDir()
	own, foreign, link, folder := filepath.Join(dir, "own"), filepath.Join(dir, "foreign"), filepath.Join(dir, "link"), filepath.Join(dir, "folder")
	text := []byte("[Service]\nExecStart=/bin/mine\n" + mark)
	err := errors.Join(Install(own, program(t)), os.WriteFile(foreign, text, 0o600), os.Symlink(own, link), os.Mkdir(folder, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{foreign, link, folder} {
		if err := Install(file, program(t)); !errors.Is(err, ErrForeign) {
			t.Errorf("%s is written over: %v", filepath.Base(file), err)
		}
		if err := Uninstall(file); !errors.Is(err, ErrForeign) {
			t.Errorf("%s is removed: %v", filepath.Base(file), err)
		}
	}
	if is, err := os.ReadFile(foreign); string(is) != string(text) || err != nil {
		t.Errorf("it is %q now, %v", is, err)
	}
	if is, err := os.Lstat(link); err != nil || is.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
}

// TestUnitIsOneCommand: no word of the command line ends it, adds a setting, or
// is read by systemd as anything but itself.
func TestUnitIsOneCommand(t *testing.T) {
	text, err := unit(Program{Path: "/opt/da ulat", Arguments: []string{"provide", `--model=50% "of" it\`, "--x=$HOME"}, Writable: []string{"/home/a b/100%/$x"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`ExecStart="/opt/da ulat" "provide" "--model=50%% \"of\" it\\" "--x=$$HOME"`, `ReadWritePaths="-/home/a b/100%%/$x"`,
		"Restart=on-failure", "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "CPUSchedulingPolicy=idle", "Nice=10", "WantedBy=default.target"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	for name, p := range map[string]Program{
		"line break":           {Path: "/opt/daulat", Arguments: []string{"--model=a\nExecStartPre=/bin/evil"}},
		"line break in folder": {Path: "/opt/daulat", Writable: []string{"/a\nExecStartPre=/bin/evil"}},
		"empty word":           {Path: "/opt/daulat", Arguments: []string{""}},
		"dollar in its name":   {Path: "/opt/$daulat"},
	} {
		if text, err := unit(p); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func FuzzUnit(f *testing.F) {
	f.Add("/opt/daulat", "--model=x", "/home")
	f.Add("/opt/da ulat", "--model=\"\\\u0085", "/a\x00b")
	f.Fuzz(func(t *testing.T, path, argument, folder string) {
		text, err := unit(Program{Path: path, Arguments: []string{argument}, Writable: []string{folder}})
		if err != nil {
			return
		}
		plain, err := unit(Program{Path: "/a", Arguments: []string{"b"}, Writable: []string{"/c"}})
		if err != nil || strings.Count(text, "\n") != strings.Count(plain, "\n") {
			t.Errorf("%q, %q and %q make another unit: %s", path, argument, folder, text)
		}
	})
}

func TestFile(t *testing.T) {
	t.Setenv("HOME", "/home/her")
	for config, want := range map[string]string{"": "/home/her/.config", "relative": "/home/her/.config", "/conf": "/conf"} {
		t.Setenv("XDG_CONFIG_HOME", config)
		if got, err := File(); got != want+"/systemd/user/daulat-provide.service" || err != nil {
			t.Errorf("%q: %s, %v", config, got, err)
		}
	}
}

// TestSystemdTakesTheUnit asks systemd, on machines that have it; elsewhere it
// asks that every line is a section, a comment or a setting.
func TestSystemdTakesTheUnit(t *testing.T) {
	p := program(t, "provide", `--model=50% "of" it\`, "--x=$HOME")
	file := filepath.Join(t.TempDir(), Name)
	if err := Install(file, p); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '[' && line[0] != '#' && !strings.Contains(line, "=") {
			t.Errorf("line %q", line)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), analyze, "verify", "--user", file)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), Name) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
