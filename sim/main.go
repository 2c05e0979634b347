// Sim runs the market in virtual time: thousands of providers, honest ones and
// others, and the homes that order from them, through the product's own rules.
// Orders clear by match.Clear in batches as large as the ledger's, homes choose by
// match.Rank and their own facts, sessions and escrow move by core/job, answers are
// run again at verify.AuditRate, and receipts and vouchers are signed. What is not
// there is disks, links, consensus and engines: so nothing but the rules takes time,
// and that time is what it prints.
//
// `make sim` writes what it measured to docs/scale.csv, and the page docs/scale.md
// and its picture from that file alone.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	seed := flag.Uint64("seed", 1, "of everything that is drawn")
	out := flag.String("out", "docs", "folder of scale.csv, scale.md and scale.svg")
	plotOnly := flag.Bool("plot", false, "draw what scale.csv holds, and run nothing")
	flag.Parse()
	if err := run(*seed, *out, *plotOnly); err != nil {
		fmt.Fprintln(os.Stderr, "failed:", err)
		os.Exit(1)
	}
}

func run(seed uint64, out string, plotOnly bool) error {
	table := filepath.Join(out, "scale.csv")
	if !plotOnly {
		var all []row
		for _, providers := range []int{1_000, 10_000} {
			for _, load := range []int{1, 4, 16, 64} {
				w := newWorld(config{seed: seed, providers: providers, load: load, orders: 480})
				r, err := w.run()
				if err != nil {
					return err
				}
				r.print()
				all = append(all, r)
			}
		}
		if err := writeRows(table, all); err != nil {
			return err
		}
	}
	all, err := readRows(table)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "scale.svg"), []byte(plot(all)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "scale.md"), []byte(page(all)), 0o644)
}
