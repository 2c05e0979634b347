package main

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed page.md
var prose string

// page is docs/scale.md: prose with the table in its place.
func page(all []row) string {
	var b strings.Builder
	b.WriteString("| Providers | Orders per block | Clear a block, µs p50 / p99 | Rank, µs p50 | First token, virtual ms p50 / p99 | Messages / clocks per 1,000 orders | Audits per 1,000 requests | Sessions of vanishers / liars per 1,000 | Lies paid for per 1,000 requests | Complaints | Given up |\n")
	b.WriteString("|--" + strings.Repeat("|--", 10) + "|\n")
	for _, r := range all {
		fmt.Fprintf(&b, "| %s | %d | %s / %s | %s | %s / %s | %s / %s | %d | %d / %d | %d | %d | %d |\n", thousands(r.Providers), r.Load, thousands(r.ClearMedian), thousands(r.ClearWorst),
			thousands(r.RankMedian), thousands(r.WaitMedian), thousands(r.WaitWorst), thousands(r.Operations), thousands(r.Ticks), r.Audits, r.Vanished, r.Lied, r.Paid, r.Complaints, r.Unserved)
	}
	return strings.Replace(prose, "{{table}}\n", b.String(), 1)
}
