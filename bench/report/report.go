// Package report is what the benchmarks share: a question, the context that a number is
// worthless without, CPU time, medians, and the RESULT line that scripts read.
//
// Start at [Context]; [Result] comes last.
package report

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Context prints machine, Go version, commit and load.
func Context() {
	fmt.Printf("cpu: %s, %d cores\n", field("/proc/cpuinfo", "model name"), runtime.NumCPU())
	fmt.Printf("go: %s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Printf("commit: %s\n", commit())
	fmt.Printf("time: %s, load: %s\n", time.Now().UTC().Format(time.RFC3339), load())
}

// field is the first value of that name in a file of "name : value" lines.
func field(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

func commit() string {
	head, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(head)) + " and uncommitted changes"
	}
	return strings.TrimSpace(string(head))
}

func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}

// CPU is the user and system time that this process has used.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // cannot happen: both arguments are valid
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Median of what is not empty; of an even number, the lower of the two in the
// middle.
func Median[T int | uint64 | float64 | time.Duration](all []T) T {
	return Quantile(all, 0.5)
}

// Quantile is the smallest value that at least the share q does not exceed.
func Quantile[T int | uint64 | float64 | time.Duration](all []T, q float64) T {
	sorted := slices.Sorted(slices.Values(all))
	i := int(float64(len(sorted))*q+0.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// Result prints the last line: RESULT name key=value …
func Result(name string, pairs ...any) {
	var b strings.Builder
	fmt.Fprintf(&b, "RESULT %s", name)
	for i := 0; i+1 < len(pairs); i += 2 {
		format := " %v=%v"
		if _, ok := pairs[i+1].(float64); ok {
			format = " %v=%.4g"
		}
		fmt.Fprintf(&b, format, pairs[i], pairs[i+1])
	}
	fmt.Println(b.String())
}

// Exit ends the program: with status 1 and a sentence if err is not nil.
func Exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
