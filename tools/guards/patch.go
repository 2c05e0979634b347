package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// maxChanged is how many lines a patch may add and remove.
const maxChanged = 10

// touched returns the files that a unified diff changes, if it is small enough
// and leaves tests alone. No file may appear or go.
func touched(diff string) (files []string, err error) {
	changed := 0
	for line := range strings.Lines(diff) {
		switch line = strings.TrimRight(line, "\n"); {
		case strings.HasPrefix(line, "--- "):
			old, ok := strings.CutPrefix(line, "--- a/")
			if !ok {
				return nil, fmt.Errorf("%q is not of the form --- a/FILE", line)
			}
			files = append(files, old)
		case strings.HasPrefix(line, "+++ "):
			if len(files) == 0 || line != "+++ b/"+files[len(files)-1] {
				return nil, fmt.Errorf("%q does not go with the line before it", line)
			}
		case strings.HasPrefix(line, "+"), strings.HasPrefix(line, "-"):
			changed++
		}
	}
	for _, f := range files {
		if !filepath.IsLocal(f) || !strings.HasSuffix(f, ".go") || strings.HasSuffix(f, "_test.go") {
			return nil, fmt.Errorf("patch touches %s, which is not a Go file of the program", f)
		}
	}
	switch {
	case changed == 0:
		return nil, errors.New("patch changes nothing")
	case changed > maxChanged:
		return nil, fmt.Errorf("patch changes %d lines, and %d are allowed", changed, maxChanged)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// overlay applies the diff to copies of the files in dir, and returns the file
// that tells the go command to see those in place of the tree's own.
func overlay(root, dir, diff string, files []string) (string, error) {
	replace := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			return "", fmt.Errorf("patch no longer applies: %w", err)
		}
		patched := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(patched), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(patched, text, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, f)] = patched
	}
	apply := exec.Command("git", "apply", "-p1", "-")
	apply.Dir, apply.Stdin = dir, strings.NewReader(diff)
	// Outside of any repository, git applies to the files as they are.
	apply.Env = append(os.Environ(), "GIT_DIR="+filepath.Join(dir, "none"), "GIT_WORK_TREE="+dir)
	if out, err := apply.CombinedOutput(); err != nil {
		return "", fmt.Errorf("patch no longer applies: %s", first(string(out)))
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, text, 0o600)
}

// first is the first line that says something.
func first(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "# ") {
			return line
		}
	}
	return "no reason given"
}
