// Gateway measures what the network adds to an engine that costs nothing. Three
// processes stand in a row: one asks over HTTP, one is the gateway with its
// consumer, one the provider; the first also runs the ledger, which both others
// reach over RPC. Everything in between is the product: token check, spend
// record, signed request, libp2p stream, receipt, audit, voucher, and both
// journals synced to disk.
//
// Streams are open all the time; each has its answers written at a fixed pace
// by an engine that only waits. The engine gives the first token at once, so the
// time from request to first token is all added. CPU time is that of gateway
// and provider together. Afterwards both journals must hold, for every request,
// one receipt and one voucher, and the final vouchers must settle.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"daulat/bench/costless"
	"daulat/bench/report"
	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link/session"
)

type options struct {
	streams int
	tokens  int
	pace    time.Duration
	length  time.Duration
	profile string
}

const chainID = "bench-gateway"

func main() {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		report.Exit(serve(os.Stdin, os.Stdout))
	}
	var o options
	flag.IntVar(&o.streams, "streams", 64, "streams at once")
	flag.IntVar(&o.tokens, "tokens", 200, "tokens of an answer")
	flag.DurationVar(&o.pace, "pace", 20*time.Millisecond, "pause between two tokens of one answer")
	flag.DurationVar(&o.length, "time", 30*time.Second, "how long requests start")
	flag.StringVar(&o.profile, "cpuprofile", "", "write profiles of gateway and provider to PREFIX.gateway and PREFIX.provider")
	flag.Parse()
	report.Context()
	report.Exit(run(o))
}

