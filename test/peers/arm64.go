package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// portable lists packages whose results are the same on every processor. Those
// with golden tests compare with bits in the repository, and these must run: of
// model/float all logits of a prompt that fills the context, and those of 64 tokens
// decoded up to its end, for every architecture and tensor type.
var portable = []struct {
	folder string
	golden []string
}{
	{"model/float", []string{"TestGolden", "TestGoldenAnswer"}},
	{"model/sample", []string{"TestVectors"}},
	{"model/gguf", []string{"TestLayouts"}},
	{"model/tokenizer", nil},
	{"compute/executor/inference", []string{"TestNative", "TestNativeOnQuantisedWeights", "TestNativeOnOtherArchitectures"}},
	{"test/vectors", []string{"TestReceipt"}},
	{"core/artifact", nil},
	{"core/canon", nil},
	{"core/escrow", nil},
	{"core/job", nil},
	{"core/match", nil},
	{"core/receipt", nil},
	{"core/verify", nil},
}

// notPortable are tests left out: two that read source, which is the same
// everywhere, one that takes half a minute for integers alone, and those of what is
// statistics in floats, of no class that promises bits.
const notPortable = "^(TestSource|TestAuditSees|TestEveryInterleavingEndsAndConservesMoney|TestReplay.*|TestServedTeacher.*)$"

// arm64 runs the tests of portable as an arm64 machine would, and gives how
// many passed.
func (t *tools) arm64(ctx context.Context) (passed int, err error) {
	root := filepath.Join(t.folder, "../..")
	for _, p := range portable {
		program := filepath.Join(t.temp, "arm64.test")
		build := t.command(ctx, "go", "test", "-c", "-o", program, "./"+p.folder)
		build.Dir = root
		build.Env = append(build.Env, "GOARCH=arm64", "CGO_ENABLED=0")
		if err := quiet(build); err != nil {
			return 0, err
		}
		args := []string{program, "-test.v", "-test.skip", notPortable}
		if runtime.GOARCH != "arm64" {
			args = append([]string{t.qemu}, args...)
		}
		run := t.command(ctx, args[0], args[1:]...)
		run.Dir = filepath.Join(root, p.folder)
		out, err := run.CombinedOutput()
		if err != nil {
			return 0, failure(run, err, out)
		}
		names := passes(string(out))
		if len(names) == 0 {
			return 0, fmt.Errorf("%s on arm64 ran nothing", p.folder)
		}
		for _, golden := range p.golden {
			if !slices.Contains(names, golden) {
				return 0, fmt.Errorf("%s on arm64 ran %q, not %s", p.folder, names, golden)
			}
		}
		t.say(fmt.Sprintf("  %s: %s", p.folder, strings.Join(names, " ")))
		passed += len(names)
	}
	return passed, nil
}

// passes are the names of the top tests that passed.
func passes(out string) (names []string) {
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "--- PASS: "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	return names
}

const qemu = "qemu-aarch64-static"

// emulator finds the program that runs arm64 programs here, or takes Debian's
// from its package without installing it. The archive keeps no old versions, so
// the package is pinned by its signature alone; what runs in it are our tests.
func (t *tools) emulator(ctx context.Context) (string, error) {
	if runtime.GOARCH == "arm64" {
		return "", nil
	}
	for _, name := range []string{qemu, "qemu-aarch64"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", errors.New("make peers needs qemu-aarch64 (package qemu-user-static), which this machine lacks")
	}
	dir, err := t.locked(ctx, "qemu", nil, nil, func(dir string) error {
		t.say("taking " + qemu + " from Debian's package qemu-user-static")
		if os.Getuid() == 0 {
			if err := quiet(t.command(ctx, "apt-get", "update")); err != nil {
				return err
			}
		}
		get := t.command(ctx, "apt-get", "download", "qemu-user-static")
		get.Dir = dir
		if err := quiet(get); err != nil {
			return err
		}
		return t.unpack(ctx, dir)
	})
	return filepath.Join(dir, qemu), err
}

// unpack takes the one program out of the one package in dir.
func (t *tools) unpack(ctx context.Context, dir string) error {
	found, err := filepath.Glob(filepath.Join(dir, "qemu-user-static_*.deb"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("apt-get downloaded %d packages into %s: %v", len(found), dir, err)
	}
	parts := filepath.Join(dir, "parts")
	if err := quiet(t.command(ctx, "dpkg-deb", "--extract", found[0], parts)); err != nil {
		return err
	}
	return errors.Join(os.Rename(filepath.Join(parts, "usr/bin", qemu), filepath.Join(dir, qemu)), os.RemoveAll(parts), os.Remove(found[0]))
}
