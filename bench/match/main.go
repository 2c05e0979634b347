// Match measures how long an asker waits for a provider that works, where most
// don't: a real ledger of one validator holds a thousand offers, nearly all of
// machines that answer when they are reached, win orders by their price, and never
// serve. Each order is that of a fresh home, which knows nothing but the ledger: an
// account, a session key, a journal and a peer of its own, and the product's
// consumer. The time runs from the question to the first token of a real stream;
// listing a thousand offers, ranking and reaching the best of them are part of it.
//
// The offers and the accounts are in the ledger's genesis, as a thousand
// registrations would be transactions without anything to learn from them. The
// history of the honest providers is not: before the clock runs, an asker orders
// from each of them, is served, pays, and settles, on the same ledger. Other
// variants: nobody listens at the machines' addresses; and one home that asks
// again and again, each time as if it had no session, and gives newcomers their
// share.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"daulat/bench/report"
)

type options struct {
	offers, honest, orders int
	absent                 bool
}

const (
	barMedian = time.Second
	barWorst  = 5 * time.Second
	patience  = 15 * time.Minute
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "vanish" {
		report.Exit(vanish(os.Stdin, os.Stdout))
	}
	var o options
	flag.IntVar(&o.offers, "offers", 1000, "offers on the ledger")
	flag.IntVar(&o.honest, "honest", 20, "how many of them are of providers that serve")
	flag.IntVar(&o.orders, "orders", 60, "orders of each kind")
	flag.BoolVar(&o.absent, "absent", false, "nobody listens at the addresses of the others")
	flag.Parse()
	report.Context()
	report.Exit(run(o))
}

func run(o options) (err error) {
	if o.honest < 1 || o.honest >= o.offers || o.orders < 1 {
		return errors.New("the options make no sense; see -help")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w, err := found(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := w.history(ctx); err != nil {
		return fmt.Errorf("make a history: %w", err)
	}
	stays, tried, err := w.measure(ctx, o.orders, w.oneHome())
	if err != nil {
		return err
	}
	result("match-home", o, stays, tried)
	fresh, tried, err := w.measure(ctx, o.orders, w.freshHome)
	if err != nil {
		return err
	}
	result("match", o, fresh, tried)
	if report.Median(fresh) > barMedian || report.Quantile(fresh, 0.99) > barWorst {
		return fmt.Errorf("the bars are %s for p50 and %s for p99", barMedian, barWorst)
	}
	return nil
}

// result prints the times, how many orders had to go to more than one provider, and
// the longest.
func result(name string, o options, times []time.Duration, tried []int) {
	again := 0
	for _, n := range tried {
		if n > 1 {
			again++
		}
	}
	vanishing := "after-matching"
	if o.absent {
		vanishing = "absent"
	}
	report.Result(name, "p50_ms", report.Median(times).Milliseconds(), "p99_ms", report.Quantile(times, 0.99).Milliseconds(),
		"max_ms", report.Quantile(times, 1).Milliseconds(), "orders", len(times), "offers", o.offers, "honest", o.honest,
		"vanishing", vanishing, "several_sessions", again)
}
