package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"daulat/ui/control"
)

const (
	skew     = 5 * time.Minute  // that everything goes on with
	tooMuch  = 2 * time.Hour    // that is told to the machine's owner
	trueTime = 20 * time.Second // within which the ledger's time is the true one
	snapped  = 160              // blocks from which on a newcomer gets a snapshot
)

// checkClocks has machines of all kinds whose clocks are wrong, in both directions,
// beside two validators whose clocks are right.
func checkClocks(ctx context.Context, t *trial) (string, error) {
	t.clocks = map[string]time.Duration{"v2": skew, "v3": -skew, "provider1": -skew, "asker1": skew, "provider2": skew, "asker2": -skew,
		"node": -skew, "early": tooMuch, "late": -tooMuch}
	t.say("four validators, of which one is five minutes ahead and one behind")
	begun := time.Now()
	c, err := t.found(ctx, "--block-time", "200ms", "--challenge-window", "20")
	if err != nil {
		return "", err
	}
	t.say("a provider behind and an asker ahead, and the other way round")
	first, err := c.join(ctx, 1)
	if err != nil {
		return "", err
	}
	second, err := c.join(ctx, 2)
	if err != nil {
		return "", err
	}
	for _, g := range []*guests{first, second} {
		if err := g.dealt(ctx, c); err != nil {
			return "", err
		}
	}
	if err := c.reach(ctx, snapped, healLimit, c.validators...); err != nil {
		return "", err
	}
	joined, err := c.follows(ctx)
	if err != nil {
		return "", err
	}
	if err := c.tells(ctx); err != nil {
		return "", err
	}
	var paid time.Duration
	for i, g := range []*guests{first, second} {
		if err := g.released(ctx, c, i+1); err != nil {
			return "", err
		}
		paid = time.Since(begun)
	}
	height, err := c.trueBlocks(ctx, begun)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("clocks_blocks=%d clocks_paid_s=%.1f clocks_node_s=%.1f", height, paid.Seconds(), joined.Seconds()), c.stopsLate(ctx)
}

// showsClock wants a host's programs to see its clock.
func (c *community) showsClock(ctx context.Context, h *host) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o, err := c.runOf(ctx, h, startLimit, self, "-clock")
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(strings.TrimSpace(o.stdout), 10, 64)
	if err != nil {
		return err
	}
	if off := time.Until(time.Unix(0, at)) - h.ahead; off.Abs() > trueTime {
		return fmt.Errorf("the clock of %s is %s off what it should be", h.space, off)
	}
	return nil
}

// dealt wants the answer to be the guests' own deal, and verified by the asker.
func (g *guests) dealt(ctx context.Context, c *community) error {
	for _, h := range []*host{g.provider, g.asker} {
		if err := c.showsClock(ctx, h); err != nil {
			return err
		}
	}
	file := filepath.Join(g.home, "answer.receipt")
	if err := c.must(ctx, g.asker, &struct{}{}, "receipt", "export", g.receipt, "-o", file, "--home", g.home); err != nil {
		return err
	}
	var r control.Report
	if err := c.must(ctx, g.asker, &r, "verify", file, "--home", g.home); err != nil {
		return err
	}
	if r.Verdict != "agree" || r.Provider != g.account {
		return fmt.Errorf("the answer by %s is verified to be %+v", g.account, r)
	}
	return nil
}

// released waits for the provider's pay, which has to be today's.
func (g *guests) released(ctx context.Context, c *community, n int) error {
	home := filepath.Join(c.temp, fmt.Sprintf("provider%d", n))
	err := eventually(ctx, "released pay", startLimit, func() (bool, error) {
		var s control.Status
		err := c.must(ctx, g.provider, &s, "status", "--home", home)
		return err == nil && s.Provider != nil && s.Provider.Released > 0, err
	})
	if err != nil {
		return err
	}
	before := time.Now().UTC()
	var days []control.EarnedDay
	if err := c.must(ctx, g.provider, &days, "provider", "earned", "--days", "2", "--home", home); err != nil {
		return err
	}
	for _, d := range days {
		// The run may go over midnight.
		if d.Earned > 0 && (d.Day == before.Format(time.DateOnly) || d.Day == before.Add(-startLimit).Format(time.DateOnly)) {
			return nil
		}
	}
	return fmt.Errorf("earned on none of %+v", days)
}

