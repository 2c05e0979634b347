// Settle measures settlement on the ledger against plain bank sends, both on
// one node as shipped: pebble, a block each 500 ms and what it takes to run it,
// single validator, pure Go.
//
// An entry is a session of a consumer and a provider of its own, brought by a
// stranger: both its signatures are verified when the block runs, and its new
// state is stored. Transactions of
// both kinds are signed before the clock starts, which runs from the first
// hand-over to the node until the last block is committed. Afterwards the
// node's state is exported and every coin and every session is accounted for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"daulat/bench/report"
)

type options struct {
	sessions, senders, sends, rounds int
	validators                       int    // of the ledger, all in this process
	entries                          int    // of one transaction; 0 picks the best of sizes
	profile                          string // of the measured runs
	keep                             string
}

var sizes = []int{20, 50, 100}

func main() {
	var o options
	flag.IntVar(&o.sessions, "sessions", 18_000, "sessions of distinct parties, each settled once per run; a multiple of 3000 for each round")
	flag.IntVar(&o.senders, "senders", 2000, "accounts that send coins")
	flag.IntVar(&o.sends, "sends", 8000, "sends of a run with one send per transaction; four times as many with twenty")
	flag.IntVar(&o.validators, "validators", 1, "that agree on each block, all in this process")
	flag.IntVar(&o.rounds, "rounds", 3, "repeats of each kind, at least 3")
	flag.IntVar(&o.entries, "entries", 0, "entries of one transaction; 0 tries several")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a profile of the measured runs to FILE")
	flag.Parse()
	report.Context()
	report.Exit(run(o))
}

func run(o options) (err error) {
	if o.rounds < 1 || o.validators < 1 || o.validators > 16 || o.sessions < 1 || o.sessions%(3*groupSize*o.rounds) != 0 || o.senders < 2 || o.sends < o.senders {
		return errors.New("the options make no sense together; see -help")
	}
	dir, err := os.MkdirTemp("", "bench-settle-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w, err := found(dir, o)
	if err != nil {
		return err
	}
	fmt.Printf("setup: %d sessions of as many consumers, providers and keys, %d more of %d providers, %d senders, in genesis\n",
		len(w.sessions), len(w.groups), len(w.providers), len(w.senders))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	defer func() { err = errors.Join(err, w.stop()) }()
	if err := w.start(ctx); err != nil {
		return err
	}
	r, err := measure(ctx, w, o)
	if err != nil {
		return err
	}
	if err := w.stop(); err != nil {
		return err
	}
	if err := w.conserved(); err != nil {
		return fmt.Errorf("after the runs: %w", err)
	}
	fmt.Printf("conserved: every coin and every session of %d accounted for\n", len(w.newest))
	claims, finals, one, twenty := report.Median(r.claims), report.Median(r.finals), report.Median(r.one), report.Median(r.twenty)
	report.Result("settle", "ratio", claims/one, "ratio_batch", claims/twenty, "entries_s", claims, "sends_s", one,
		"batched_sends_s", twenty, "entries_per_tx", r.entries, "final_s", finals, "final_ratio", finals/one, "final_ratio_batch", finals/twenty)
	return nil
}

// results are rates per second.
type results struct {
	entries                     int
	claims, finals, one, twenty []float64
}

// measure rotates the kinds, so that whatever else the machine does hits all of
// them. Each session's final settlement can run once, so each round takes its
// share of them.
func measure(ctx context.Context, w *world, o options) (r results, err error) {
	if r.entries = o.entries; r.entries == 0 {
		if r.entries, err = w.bestSize(ctx); err != nil {
			return r, err
		}
	}
	stop, err := profile(o.profile)
	if err != nil {
		return r, err
	}
	defer stop()
	for range o.rounds {
		for _, kind := range []struct {
			rates *[]float64
			load  func(context.Context) (load, error)
		}{
			{&r.claims, func(ctx context.Context) (load, error) { return w.claims(ctx, w.sessions, r.entries) }},
			{&r.one, func(ctx context.Context) (load, error) { return w.sends(ctx, o.sends, 1) }},
			{&r.twenty, func(ctx context.Context) (load, error) { return w.sends(ctx, 4*o.sends, 20) }},
		} {
			if err := w.rate(ctx, kind.load, kind.rates); err != nil {
				return r, err
			}
		}
	}
	share := len(w.groups) / o.rounds / groupSize * groupSize
	for i := range o.rounds {
		part := w.groups[i*share : (i+1)*share]
		if err := w.rate(ctx, func(ctx context.Context) (load, error) { return w.finals(ctx, part, r.entries) }, &r.finals); err != nil {
			return r, err
		}
	}
	return r, nil
}

// bestSize tries how many entries a transaction should have.
func (w *world) bestSize(ctx context.Context) (best int, err error) {
	top := 0.0
	for _, size := range sizes {
		var rates []float64
		part := w.sessions[:len(w.sessions)/2/groupSize*groupSize]
		if err := w.rate(ctx, func(ctx context.Context) (load, error) { return w.claims(ctx, part, size) }, &rates); err != nil {
			return 0, err
		}
		if rates[0] > top {
			top, best = rates[0], size
		}
	}
	return best, nil
}

// rate makes a load, runs it and notes its rate.
func (w *world) rate(ctx context.Context, make func(context.Context) (load, error), rates *[]float64) error {
	l, err := make(ctx)
	if err != nil {
		return err
	}
	m, err := w.drive(ctx, l)
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	fmt.Printf("%-28s %7.0f/s  %4d µs CPU each  %d in %d blocks, %.1f s\n", l.name, m.rate(), m.cpu.Microseconds()/int64(m.units),
		m.units, m.blocks, m.wall.Seconds())
	*rates = append(*rates, m.rate())
	return nil
}

func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}
