package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	rpcclient "github.com/cometbft/cometbft/rpc/client"

	"daulat/ui/control"
)

// rehearsed is the plan that a program built with the tag rehearsal carries.
const rehearsed = "rehearsal"

// checkUpgrade has validators vote for an upgrade, and swaps their program one after
// the other.
func checkUpgrade(ctx context.Context, t *trial) (string, error) {
	t.say("building the next version of the program")
	next := filepath.Join(t.temp, "daulat-next")
	build := exec.CommandContext(ctx, "go", "build", "-tags=pebbledb,"+rehearsed, "-o", next, "./cmd/daulat")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, said)
	}
	c, err := t.found(ctx, "--voting-period", "10s")
	if err != nil {
		return "", err
	}
	coins, err := c.supply(ctx)
	if err != nil {
		return "", err
	}
	before, err := keyDelay(ctx, c.validators[0])
	if err != nil {
		return "", err
	}
	height, err := c.planUpgrade(ctx)
	if err != nil {
		return "", err
	}
	if err := c.endsForUpgrade(ctx, next, height); err != nil {
		return "", err
	}
	t.say("the next program goes on from the same homes, once more than two thirds run it")
	c.daulat = next
	start := time.Now()
	for i, v := range c.validators {
		if err := c.startNode(ctx, v); err != nil {
			return "", err
		}
		if i == 2 {
			if err := c.reach(ctx, height+2, healLimit, c.validators[:3]...); err != nil {
				return "", err
			}
		}
	}
	took := time.Since(start)
	if err := c.reach(ctx, height+4, healLimit, c.validators...); err != nil {
		return "", err
	}
	for _, v := range c.validators {
		after, err := keyDelay(ctx, v)
		if err == nil && after != 2*before {
			err = fmt.Errorf("the migration made %d s of %d s on %s", after, before, v.address)
		}
		if err != nil {
			return "", err
		}
	}
	after, err := c.supply(ctx)
	if err == nil && after != coins {
		err = fmt.Errorf("%d udlt became %d", coins, after)
	}
	if err != nil {
		return "", err
	}
	if _, err := c.noFork(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("upgrade_height=%d upgrade_s=%.1f", height, took.Seconds()), c.refusesOld(ctx)
}

// planUpgrade has the founder propose and all validators vote, and returns the
// height once the plan stands.
func (c *community) planUpgrade(ctx context.Context) (int64, error) {
	c.say("the founder proposes, the validators vote")
	now, err := highest(ctx, c.validators...)
	if err != nil {
		return 0, err
	}
	height := now + 150
	if _, err := c.invites(ctx, 1, 0); err != nil { // the founder's home finds its ledger
		return 0, err
	}
	var p struct{ ID uint64 }
	if err := c.must(ctx, c.founder, &p, "upgrade", "propose", rehearsed, fmt.Sprint(height), "--home", c.home); err != nil {
		return 0, err
	}
	for _, v := range c.validators {
		if err := c.must(ctx, v.host, &struct{}{}, "upgrade", "vote", fmt.Sprint(p.ID), "yes", "--home", v.home); err != nil {
			return 0, err
		}
	}
	for deadline := time.Now().Add(healLimit); ; {
		var u control.Upgrades
		if err := c.must(ctx, c.validators[0].host, &u, "upgrade", "status", "--home", c.validators[0].home); err != nil {
			return 0, err
		}
		if u.Plan == rehearsed && u.At == height && u.Proposals[0].State == "passed" {
			return height, nil
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("the vote came to %+v", u)
		}
		if err := pause(ctx, time.Second); err != nil {
			return 0, err
		}
	}
}

// endsForUpgrade wants all nodes to end at the height as their help says, the next
// program to refuse before, and the old one from then on.
func (c *community) endsForUpgrade(ctx context.Context, next string, height int64) error {
	c.say(fmt.Sprintf("all nodes end at block %d; the next program is refused before", height))
	early := c.validators[3]
	if err := early.process.Stop(); err != nil {
		return err
	}
	tooNew := trial{daulat: next, temp: c.temp}
	if err := tooNew.refuses(ctx, early, 1, `upgrade "rehearsal" takes effect at block`); err != nil {
		return err
	}
	if err := c.startNode(ctx, early); err != nil {
		return err
	}
	const why = `the ledger's rules change at block %d by upgrade "rehearsal": start this home with the program that carries it, nothing that was acknowledged is lost`
	for _, v := range c.validators {
		select {
		case <-v.process.Ended():
		case <-time.After(2 * healLimit):
			return fmt.Errorf("%s did not end at block %d", v.address, height)
		}
		if code := v.process.Status(); code != 5 || !strings.Contains(v.process.Said(), fmt.Sprintf("rules change at block %d", height)) {
			return fmt.Errorf("%s ended with status %d: %s", v.address, code, v.process.Said())
		}
	}
	return c.refuses(ctx, early, 5, fmt.Sprintf(why, height))
}

// refusesOld wants the program before to refuse the state after.
func (c *community) refusesOld(ctx context.Context) error {
	c.say("the program before refuses the new state")
	v := c.validators[0]
	if err := v.process.Stop(); err != nil {
		return err
	}
	tooOld := trial{daulat: c.first, temp: c.temp}
	return tooOld.refuses(ctx, v, 1, `they changed by upgrade "rehearsal", which it does not know: use the program that carries it`)
}

// refuses wants the start of a node to end with a status and one sentence.
func (t *trial) refuses(ctx context.Context, v *machine, status int, sentence string) error {
	o, err := t.run(ctx, v.host, startLimit, "node", "--home", v.home)
	if err == nil && (o.status != status || strings.Count(o.stderr, "\ndaulat: ") != 1 || !strings.Contains(o.stderr, sentence)) {
		err = fmt.Errorf("a start that had to be refused ended with status %d: %s", o.status, o.stderr)
	}
	return err
}

// keyDelay reads the value that the migration changes.
func keyDelay(ctx context.Context, v *machine) (uint64, error) {
	r, err := v.rpc.ABCIQueryWithOptions(ctx, "/store/registry/key", []byte{7}, rpcclient.DefaultABCIQueryOptions)
	if err != nil || len(r.Response.Value) != 8 {
		return 0, fmt.Errorf("ask %s for its key delay: %w", v.address, errors.Join(err, errors.New("it shows none")))
	}
	return binary.BigEndian.Uint64(r.Response.Value), nil
}
