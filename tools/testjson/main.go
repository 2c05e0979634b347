// Testjson reads what go test -json prints and decides whether the tests
// passed. It is stricter than go test: a skipped test fails, and so do fewer
// tests than the repository has committed to, a package that never finished and
// an empty stream. Subtests count as tests.
//
// Usage: go test -json ./... | testjson [-count FILE]
//
// It prints a line for each package, the output of what failed, and at the end what
// each failed test complained of, in short, and "N passed, N failed", where any other
// fault counts as one failed.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	count := flag.String("count", "", "file with the least number of tests that must pass")
	flag.Parse()
	least, err := floor(*count)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testjson:", err)
		os.Exit(2)
	}
	if !judge(os.Stdin, os.Stdout, least) {
		os.Exit(1)
	}
}

// floor reads the committed number of tests; without a file it is one.
func floor(file string) (int, error) {
	if file == "" {
		return 1, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s holds no positive number", file)
	}
	return n, nil
}

// An event is one line of go test -json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// A run is what a package has shown so far.
type run struct {
	output         map[string][]string // by test; "" is the package's own
	open           map[string]bool     // tests that started and did not end
	passed, failed int
	faults         []string
	short          []string // what failed tests complained of
}

type judgement struct {
	out            io.Writer
	runs           map[string]*run
	build          map[string][]string // compiler output by import path
	short          []string            // of all failed tests
	passed, failed int                 // tests; whatever else is wrong counts as one failed
}

// judge reports whether every test of the stream passed, at least least of them.
func judge(in io.Reader, out io.Writer, least int) bool {
	j := &judgement{out: out, runs: map[string]*run{}, build: map[string][]string{}}
	for r := bufio.NewReader(in); ; {
		line, err := r.ReadString('\n')
		if strings.TrimSpace(line) != "" {
			j.line(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			j.fault("cannot read the stream: %v", err)
			break
		}
	}
	j.unfinished()
	if j.passed < least {
		j.fault("%d tests passed, but the repository has at least %d", j.passed, least)
	}
	slices.Sort(j.short)
	fmt.Fprint(out, strings.Join(j.short, ""))
	fmt.Fprintf(out, "%d passed, %d failed\n", j.passed, j.failed)
	return j.failed == 0
}

func (j *judgement) fault(format string, a ...any) {
	j.failed++
	fmt.Fprintf(j.out, "FAIL  "+format+"\n", a...)
}

func (j *judgement) line(text string) {
	var e event
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Action == "" {
		j.fault("not an event of go test: %s", strings.TrimSpace(text))
		return
	}
	switch e.Action {
	case "build-output":
		j.build[e.ImportPath] = append(j.build[e.ImportPath], e.Output)
		return
	case "build-fail":
		j.fault("%s does not build\n%s", e.ImportPath, strings.Join(j.build[e.ImportPath], ""))
		return
	}
	r := j.runs[e.Package]
	if r == nil {
		r = &run{output: map[string][]string{}, open: map[string]bool{}}
		j.runs[e.Package] = r
	}
	switch {
	case e.Action == "output":
		r.output[e.Test] = append(r.output[e.Test], e.Output)
	case e.Test == "":
		j.finish(r, e)
	default:
		r.test(e)
	}
}

// test follows one test of a package.
func (r *run) test(e event) {
	switch e.Action {
	case "run":
		r.open[e.Test] = true
		return
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		r.faults = append(r.faults, strings.Join(r.output[e.Test], ""))
		if said := complaints(r.output[e.Test]); said != "" {
			r.short = append(r.short, "FAIL  "+e.Package+" "+e.Test+"\n"+said)
		}
	case "skip":
		r.failed++
		r.faults = append(r.faults, e.Test+" was skipped\n"+strings.Join(r.output[e.Test], ""))
	default:
		return // pause, cont, bench
	}
	delete(r.open, e.Test)
	delete(r.output, e.Test)
}

// complaint is a line in which a test, a script or the runtime says what is wrong, and
// before how many lines lead to it.
var complaint = regexp.MustCompile(`^\s*(FAIL: |\w+_test\.go:\d+: |panic: |fatal error: )`)

const before = 12

// complaints are the lines of an output that say what is wrong, with those before them.
func complaints(output []string) string {
	var said strings.Builder
	lines := strings.SplitAfter(strings.Join(output, ""), "\n")
	next := 0
	for i, line := range lines {
		if !complaint.MatchString(line) {
			continue
		}
		said.WriteString(strings.Join(lines[max(next, i-before):i+1], ""))
		next = i + 1
	}
	return said.String()
}

// finish prints a package that ended. Without test files it ends as skipped.
func (j *judgement) finish(r *run, e event) {
	switch e.Action {
	case "pass", "fail", "skip":
	default:
		return
	}
	delete(j.runs, e.Package)
	j.short = append(j.short, r.short...)
	for test := range r.open {
		r.failed++
		r.faults = append(r.faults, test+" did not end\n"+strings.Join(r.output[test], ""))
	}
	slices.Sort(r.faults)
	j.passed += r.passed
	none := e.Action == "skip" && r.passed+r.failed == 0
	switch {
	case none:
		fmt.Fprintf(j.out, "none  %s\n", e.Package)
	case e.Action == "pass" && r.failed == 0:
		fmt.Fprintf(j.out, "ok    %s  %d tests  %.1f s\n", e.Package, r.passed, e.Elapsed)
	default:
		j.fault("%s\n%s%s", e.Package, strings.Join(r.faults, ""), strings.Join(r.output[""], ""))
		j.failed += max(0, r.failed-1) // the package is one of them
	}
}

// unfinished: a stream that breaks off has told nothing about its last packages.
func (j *judgement) unfinished() {
	var cut []string
	for name, r := range j.runs {
		cut = append(cut, name)
		j.passed += r.passed
		j.failed += r.failed
	}
	slices.Sort(cut)
	for _, name := range cut {
		j.fault("%s did not end", name)
	}
}
