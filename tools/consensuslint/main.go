// Consensuslint refuses, in the packages that every validator must compute
// alike, whatever could differ between two machines: floats, the order of a
// map, clocks, randomness, goroutines, the operating system.
//
// It reads core, referee and the ledger's modules; not tests, and not the parts
// of the ledger that talk to a chain instead of being one. There is no comment
// that silences it; the one function that may start goroutines is named in
// analyzer.go. A file that no configuration of tags builds is a finding
// too, as nobody would have read it.
//
// Usage, from tools/: go run ./consensuslint [-root ..]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

// A scope is loaded once for each of its tag sets.
type scope struct {
	folder string
	tags   []string
}

var (
	scopes = []scope{
		{"core", []string{"pebbledb", "pebbledb,purego"}}, // core's hash has a portable twin
		{"referee", []string{"pebbledb", "pebbledb,purego"}},
		{"ledger", []string{"pebbledb", "pebbledb,rehearsal"}}, // a program that upgrades are rehearsed with
	}
	// outside of consensus, though below a scope.
	outside = []string{"ledger/client", "ledger/validator"}
)

func main() {
	root := flag.String("root", "..", "root of the module to read")
	flag.Parse()
	n, err := lint(os.Stdout, *root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "consensuslint:", err)
		os.Exit(2)
	}
	if n > 0 {
		os.Exit(1)
	}
}

// lint prints the findings below root, sorted, then one line that counts them.
func lint(w io.Writer, root string) (int, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return 0, err
	}
	var findings []string
	packages := 0
	for _, s := range scopes {
		if _, err := os.Stat(filepath.Join(root, s.folder)); errors.Is(err, os.ErrNotExist) {
			continue
		}
		f, n, err := s.lint(root)
		if err != nil {
			return 0, err
		}
		findings, packages = append(findings, f...), packages+n
	}
	if packages == 0 {
		return 0, fmt.Errorf("no consensus package below %s", root)
	}
	slices.Sort(findings)
	findings = slices.Compact(findings)
	for _, f := range findings {
		fmt.Fprintln(w, f)
	}
	fmt.Fprintf(w, "consensuslint: %d packages, %d findings\n", packages, len(findings))
	return len(findings), nil
}

// lint analyses the scope under each tag set and counts its packages.
func (s scope) lint(root string) (findings []string, n int, err error) {
	unread := map[string]int{} // file → tag sets that left it out
	for _, tags := range s.tags {
		pkgs, err := s.load(root, tags)
		if err != nil {
			return nil, 0, err
		}
		n = max(n, len(pkgs))
		for _, p := range pkgs {
			for _, f := range p.IgnoredFiles {
				if strings.HasSuffix(f, ".go") && !strings.HasSuffix(f, "_test.go") {
					unread[f]++
				}
			}
		}
		graph, err := checker.Analyze([]*analysis.Analyzer{Analyzer}, pkgs, nil)
		if err != nil {
			return nil, 0, err
		}
		for _, act := range graph.Roots {
			if act.Err != nil {
				return nil, 0, fmt.Errorf("analyse %s: %w", act.Package, act.Err)
			}
			for _, d := range act.Diagnostics {
				at := act.Package.Fset.Position(d.Pos)
				findings = append(findings, fmt.Sprintf("%s:%d:%d: %s", relative(root, at.Filename), at.Line, at.Column, d.Message))
			}
		}
	}
	for f, times := range unread {
		if times == len(s.tags) {
			findings = append(findings, relative(root, f)+": is built under no tags that the analyser knows")
		}
	}
	return findings, n, nil
}

// load type-checks the consensus packages of the scope. Code that does not
// compile is an error: it cannot be judged.
func (s scope) load(root, tags string) ([]*packages.Package, error) {
	pkgs, err := packages.Load(&packages.Config{
		Mode:       packages.LoadSyntax | packages.NeedModule,
		Dir:        root,
		Env:        append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off"),
		BuildFlags: []string{"-tags=" + tags},
	}, "./"+s.folder+"/...")
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", s.folder, err)
	}
	pkgs = slices.DeleteFunc(pkgs, func(p *packages.Package) bool { return !consensus(p) })
	var faults []error
	for _, p := range pkgs {
		for _, e := range p.Errors {
			faults = append(faults, e)
		}
	}
	return pkgs, errors.Join(faults...)
}

// consensus: p is not one of the folders outside.
func consensus(p *packages.Package) bool {
	folder := p.PkgPath
	if p.Module != nil {
		folder = strings.TrimPrefix(folder, p.Module.Path+"/")
	}
	return !slices.ContainsFunc(outside, func(o string) bool {
		return folder == o || strings.HasPrefix(folder, o+"/")
	})
}

func relative(root, file string) string {
	if rel, err := filepath.Rel(root, file); err == nil {
		return filepath.ToSlash(rel)
	}
	return file
}