// follows has a full node that is behind join by a snapshot, and reach the ledger's end.
func (c *community) follows(ctx context.Context) (took time.Duration, err error) {
	c.say("a full node that is behind gets a snapshot")
	h, err := c.at("node", 40)
	if err != nil {
		return 0, err
	}
	lines, err := c.invites(ctx, 1, 0, 2)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	var n control.Node
	p, err := c.start(ctx, h, &n, "node", lines[0], "--home", filepath.Join(c.temp, "node"))
	if err != nil {
		return 0, err
	}
	rpc, err := h.rpc(n.Ledger)
	if err != nil {
		return 0, err
	}
	node := &machine{host: h, address: address(40), rpc: rpc}
	top, err := highest(ctx, c.validators...)
	if err != nil {
		return 0, err
	}
	if err := c.reach(ctx, top, healLimit, node); err != nil {
		return 0, err
	}
	took = time.Since(begun)
	s, err := rpc.Status(ctx)
	if err == nil && s.SyncInfo.EarliestBlockHeight < 2 {
		err = fmt.Errorf("it got all blocks and no snapshot: %s", p.Said())
	}
	return took, err
}

// tells wants those whose clock is out of all bounds to learn it, and in one sentence.
func (c *community) tells(ctx context.Context) error {
	c.say("machines that are two hours ahead or behind are told so")
	lines, err := c.invites(ctx, 2, 0, 2)
	if err != nil {
		return err
	}
	for i, want := range []struct{ name, sentence string }{
		// What it is behind by depends on the block, to the second.
		{"late", "this machine's clock is wrong: it is "},
		{"early", "the ledger node is behind, or this machine's clock is wrong: its newest block is of "},
	} {
		h, err := c.at(want.name, 41+i)
		if err != nil {
			return err
		}
		if err := c.showsClock(ctx, h); err != nil {
			return err
		}
		for _, args := range [][]string{{"ask", "--network", lines[i], "hello"}, {"node", lines[i]}, {"provide", lines[i], "--model", "noise"}} {
			o, err := c.run(ctx, h, startLimit, append(args, "--home", filepath.Join(c.temp, want.name+"-"+args[0]))...)
			if err != nil {
				return err
			}
			if o.status != 1 || strings.Count(o.stderr, "\ndaulat: ") != 1 || strings.Count(o.stderr, want.sentence) != 1 {
				return fmt.Errorf("a machine that is %s by two hours was told by %s, with status %d: %s", want.name, args[0], o.status, o.stderr)
			}
		}
	}
	return nil
}

// trueBlocks wants one ledger of all four, whose time is the true one, and which the
// validators with a wrong clock sign as well.
func (c *community) trueBlocks(ctx context.Context, begun time.Time) (height int64, err error) {
	if height, err = c.noFork(ctx); err != nil {
		return 0, err
	}
	signed := map[string]int64{}
	var ahead time.Duration
	for h := int64(1); h <= height; h++ {
		b, err := c.validators[0].rpc.Commit(ctx, &h)
		if err != nil {
			return 0, err
		}
		if b.Time.Before(begun.Add(-trueTime)) || b.Time.After(time.Now().Add(trueTime)) {
			return 0, fmt.Errorf("block %d is of %s, in a run from %s on", h, b.Time, begun)
		}
		for _, s := range b.Commit.Signatures {
			if len(s.Signature) > 0 {
				signed[s.ValidatorAddress.String()]++
				ahead = max(ahead, s.Timestamp.Sub(b.Time))
			}
		}
	}
	for _, v := range c.validators {
		s, err := v.rpc.Status(ctx)
		if err != nil {
			return 0, err
		}
		if n := signed[s.ValidatorInfo.Address.String()]; n < height/2 {
			return 0, fmt.Errorf("%s, whose clock is %s ahead, signed %d of %d blocks", v.address, v.ahead, n, height)
		}
		if err := c.showsClock(ctx, v.host); err != nil {
			return 0, err
		}
	}
	if ahead < skew-trueTime {
		return 0, fmt.Errorf("no signature is more than %s ahead of its block", ahead)
	}
	return height, nil
}

// stopsLate has a validator start again whose clock went back by hours meanwhile.
func (c *community) stopsLate(ctx context.Context) error {
	c.say("a validator whose clock is two hours behind by now does not start")
	v := c.validators[3]
	if err := v.process.Stop(); err != nil {
		return err
	}
	v.ahead = -tooMuch
	return c.refuses(ctx, v, 1, "start ledger node: this machine's clock is wrong: it is ")
}
