package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// plant makes a repository of a program whose bits depend on what is wrong with it.
func plant(t *testing.T, files map[string]string) options {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git := exec.Command("git", "init", "--quiet")
	git.Dir = root
	if out, err := git.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return options{root: root, out: "dist", cache: t.TempDir(), targets: []string{"linux/amd64"}}
}

// TestBuildTwiceIsTheSame: a small program, built in two places with two caches,
// has the same bits, and the sums name them.
func TestBuildTwiceIsTheSame(t *testing.T) {
	o := plant(t, map[string]string{"go.mod": "module daulat\n\ngo 1.26\n", ".gitignore": "/dist/\n",
		"cmd/daulat/main.go": "// Daulat.\npackage main\n\nimport \"runtime\"\n\nfunc main() { _, file, _, _ := runtime.Caller(0); println(file) }\n"})
	o.check = true
	if err := run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(o.root, "dist", "SHA256SUMS"))
	if err != nil || !strings.HasSuffix(string(sums), "  daulat-linux-amd64\n") || len(sums) != 64+len("  daulat-linux-amd64\n") {
		t.Errorf("%q, %v", sums, err)
	}
}

func TestDifferencesAndLoadersAreFound(t *testing.T) {
	if err := same([]byte("abc"), []byte("abd")); err == nil || !strings.Contains(err.Error(), "byte 2") {
		t.Errorf("%v", err)
	}
	if err := same([]byte("abc"), []byte("abcd")); err == nil {
		t.Error("a longer build is the same")
	}
	if err := static([]byte("no program"), "linux/amd64"); err == nil {
		t.Error("no program at all is static")
	}
	dynamic := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 200)...)
	copy(dynamic[16:], []byte{2, 0, 62, 0, 1})        // an executable for amd64
	dynamic[32], dynamic[54], dynamic[56] = 64, 56, 1 // one program header, at 64
	dynamic[64] = 3                                   // that names a loader
	if err := static(dynamic, "linux/amd64"); err == nil || !strings.Contains(err.Error(), "not static") {
		t.Errorf("a program with a loader: %v", err)
	}
}

func TestName(t *testing.T) {
	for target, want := range map[string]string{"linux/arm64": "daulat-linux-arm64", "windows/amd64": "daulat-windows-amd64.exe"} {
		if got := name(target); got != want {
			t.Error(got)
		}
	}
}
