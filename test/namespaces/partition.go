package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	sdkquery "github.com/cosmos/cosmos-sdk/types/query"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/gogoproto/proto"

	rpcclient "github.com/cometbft/cometbft/rpc/client"

	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/model/synthetic"
	"daulat/test/child"
	"daulat/ui/control"
)

// healLimit is how long a ledger may take to go on once its validators reach each
// other again.
const healLimit = 60 * time.Second

// parted is how long a partition lasts. After 45 seconds without a sign a node gives
// its peer up, and then has to find it again.
const parted = 60 * time.Second

// A community is a ledger on machines of its own, with one more for the founder.
type community struct {
	*trial
	first      string // the program that it was founded with
	wan        *network
	founder    *host
	home       string // the founder's
	validators []*machine
}

// machine is a validator's.
type machine struct {
	*host
	address string
	home    string
	process *child.Process
	rpc     client.RPC
}

// found makes a ledger of four machines that run.
func (t *trial) found(ctx context.Context, more ...string) (*community, error) {
	c := &community{trial: t, first: t.daulat, home: filepath.Join(t.temp, "founder")}
	var err error
	if c.wan, err = t.lab.network("wan"); err != nil {
		return nil, err
	}
	if c.founder, err = c.at("founder", 20); err != nil {
		return nil, err
	}
	var addresses []string
	for i := 1; i <= 4; i++ {
		h, err := c.at(fmt.Sprintf("v%d", i), i)
		if err != nil {
			return nil, err
		}
		c.validators = append(c.validators, &machine{host: h, address: address(i)})
		addresses = append(addresses, address(i))
	}
	var f control.Testnet
	args := append([]string{"testnet", "--home", c.home, "--machines", strings.Join(addresses, ","), "--challenge-window", "2"}, more...)
	if err := t.must(ctx, c.founder, &f, args...); err != nil {
		return nil, err
	}
	for i, v := range c.validators {
		v.home = f.Machines[i].Home
		if err := c.startNode(ctx, v); err != nil {
			return nil, err
		}
	}
	return c, c.reach(ctx, 3, healLimit, c.validators...)
}

func address(n int) string { return fmt.Sprintf("10.0.0.%d", n) }

// at adds a host to the one switch.
func (c *community) at(name string, n int) (*host, error) {
	h, err := c.lab.host(name)
	if err != nil {
		return nil, err
	}
	h.ahead = c.clocks[name]
	_, err = h.plug(c.wan, address(n)+"/24")
	return h, err
}

func (c *community) startNode(ctx context.Context, v *machine) (err error) {
	var n control.Node
	if v.process, err = c.start(ctx, v.host, &n, "node", "--home", v.home); err != nil {
		return err
	}
	v.rpc, err = v.host.rpc(n.Ledger)
	return err
}

// invites are lines for as many guests, who know the links of some machines alone.
func (c *community) invites(ctx context.Context, n int, through ...int) (lines []string, err error) {
	var f control.Testnet
	if err := c.must(ctx, c.founder, &f, "testnet", "--home", c.home, "--invites", fmt.Sprint(n)); err != nil {
		return nil, err
	}
	for _, text := range f.Invites {
		l, err := invite.ParseLine(text)
		if err != nil {
			return nil, err
		}
		var peers []string
		for _, i := range through {
			peers = append(peers, l.Peers[i])
		}
		l.Peers = peers
		lines = append(lines, l.Encode())
	}
	return lines, nil
}

// tip is the height of a validator's newest block.
func (v *machine) tip(ctx context.Context) (int64, error) {
	s, err := v.rpc.Status(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask %s: %w", v.address, err)
	}
	return s.SyncInfo.LatestBlockHeight, nil
}

// highest is the newest block that any of them has.
func highest(ctx context.Context, all ...*machine) (top int64, err error) {
	for _, v := range all {
		at, err := v.tip(ctx)
		if err != nil {
			return 0, err
		}
		top = max(top, at)
	}
	return top, nil
}

