package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A checker judges rows.
type checker struct {
	root    string
	timeout time.Duration
	named   bool               // the package's other tests are left out
	plain   map[string]results // of packages as they are
}

// check returns why the row is not caught.
func (c checker) check(r row) error {
	dir, err := os.MkdirTemp("", "guards")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	lay, files, err := c.patched(r, dir)
	if err != nil {
		return err
	}
	before, err := c.unpatched(r)
	if err != nil {
		return fmt.Errorf("without the patch: %w", err)
	}
	if err := c.vets(lay, packages(files), r.pkg); err != nil {
		return err
	}
	after, err := c.test(r, "-overlay="+lay)
	if err != nil {
		return fmt.Errorf("with the patch: %w", err)
	}
	return judge(r.test, before, after)
}

// applies reports whether the row's patch fits the tree.
func (c checker) applies(r row) bool {
	dir, err := os.MkdirTemp("", "guards")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	_, _, err = c.patched(r, dir)
	return err == nil
}

// patched lays the files that the row's patch changes over the tree, by way of dir.
func (c checker) patched(r row, dir string) (lay string, files []string, err error) {
	diff, err := os.ReadFile(r.patch)
	if err != nil {
		return "", nil, err
	}
	if files, err = touched(string(diff)); err != nil {
		return "", nil, err
	}
	lay, err = overlay(c.root, dir, string(diff), files)
	return lay, files, err
}

// packages are the folders of the files.
func packages(files []string) (pkgs []string) {
	for _, f := range files {
		pkgs = append(pkgs, "./"+filepath.ToSlash(filepath.Dir(f)))
	}
	return pkgs
}

// vets builds what was patched, and vets it with the package of the test, in which
// there may be nothing to build.
func (c checker) vets(lay string, patched []string, test string) error {
	for _, step := range []struct {
		verb string
		pkgs []string
	}{{"build", patched}, {"vet", append(slices.Clone(patched), test)}} {
		slices.Sort(step.pkgs)
		cmd := exec.Command("go", append([]string{step.verb, "-overlay=" + lay}, slices.Compact(step.pkgs)...)...)
		cmd.Dir = c.root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("with the patch it does not %s: %s", step.verb, first(string(out)))
		}
	}
	return nil
}

func (c checker) unpatched(r row) (results, error) {
	key := r.pkg
	if c.named {
		key += " " + r.text
	}
	if known, ok := c.plain[key]; ok {
		return known, nil
	}
	res, err := c.test(r)
	if err == nil {
		c.plain[key] = res
	}
	return res, err
}

// results are how each test of a package ended, subtests included.
type results map[string]*result

type result struct {
	ended    string // "pass", "fail" or "skip"
	asserted bool   // it said what is wrong, and where
}

// test runs the tests of the row's package. The error says why not all of them came to an
// end of their own.
func (c checker) test(r row, flags ...string) (results, error) {
	args := append([]string{"test", "-json", "-vet=off", "-timeout=" + c.timeout.String()}, flags...)
	if c.named {
		args = append(args, "-run="+r.named())
	}
	cmd := exec.Command("go", append(args, r.pkg)...)
	cmd.Dir = c.root
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil && out.Len() == 0 {
		return nil, errors.New(first(stderr.String()))
	}
	return read(out.Bytes())
}

var (
	// assertion is how testing marks what a test reports.
	assertion = regexp.MustCompile(`^\s*\w+_test\.go:\d+: `)
	broken    = regexp.MustCompile(`^(panic: |fatal error: |SIGQUIT: |signal: )`)
)

// read takes in the stream of go test -json.
func read(stream []byte) (results, error) {
	res := results{}
	done := false
	for d := json.NewDecoder(bytes.NewReader(stream)); d.More(); {
		var e struct{ Action, Test, Output string }
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("output of go test: %w", err)
		}
		switch {
		case e.Action == "build-fail":
			return nil, errors.New("the test does not build")
		case e.Action == "output" && broken.MatchString(e.Output):
			return nil, fmt.Errorf("the tests broke off: %s", strings.TrimSpace(e.Output))
		case e.Test == "":
			done = done || e.Action == "pass" || e.Action == "fail"
		default:
			res.note(e.Action, e.Test, e.Output)
		}
	}
	for name, r := range res {
		if r.ended == "" {
			return nil, fmt.Errorf("%s did not end", name)
		}
	}
	if !done || len(res) == 0 {
		return nil, errors.New("no test ran")
	}
	return res, nil
}

func (res results) note(action, test, output string) {
	r := res[test]
	if r == nil {
		r = &result{}
		res[test] = r
	}
	switch {
	case action == "output" && assertion.MatchString(output):
		for name := test; name != ""; name, _, _ = cutLast(name) { // a subtest speaks for its parents
			if res[name] != nil {
				res[name].asserted = true
			}
		}
	case action == "pass" || action == "fail" || action == "skip":
		r.ended = action
	}
}

func cutLast(name string) (parent, child string, found bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return "", name, false
	}
	return name[:i], name[i+1:], true
}

// judge compares the runs without and with the patch.
func judge(test *regexp.Regexp, before, after results) error {
	named := false
	for name, was := range before {
		is := after[name]
		if is == nil && !strings.Contains(name, "/") {
			return fmt.Errorf("%s no longer runs with the patch", name)
		}
		if !test.MatchString(name) {
			continue
		}
		named = true
		switch {
		case was.ended != "pass":
			return fmt.Errorf("%s does not pass without the patch", name)
		case is == nil || is.ended != "fail":
			return fmt.Errorf("%s does not notice the patch", name)
		case !is.asserted:
			return fmt.Errorf("%s fails with the patch, but not by an assertion", name)
		}
	}
	if !named {
		return fmt.Errorf("no test is called %s", test)
	}
	return nil
}
