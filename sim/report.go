package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stats are what a run counts.
type stats struct {
	operations int // messages to the ledger
	ticks      int // clocks that it ran down
	misses     int // orders that a batch left without a match
	sessions   [kinds]int
	requests   int
	audits     int // answers that were run again
	paidLies   int
	complaints int
	unserved   int // wishes that were given up
	rank       []time.Duration
	clear      []time.Duration
	waits      []uint64 // virtual milliseconds from the first order to the first token
}

// row is one run in numbers, under the names of columns.
type row struct {
	Providers, Load           int
	Orders                    int
	ClearMedian, ClearWorst   int // µs
	RankMedian                int // µs
	WaitMedian, WaitWorst     int // virtual ms, p50 and p99
	Operations, Ticks         int // per 1,000 orders
	Audits                    int // per 1,000 requests
	Vanished, Lied, Paid      int // sessions of vanishers and of liars per 1,000, lies that were paid for per 1,000 requests
	Complaints, Unserved, All int // All: sessions
}

var columns = []string{"providers", "orders_per_block", "orders", "clear_us_p50", "clear_us_p99", "rank_us_p50", "first_token_virtual_ms_p50", "first_token_virtual_ms_p99",
	"ledger_messages_per_1000_orders", "ledger_clocks_per_1000_orders", "audits_per_1000_requests", "vanishers_sessions_per_1000", "liars_sessions_per_1000",
	"paid_lies_per_1000_requests", "complaints", "unserved", "sessions"}

func (r *row) fields() []*int {
	return []*int{&r.Providers, &r.Load, &r.Orders, &r.ClearMedian, &r.ClearWorst, &r.RankMedian, &r.WaitMedian, &r.WaitWorst, &r.Operations, &r.Ticks, &r.Audits,
		&r.Vanished, &r.Lied, &r.Paid, &r.Complaints, &r.Unserved, &r.All}
}

func (w *world) row() row {
	s := w.stats
	all := 0
	for _, n := range s.sessions {
		all += n
	}
	return row{Providers: w.config.providers, Load: w.load, Orders: w.config.orders,
		ClearMedian: int(quantile(s.clear, 50).Microseconds()), ClearWorst: int(quantile(s.clear, 99).Microseconds()), RankMedian: int(quantile(s.rank, 50).Microseconds()),
		WaitMedian: int(quantile(s.waits, 50)), WaitWorst: int(quantile(s.waits, 99)),
		Operations: share(s.operations, w.config.orders), Ticks: share(s.ticks, w.config.orders), Audits: share(s.audits, s.requests),
		Vanished: share(s.sessions[vanisher], all), Lied: share(s.sessions[liar], all), Paid: share(s.paidLies, s.requests),
		Complaints: s.complaints, Unserved: s.unserved, All: all}
}

// share is n of all, per 1,000.
func share(n, all int) int { return (1000*n + all/2) / max(1, all) }

func quantile[T time.Duration | uint64](all []T, percent int) T {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)*percent+99)/100-1]
}

func (r row) print() {
	var b strings.Builder
	b.WriteString("RESULT sim")
	for i, f := range r.fields() {
		fmt.Fprintf(&b, " %s=%d", columns[i], *f)
	}
	fmt.Println(b.String())
}

func writeRows(path string, all []row) error {
	var b strings.Builder
	out := csv.NewWriter(&b)
	lines := [][]string{columns}
	for _, r := range all {
		var line []string
		for _, f := range r.fields() {
			line = append(line, strconv.Itoa(*f))
		}
		lines = append(lines, line)
	}
	if err := out.WriteAll(lines); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func readRows(path string) (all []row, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines, err := csv.NewReader(strings.NewReader(string(data))).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 || !slices.Equal(lines[0], columns) {
		return nil, fmt.Errorf("%s has other columns", path)
	}
	for _, line := range lines[1:] {
		var r row
		for i, f := range r.fields() {
			if *f, err = strconv.Atoi(line[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		all = append(all, r)
	}
	return all, nil
}