// reach waits until all have a block.
func (c *community) reach(ctx context.Context, height int64, limit time.Duration, all ...*machine) error {
	deadline := time.Now().Add(limit)
	for _, v := range all {
		for {
			at, err := v.tip(ctx)
			if err != nil {
				return err
			}
			if at >= height {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("after %s %s is at block %d and not at %d", limit, v.address, at, height)
			}
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// side is some of the machines, as part and mend want them.
func side(all ...*machine) map[*host]string {
	m := map[*host]string{}
	for _, v := range all {
		m[v.host] = v.address
	}
	return m
}

// stands wants no more than the block under way on machines that had a height when
// they were parted.
func stands(ctx context.Context, height int64, all ...*machine) error {
	at, err := highest(ctx, all...)
	if err == nil && at > height+1 {
		err = fmt.Errorf("without two thirds of the validators the ledger went from block %d to %d", height, at)
	}
	return err
}

// heal mends and returns how long the ledger took to go on, on all that live.
func (c *community) heal(ctx context.Context, a, b map[*host]string, live ...*machine) (time.Duration, error) {
	top, err := highest(ctx, live...)
	if err != nil {
		return 0, err
	}
	if err := mend(a, b); err != nil {
		return 0, err
	}
	start := time.Now()
	err = c.reach(ctx, top+3, healLimit, live...)
	return time.Since(start), err
}

// noFork wants the same block at every height on all four.
func (c *community) noFork(ctx context.Context) (height int64, err error) {
	height, err = highest(ctx, c.validators...)
	if err != nil {
		return 0, err
	}
	if err := c.reach(ctx, height, healLimit, c.validators...); err != nil {
		return 0, err
	}
	for h := int64(1); h <= height; h++ {
		var hashes []string
		for _, v := range c.validators {
			b, err := v.rpc.Commit(ctx, &h)
			if err != nil {
				return 0, fmt.Errorf("block %d of %s: %w", h, v.address, err)
			}
			hashes = append(hashes, b.Header.Hash().String()+" with state "+b.AppHash.String())
		}
		if slices.Sort(hashes); hashes[0] != hashes[len(hashes)-1] {
			return 0, fmt.Errorf("the ledger forked at block %d: %q", h, hashes)
		}
	}
	return height, nil
}

// supply is how many coins there are, which all accounts together hold.
func (c *community) supply(ctx context.Context) (total int64, err error) {
	rpc := c.validators[0].rpc
	ask := func(method string, request, answer proto.Message) error {
		data, err := proto.Marshal(request)
		if err != nil {
			return err
		}
		r, err := rpc.ABCIQueryWithOptions(ctx, "/cosmos.bank.v1beta1.Query/"+method, data, rpcclient.DefaultABCIQueryOptions)
		if err == nil && r.Response.Code != 0 {
			err = errors.New(r.Response.Log)
		}
		if err != nil {
			return err
		}
		return proto.Unmarshal(r.Response.Value, answer)
	}
	var owners banktypes.QueryDenomOwnersResponse
	if err := ask("DenomOwners", &banktypes.QueryDenomOwnersRequest{Denom: client.Denom, Pagination: &sdkquery.PageRequest{Limit: 1000}}, &owners); err != nil {
		return 0, err
	}
	for _, o := range owners.DenomOwners {
		total += o.Balance.Amount.Int64()
	}
	var supply banktypes.QuerySupplyOfResponse
	if err := ask("SupplyOf", &banktypes.QuerySupplyOfRequest{Denom: client.Denom}, &supply); err != nil {
		return 0, err
	}
	if supply.Amount.Amount.Int64() != total {
		return 0, fmt.Errorf("accounts hold %d udlt of %s", total, supply.Amount.Amount)
	}
	return total, nil
}

// guests are a provider with a model of noise, and an asker.
type guests struct {
	provider, asker *host
	home            string // the asker's
	account         string // the provider's
	receipt         string // of the newest answer
	paid            uint64 // by the asker
	grant           uint64
}

// join brings the nth provider and asker, who know two of the validators.
func (c *community) join(ctx context.Context, n int) (g *guests, err error) {
	provider, asker := fmt.Sprintf("provider%d", n), fmt.Sprintf("asker%d", n)
	g = &guests{home: filepath.Join(c.temp, asker)}
	if g.provider, err = c.at(provider, 20+n); err != nil {
		return nil, err
	}
	if g.asker, err = c.at(asker, 30+n); err != nil {
		return nil, err
	}
	lines, err := c.invites(ctx, 2, 0, 2)
	if err != nil {
		return nil, err
	}
	data, err := synthetic.Llama(1, synthetic.Options{})
	if err != nil {
		return nil, err
	}
	file, home := filepath.Join(c.temp, "noise.gguf"), filepath.Join(c.temp, provider)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return nil, err
	}
	if err := c.must(ctx, g.provider, &control.Model{}, "model", "import", file, "--name", "noise", "--home", home); err != nil {
		return nil, err
	}
	var p control.Providing
	if _, err := c.start(ctx, g.provider, &p, "provide", lines[0], "--home", home, "--model", "noise", "--link", address(20+n)+":4750"); err != nil {
		return nil, err
	}
	g.account = p.Account
	l, err := invite.ParseLine(lines[1])
	if err != nil {
		return nil, err
	}
	g.grant = l.Grant
	return g, g.ask(ctx, c, "--network", lines[1], "--provider", g.account)
}

// dealing is a ledger of four machines with guests who deal on it.
func (t *trial) dealing(ctx context.Context) (*community, *guests, error) {
	c, err := t.found(ctx)
	if err != nil {
		return nil, nil, err
	}
	g, err := c.join(ctx, 1)
	return c, g, err
}

// ask has the asker ask and pay, and wants its balance to be what it paid less.
func (g *guests) ask(ctx context.Context, c *community, more ...string) error {
	var a answered
	if err := c.must(ctx, g.asker, &a, append([]string{"ask", "--home", g.home, "--max-tokens", "8", "hello"}, more...)...); err != nil {
		return err
	}
	var w control.Account
	if err := c.must(ctx, g.asker, &w, "wallet", "--home", g.home); err != nil {
		return err
	}
	g.paid, g.receipt = g.paid+a.Price, a.Receipt
	if a.Price == 0 || w.Balance != g.grant-g.paid {
		return fmt.Errorf("an answer for %d udlt left %d of %d, of which %d were paid", a.Price, w.Balance, g.grant, g.paid)
	}
	return nil
}

// checkPartition parts the validators of a ledger in every way that matters.
func checkPartition(ctx context.Context, t *trial) (string, error) {
	t.say("four validators, a provider and an asker, each on a machine of its own")
	c, g, err := t.dealing(ctx)
	if err != nil {
		return "", err
	}
	coins, err := c.supply(ctx)
	if err != nil {
		return "", err
	}
	three, err := c.threeAgainstOne(ctx)
	if err != nil {
		return "", fmt.Errorf("three against one: %w", err)
	}
	two, err := c.twoAgainstTwo(ctx, false)
	if err != nil {
		return "", fmt.Errorf("two against two: %w", err)
	}
	killed, err := c.twoAgainstTwo(ctx, true)
	if err != nil {
		return "", fmt.Errorf("two against two, of which one is killed: %w", err)
	}
	t.say("a paid answer, and all coins are there")
	if err := g.ask(ctx, c); err != nil {
		return "", err
	}
	after, err := c.supply(ctx)
	if err == nil && after != coins {
		err = fmt.Errorf("%d udlt became %d", coins, after)
	}
	if err != nil {
		return "", err
	}
	height, err := c.noFork(ctx)
	if err != nil {
		return "", err
	}
	slowest := max(three, two, killed)
	return fmt.Sprintf("partition_heal_s=%.1f partition_3_1_s=%.1f partition_2_2_s=%.1f partition_killed_s=%.1f partition_blocks=%d",
		slowest.Seconds(), three.Seconds(), two.Seconds(), killed.Seconds(), height), nil
}

func (c *community) threeAgainstOne(ctx context.Context) (time.Duration, error) {
	c.say("three go on without the fourth, which stands still")
	most, one := c.validators[:3], c.validators[3:]
	a, b := side(most...), side(one...)
	if err := part(a, b); err != nil {
		return 0, err
	}
	before, err := highest(ctx, c.validators...)
	if err != nil {
		return 0, err
	}
	if err := c.reach(ctx, before+20, healLimit, most...); err != nil {
		return 0, err
	}
	if err := stands(ctx, before, one...); err != nil {
		return 0, err
	}
	return c.heal(ctx, a, b, c.validators...)
}

// twoAgainstTwo lets neither side have two thirds. If kill, the fourth loses its
// power meanwhile, and comes back when the others have gone on.
func (c *community) twoAgainstTwo(ctx context.Context, kill bool) (time.Duration, error) {
	c.say(fmt.Sprintf("two against two for %s; one is killed meanwhile: %v", parted, kill))
	live := c.validators
	a, b := side(live[:2]...), side(live[2:]...)
	if err := part(a, b); err != nil {
		return 0, err
	}
	before, err := highest(ctx, live...)
	if err != nil {
		return 0, err
	}
	if kill {
		live[3].process.Kill()
		live = live[:3]
	}
	if err := pause(ctx, parted); err != nil {
		return 0, err
	}
	if err := stands(ctx, before, live...); err != nil {
		return 0, err
	}
	took, err := c.heal(ctx, a, b, live...)
	if err != nil || !kill {
		return took, err
	}
	if err := c.startNode(ctx, c.validators[3]); err != nil {
		return 0, err
	}
	at, err := highest(ctx, live...)
	if err != nil {
		return 0, err
	}
	return took, c.reach(ctx, at+3, healLimit, c.validators...)
}
