// Blocks measures how long lies between two blocks of `daulat testnet`, as it is
// shipped: four validators, each a process of its own, on loopback. The times are
// those that the validators agreed on, in the headers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"daulat/bench/report"
	"daulat/ledger/client"
	"daulat/test/child"
	"daulat/ui/control"
)

const (
	settled  = 5                      // blocks before the first that counts: the validators find each other
	bar      = 600 * time.Millisecond // of the median
	patience = 5 * time.Minute
)

func main() {
	program := flag.String("daulat", "bin/daulat", "the program under test")
	validators := flag.Int("validators", 4, "how many")
	blocks := flag.Int64("blocks", 100, "blocks to time")
	flag.Parse()
	report.Context()
	report.Exit(run(*program, *validators, *blocks))
}

func run(program string, validators int, blocks int64) (err error) {
	if blocks < 1 {
		return errors.New("at least one block is needed")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench-blocks-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var net control.Testnet
	p, err := child.Start(exec.CommandContext(ctx, program, "testnet", "--json", "--validators", fmt.Sprint(validators), "--invites", "0", "--home", filepath.Join(dir, "net")), patience, &net)
	if err != nil {
		return err
	}
	gaps, err := gaps(ctx, net.Validators[0].Ledger, net.Chain, blocks)
	if err := errors.Join(err, p.Stop()); err != nil {
		return err
	}
	median := report.Median(gaps)
	report.Result("blocks", "median_ms", median.Milliseconds(), "p99_ms", report.Quantile(gaps, 0.99).Milliseconds(),
		"max_ms", report.Quantile(gaps, 1).Milliseconds(), "validators", validators, "blocks", blocks)
	if median > bar {
		return fmt.Errorf("the bar is %s", bar)
	}
	return nil
}

// gaps are the times between blocks.
func gaps(ctx context.Context, address, chain string, blocks int64) (all []time.Duration, err error) {
	rpc, err := client.Dial(address)
	if err != nil {
		return nil, err
	}
	c := client.New(rpc, chain, nil)
	for at := int64(0); at < settled+blocks; {
		if at, err = c.WaitBlock(ctx, at); err != nil {
			return nil, err
		}
	}
	var before time.Time
	for h := int64(settled); h <= settled+blocks; h++ {
		b, err := rpc.Commit(ctx, &h)
		if err != nil {
			return nil, err
		}
		if !before.IsZero() {
			all = append(all, b.Header.Time.Sub(before))
		}
		before = b.Header.Time
	}
	return all, nil
}
