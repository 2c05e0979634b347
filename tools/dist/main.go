// Dist builds what is handed out: one static binary for each system, the same
// bits wherever it is built, and SHA256SUMS beside them.
//
// Usage: dist [-root DIR] [-out DIR] [-targets OS/ARCH,…] [-check [-cache DIR]]
//
// With -check it builds each target a second time: from a copy of the source in
// another folder, with other module and build caches (those in -cache, which stay
// for the next time) and without the user's settings. It fails unless both are
// the same bits. The last line is RESULT.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

// all are the systems that are built for, the first two above all.
const all = "linux/amd64,linux/arm64,darwin/arm64,windows/amd64"

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "the repository")
	flag.StringVar(&o.out, "out", "dist", "folder for the binaries, below the root unless absolute")
	targets := flag.String("targets", all, "what to build for, as OS/ARCH")
	flag.BoolVar(&o.check, "check", false, "build each a second time elsewhere, and compare")
	flag.StringVar(&o.cache, "cache", "", "folder for the caches of the second build (default: daulat-dist beside Go's build cache)")
	flag.Parse()
	o.targets = strings.Split(*targets, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

type options struct {
	root, out, cache string
	targets          []string
	check            bool
}

func run(ctx context.Context, o options) (err error) {
	if o.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if !filepath.IsAbs(o.out) {
		o.out = filepath.Join(o.root, o.out)
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	var sums strings.Builder
	for _, target := range o.targets {
		sum, err := release(ctx, o, target)
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum, name(target))
		fmt.Printf("%x  %s\n", sum, name(target))
	}
	if err := os.WriteFile(filepath.Join(o.out, "SHA256SUMS"), []byte(sums.String()), 0o644); err != nil {
		return err
	}
	fmt.Printf("RESULT dist targets=%d checked=%t\n", len(o.targets), o.check)
	return nil
}

// name is the file of a target, such as daulat-linux-amd64.
func name(target string) string {
	file := "daulat-" + strings.ReplaceAll(target, "/", "-")
	if strings.HasPrefix(target, "windows/") {
		file += ".exe"
	}
	return file
}

// release builds one target, and again elsewhere if that is to be compared.
func release(ctx context.Context, o options, target string) (sum [sha256.Size]byte, err error) {
	file := filepath.Join(o.out, name(target))
	if err := build(ctx, o.root, file, target, nil); err != nil {
		return sum, err
	}
	first, err := os.ReadFile(file)
	if err != nil {
		return sum, err
	}
	if err := static(first, target); err != nil {
		return sum, err
	}
	if o.check {
		second, err := elsewhere(ctx, o, target)
		if err != nil {
			return sum, fmt.Errorf("build it a second time: %w", err)
		}
		if err := same(first, second); err != nil {
			return sum, err
		}
	}
	return sha256.Sum256(first), nil
}

// same reports where two builds differ.
func same(a, b []byte) error {
	if bytes.Equal(a, b) {
		return nil
	}
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	return fmt.Errorf("two builds differ from byte %d on, and have %d and %d bytes", at, len(a), len(b))
}

// static reports an error if a Linux binary wants a loader, and so libraries that
// another machine may lack.
func static(binary []byte, target string) error {
	if !strings.HasPrefix(target, "linux/") {
		return nil // these systems' own libraries are all it can use, without cgo
	}
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			return errors.New("the binary is not static")
		}
	}
	return nil
}

// build makes the program from the source in dir. What a user has set for Go does
// not reach it.
func build(ctx context.Context, dir, file, target string, env []string) error {
	system, arch, ok := strings.Cut(target, "/")
	if !ok {
		return errors.New("a target is written OS/ARCH")
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags=pebbledb", "-ldflags=-s -w -buildid=", "-o", file, "./cmd/daulat")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GOTOOLCHAIN=local")
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// elsewhere builds the target from a copy of the source, in a folder of another
// depth and name, with caches of its own.
func elsewhere(ctx context.Context, o options, target string) ([]byte, error) {
	modules, err := goEnv(ctx, "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	cache := o.cache
	if cache == "" {
		built, err := goEnv(ctx, "GOCACHE")
		if err != nil {
			return nil, err
		}
		cache = filepath.Join(filepath.Dir(built), "daulat-dist")
	}
	temp, err := os.MkdirTemp("", "daulat-dist-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	source := filepath.Join(temp, "another", "place", "for the source")
	if err := copySource(ctx, o.root, source); err != nil {
		return nil, err
	}
	file := filepath.Join(temp, "binary")
	// Modules come from where they were downloaded to, checked by go.sum. -modcacherw
	// lets the cache be removed like any folder.
	err = build(ctx, source, file, target, []string{"GOPATH=" + filepath.Join(cache, "path"), "GOMODCACHE=" + filepath.Join(cache, "path", "pkg", "mod"),
		"GOCACHE=" + filepath.Join(cache, "build"), "GOENV=off", "GONOSUMDB=*", "GOFLAGS=-modcacherw",
		"GOPROXY=file://" + filepath.ToSlash(filepath.Join(modules, "cache", "download"))})
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

func goEnv(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// copySource copies what git keeps of the repository, as it lies there now.
func copySource(ctx context.Context, root, to string) error {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the source: %w", err)
	}
	for file := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, file))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not committed yet
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(to, file)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, file), data, 0o644)
		}
		if err != nil {
			return fmt.Errorf("copy the source: %w", err)
		}
	}
	return nil
}