func run(o options) error {
	if o.streams < 1 || o.tokens < 1 || o.tokens > costless.MaxTokens || o.pace < 0 || o.length <= 0 {
		return errors.New("the options make no sense; see -help")
	}
	dir, err := os.MkdirTemp("", "bench-gateway-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	n, err := open(ctx, dir, o)
	if err != nil {
		return errors.Join(err, n.close())
	}
	figures, err := n.measure(ctx, o)
	if err := errors.Join(err, n.close()); err != nil {
		return err
	}
	if err := reconciled(dir, figures.requests); err != nil {
		return err
	}
	fmt.Printf("journals: receipts = vouchers = requests = %d on both sides\n", figures.requests)
	report.Result("gateway", "p99_ms", figures.p99, "cpu_us_token", figures.cpu, "ledger_ops", figures.ops,
		"p50_ms", figures.p50, "burst_p99_ms", figures.burst, "streams", o.streams, "tokens", figures.tokens)
	return nil
}

// network is what a run starts, in the order in which it starts.
type network struct {
	ledger   *validator.Validator
	provider *part
	gateway  *part
	asked    int // requests so far, those that warm up included
}

func open(ctx context.Context, dir string, o options) (*network, error) {
	n := &network{}
	wallet, err := newSecret()
	if err != nil {
		return n, err
	}
	seller, err := newSecret()
	if err != nil {
		return n, err
	}
	buyer, err := client.NewAccountKey(wallet)
	if err != nil {
		return n, err
	}
	vendor, err := client.NewAccountKey(seller)
	if err != nil {
		return n, err
	}
	home := filepath.Join(dir, "chain")
	err = validator.Init(home, validator.Genesis{ChainID: chainID, ValidatorAccount: buyer.Account(), CloseWindow: 10,
		Accounts: []validator.Funding{{Address: buyer.Account(), Amount: 1e12}, {Address: vendor.Account(), Amount: 1e6}}})
	if err != nil {
		return n, err
	}
	if n.ledger, err = validator.Start(ctx, validator.Config{Home: home}); err != nil {
		return n, err
	}
	job := task{Ledger: n.ledger.RPCAddress(), Dir: dir, Streams: o.streams, Pace: o.pace, Profile: o.profile}
	job.Role, job.Account = "provider", seller
	if n.provider, err = startPart(job); err != nil {
		return n, err
	}
	job.Role, job.Account = "gateway", wallet
	n.gateway, err = startPart(job)
	return n, err
}

// close ends the gateway first, which settles every session.
func (n *network) close() error {
	var failed []error
	for _, c := range []*part{n.gateway, n.provider} {
		if c != nil {
			failed = append(failed, c.Stop())
		}
	}
	if n.ledger != nil {
		failed = append(failed, n.ledger.Stop())
	}
	return errors.Join(failed...)
}

// figures are what is reported; times in milliseconds, CPU in µs.
type figures struct {
	p50, p99, burst, cpu  float64
	ops, requests, tokens int
}

// measure warms a session for each stream, then keeps all streams busy, and
// last lets all ask in the same instant.
func (n *network) measure(ctx context.Context, o options) (f figures, err error) {
	a := newAsker(n.gateway.ready, o)
	if _, err := n.burst(ctx, a, 1); err != nil {
		return f, fmt.Errorf("warm up: %w", err)
	}
	before, err := n.stats()
	if err != nil {
		return f, err
	}
	began := time.Now()
	steady, err := a.steady(ctx)
	n.asked += len(steady)
	if err != nil {
		return f, err
	}
	wall := time.Since(began)
	after, err := n.stats()
	if err != nil {
		return f, err
	}
	f.tokens = len(steady) * o.tokens
	used := after.minus(before)
	f.cpu = float64(used.CPU.Microseconds()) / float64(f.tokens)
	fmt.Printf("%d requests, %.0f tokens/s; µs CPU per token: gateway %.1f, provider %.1f\n", len(steady),
		float64(f.tokens)/wall.Seconds(), float64(used.gateway.Microseconds())/float64(f.tokens), float64(used.provider.Microseconds())/float64(f.tokens))
	fmt.Printf("first token: p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, worst %.1f ms\n", quantile(steady, 0.5), quantile(steady, 0.9),
		quantile(steady, 0.99), quantile(steady, 1))
	f.p50, f.p99 = quantile(steady, 0.5), quantile(steady, 0.99)
	burst, err := n.burst(ctx, a, o.tokens)
	if err != nil {
		return f, err
	}
	f.burst = quantile(burst, 0.99)
	fmt.Printf("all %d at once: first token p50 %.1f ms, p99 %.1f ms\n", o.streams, quantile(burst, 0.5), f.burst)
	last, err := n.stats()
	if err != nil {
		return f, err
	}
	all := last.minus(before)
	f.ops, f.requests = all.Calls, n.asked
	fmt.Printf("ledger: %d transactions and queries for %d warm requests; the provider's own look at its sessions, once a second, made %d queries\n",
		f.ops, len(steady)+len(burst), all.Background)
	return f, nil
}

func (n *network) burst(ctx context.Context, a *asker, tokens int) ([]time.Duration, error) {
	times, err := a.together(ctx, tokens)
	n.asked += len(times)
	return times, err
}

func quantile(all []time.Duration, q float64) float64 {
	return float64(report.Quantile(all, q).Microseconds()) / 1000
}

// usage sums both processes.
type usage struct {
	stats
	gateway, provider time.Duration
}

func (n *network) stats() (u usage, err error) {
	g, err := n.gateway.stats()
	if err != nil {
		return u, err
	}
	p, err := n.provider.stats()
	return usage{stats{CPU: g.CPU + p.CPU, Calls: g.Calls + p.Calls, Background: g.Background + p.Background}, g.CPU, p.CPU}, err
}

func (u usage) minus(v usage) usage {
	return usage{stats{u.CPU - v.CPU, u.Calls - v.Calls, u.Background - v.Background}, u.gateway - v.gateway, u.provider - v.provider}
}

// reconciled reads both journals: each request has left one receipt and one
// voucher, and each session ended with a final one.
func reconciled(dir string, requests int) error {
	for _, side := range []string{"gateway", "provider"} {
		j, err := session.OpenJournal(filepath.Join(dir, side+".db"))
		if err != nil {
			return err
		}
		records, err := j.Records(func(session.Record) bool { return true })
		if err != nil {
			return errors.Join(err, j.Close())
		}
		var receipts, vouchers, transcripts int
		for _, r := range records {
			kept, err := j.Transcripts(r.Session.ID)
			if err != nil {
				return errors.Join(err, j.Close())
			}
			transcripts += len(kept)
			if r.Newest != nil {
				receipts += int(r.Newest.Receipt.Seq)
				vouchers += int(r.Newest.Voucher.Seq)
			}
		}
		if err := j.Close(); err != nil {
			return err
		}
		if receipts != requests || vouchers != requests || transcripts != requests {
			return fmt.Errorf("%s: %d receipts, %d vouchers and %d transcripts for %d requests", side, receipts, vouchers, transcripts, requests)
		}
	}
	return nil
}
