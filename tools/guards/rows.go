package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A row is one guard: what it is called, the item of bad input that it belongs
// to, the patch that removes it, and the test of a package that must notice.
type row struct {
	name, item, patch, pkg, text string
	test                         *regexp.Regexp // text, for a whole name
}

// readRows reads dir/ROWS: a row a line, its five columns set apart by " | ";
// empty lines and those that begin with # are comments.
func readRows(dir string) ([]row, error) {
	text, err := os.ReadFile(filepath.Join(dir, "ROWS"))
	if err != nil {
		return nil, err
	}
	var rows []row
	seen := map[string]bool{}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		r, err := parseRow(dir, line)
		if err == nil && seen[r.name] {
			err = fmt.Errorf("name %q is used twice", r.name)
		}
		if err != nil {
			return nil, fmt.Errorf("ROWS:%d: %w", i+1, err)
		}
		seen[r.name] = true
		rows = append(rows, r)
	}
	return rows, nil
}

func parseRow(dir, line string) (r row, err error) {
	columns := strings.Split(line, " | ")
	if len(columns) != 5 {
		return r, fmt.Errorf("%d columns, not name | item | patch | package | test", len(columns))
	}
	for i := range columns {
		if columns[i] = strings.TrimSpace(columns[i]); columns[i] == "" {
			return r, fmt.Errorf("column %d is empty", i+1)
		}
	}
	r = row{name: columns[0], item: columns[1], patch: filepath.Join(dir, columns[2]), pkg: columns[3], text: columns[4]}
	if !filepath.IsLocal(columns[2]) || !strings.HasPrefix(r.pkg, "./") {
		return r, errors.New("patch must lie beside ROWS and package must begin with ./")
	}
	r.test, err = regexp.Compile("^(?:" + r.text + ")$")
	return r, err
}

// named is what go test's -run calls the row's tests by: the parts of a name
// between slashes are expressions of their own there.
func (r row) named() string {
	parts := strings.Split(r.text, "/")
	for i, part := range parts {
		parts[i] = "^(?:" + part + ")$"
	}
	return strings.Join(parts, "/")
}

// draw returns n rows, in their order, that nobody could choose who did not
// choose the seed, and those besides whose patch does not apply.
func draw(rows []row, n int, seed string, applies func(row) bool) ([]row, error) {
	hash, err := hex.DecodeString(seed)
	if err != nil || len(hash) == 0 {
		return nil, fmt.Errorf("seed %q is not hexadecimal", seed)
	}
	lot := func(r row) []byte {
		sum := sha256.Sum256(append(bytes.Clone(hash), r.name...))
		return sum[:]
	}
	drawn := slices.SortedFunc(slices.Values(rows), func(a, b row) int {
		return cmp.Or(bytes.Compare(lot(a), lot(b)), strings.Compare(a.name, b.name))
	})
	drawn = drawn[:min(n, len(drawn))]
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool {
		return !slices.ContainsFunc(drawn, func(d row) bool { return d.name == r.name }) && applies(r)
	}), nil
}
