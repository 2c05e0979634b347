package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
)

// The planted files say on each line what must be found there, and nothing
// else may be.
func TestAnalyzer(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), Analyzer, "a", "keys")
}

func TestLintReadsConsensusPackagesUnderAllTags(t *testing.T) {
	var out strings.Builder
	n, err := lint(&out, "testdata/tree")
	if err != nil {
		t.Fatal(err)
	}
	want := `core/half/never.go: is built under no tags that the analyser knows
core/rule/twin.go:5:5: float: float64
ledger/market/market.go:10:14: time.Now brings in a clock
ledger/market/market.go:7:2: range over a map: sort its keys first
ledger/market/parallel.go:15:19: float: float64
ledger/market/parallel.go:16:15: runtime.NumCPU brings in the machine
ledger/market/parallel.go:24:4: (*sync.WaitGroup).Go brings in a goroutine
ledger/market/parallel.go:25:2: goroutine: consensus code runs in one order
ledger/market/parallel.go:30:27: goroutine: consensus code runs in one order
referee/market/market.go:4:19: goroutine: consensus code runs in one order
consensuslint: 4 packages, 10 findings
`
	if out.String() != want || n != 10 {
		t.Errorf("%d findings:\n%s\nwant 10:\n%s", n, &out, want)
	}
}

func TestLintRefusesWhatItCannotJudge(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no consensus package": {"sim/sim.go": "package sim"},
		"type error":           {"core/a/a.go": "package a\n\nvar x int = \"\""},
		"syntax error":         {"core/a/a.go": "package a\n\nfunc"},
		"missing import":       {"ledger/a/a.go": "package a\n\nimport _ \"example/gone\""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			files["go.mod"] = "module example\n\ngo 1.26.8\n"
			for f, text := range files {
				f = filepath.Join(root, f)
				if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			if n, err := lint(&out, root); err == nil {
				t.Errorf("%d findings and no error", n)
			}
		})
	}
}
