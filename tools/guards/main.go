// Guards shows that tests guard what they say. Each row of test/guards/ROWS
// names a patch that removes one guard from the program, and the test that must
// notice. A row is caught if
//
//   - the patch changes at most ten lines, in Go files that are no tests,
//   - what it patches still builds and vets,
//   - the named test passes without the patch,
//   - it fails with the patch, by its own assertion: no panic, no time-out,
//   - and the package's other tests run as before, whatever they find.
//
// Nothing in the tree is changed: the go command lays the patched files over it.
//
// Usage: guards [-root DIR] [-sample N -seed HEX] [-only REGEXP] [-named]
//
// It prints a line for each row, at the end "RESULT guards rows=N caught=N
// missing=N", and fails unless all are caught. With -sample it takes N rows that
// the seed draws, such as a commit's hash, and all whose patch no longer applies.
// With -named it runs no test of a package but the named one: a quick look at many
// rows, which says nothing of the last point above.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

func main() {
	root := flag.String("root", ".", "the repository")
	sample := flag.Int("sample", 0, "how many rows to draw; 0 takes all")
	seed := flag.String("seed", "", "hexadecimal `hash` that draws the rows")
	only := flag.String("only", "", "takes the rows whose name matches the `regexp`")
	named := flag.Bool("named", false, "runs the named tests alone, not their packages'")
	timeout := flag.Duration("timeout", 3*time.Minute, "for the tests of one package")
	flag.Parse()
	err := run(options{*root, *sample, *seed, *only, *named, *timeout}, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guards:", err)
		os.Exit(1)
	}
}

type options struct {
	root       string
	sample     int
	seed, only string
	named      bool
	timeout    time.Duration
}

func run(o options, out io.Writer) error {
	root, err := filepath.Abs(o.root)
	if err != nil {
		return err
	}
	rows, err := readRows(filepath.Join(root, "test", "guards"))
	if err != nil {
		return err
	}
	name, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	rows = pick(rows, name)
	c := checker{root: root, timeout: o.timeout, named: o.named, plain: map[string]results{}}
	if o.sample > 0 {
		if rows, err = draw(rows, o.sample, o.seed, c.applies); err != nil {
			return err
		}
	}
	if len(rows) == 0 {
		return fmt.Errorf("no row is left to check")
	}
	missing := 0
	for _, r := range rows {
		began := time.Now()
		if err := c.check(r); err != nil {
			missing++
			fmt.Fprintf(out, "MISSING %s (%s): %v\n", r.name, r.item, err)
			continue
		}
		fmt.Fprintf(out, "caught  %s (%s) by %s, %.1f s\n", r.name, r.item, r.text, time.Since(began).Seconds())
	}
	fmt.Fprintf(out, "RESULT guards rows=%d caught=%d missing=%d\n", len(rows), len(rows)-missing, missing)
	if missing > 0 {
		return fmt.Errorf("%d of %d guards are not caught", missing, len(rows))
	}
	return nil
}

func pick(rows []row, name *regexp.Regexp) (picked []row) {
	for _, r := range rows {
		if name.MatchString(r.name) {
			picked = append(picked, r)
		}
	}
	return picked
}
