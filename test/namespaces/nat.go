package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"daulat/test/child"
)

// The outer network of these scenarios has addresses that are public anywhere
// else: what is dialed and announced is what would be on the internet.
const (
	relayAddress = "5.0.0.2"
	relayLink    = relayAddress + ":4700"
)

// What the commands print, as far as it is looked at.
type (
	upReady struct {
		API string `json:"api"`
	}
	providing struct {
		Account string `json:"account"`
	}
	newInvite struct {
		Line string `json:"line"`
	}
	answered struct {
		Text    string `json:"text"`
		Receipt string `json:"receipt"`
		Price   uint64 `json:"price_udlt"`
	}
	jobListed struct {
		ID       uint64 `json:"id"`
		State    string `json:"state"`
		Provider string `json:"provider"`
	}
	status struct {
		Relayed uint64   `json:"relayed_bytes"`
		Links   []string `json:"links"`
	}
)

// A village is a founder with an open port, and two homes behind routers of their
// own: one sells and one asks.
type village struct {
	trial           *trial
	wan             *network
	founder, seller *person
	asker           *person
	account         string   // the seller's
	relays          []string // beside the founder
	seed            string   // of long answers
	running         []*child.Process
}

// village builds the machines, on which nothing runs yet.
func (t *trial) village(m mapping) (v *village, err error) {
	v = &village{trial: t}
	if v.wan, err = t.lab.network("wan"); err != nil {
		return v, err
	}
	server, err := t.lab.host("server")
	if err != nil {
		return v, err
	}
	if _, err := server.plug(v.wan, relayAddress+"/24"); err != nil {
		return v, err
	}
	v.founder = t.person(server, "founder")
	if v.seller, err = v.behind("seller", "5.0.0.3/24", m); err != nil {
		return v, err
	}
	v.asker, err = v.behind("asker", "5.0.0.4/24", m)
	return v, err
}

// settle starts a founder and, after what is to come before, a seller.
func (t *trial) settle(ctx context.Context, m mapping, before []func(*village) error, model ...string) (v *village, err error) {
	if v, err = t.village(m); err != nil {
		return v, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.close())
		}
	}()
	t.say("a founder with an open port")
	args := append([]string{"up", "--link", relayLink, "--listen", "127.0.0.1:0", "--challenge-window", "20"}, model...)
	if err := v.start(ctx, v.founder, &upReady{}, args...); err != nil {
		return v, err
	}
	for _, f := range before {
		if err := f(v); err != nil {
			return v, err
		}
	}
	return v, v.sell(ctx)
}

// behind adds a home with one machine.
func (v *village) behind(name, address string, m mapping) (*person, error) {
	inner, err := v.trial.lab.home(name, v.wan, address, m)
	if err != nil {
		return nil, err
	}
	pc, err := v.trial.lab.behind(name+"-pc", inner, "192.168.1.2")
	if err != nil {
		return nil, err
	}
	return v.trial.person(pc, name), nil
}

// sell has the seller serve, at half of the founder's price.
func (v *village) sell(ctx context.Context) error {
	v.trial.say("a seller behind a router joins by an invite")
	line, err := v.invite(ctx)
	if err != nil {
		return err
	}
	var p providing
	err = v.start(ctx, v.seller, &p, "provide", line, "--input-price", "100", "--output-price", "500")
	v.account = p.Account
	return err
}

func (v *village) invite(ctx context.Context) (string, error) {
	var made newInvite
	args := []string{"invite"}
	for _, r := range v.relays {
		args = append(args, "--peer", r)
	}
	err := v.founder.run(ctx, &made, args...)
	return made.Line, err
}

func (v *village) start(ctx context.Context, p *person, ready any, args ...string) error {
	r, err := p.start(ctx, ready, args...)
	if err == nil {
		v.running = append(v.running, r)
	}
	return err
}

func (v *village) close() (err error) {
	for _, p := range slices.Backward(v.running) {
		err = errors.Join(err, p.Stop())
	}
	v.running = nil
	return err
}

// soldBy reports whether the seller sold all of the asker's jobs.
func (v *village) soldBy(ctx context.Context) error {
	var jobs []jobListed
	if err := v.asker.run(ctx, &jobs, "job", "ls"); err != nil {
		return err
	}
	if len(jobs) == 0 {
		return errors.New("the asker has no job")
	}
	for _, j := range jobs {
		if j.Provider != v.account {
			return fmt.Errorf("job %d is %s, by %q and not by the seller", j.ID, j.State, j.Provider)
		}
	}
	return nil
}

// relayed is how many bytes the founder carried.
func (v *village) relayed(ctx context.Context) (uint64, error) {
	var s status
	err := v.founder.run(ctx, &s, "status")
	return s.Relayed, err
}

// kinds are the routers that people have, and whether a hole can be punched through
// two of them.
var kinds = []struct {
	name   string
	m      mapping
	direct bool
}{{"symmetric", symmetric, false}, {"preserving", preserving, true}}

// checkNAT has two machines behind home routers, of each kind, deal with each
// other: through the founder as a relay, and directly where a hole can be punched.
func checkNAT(ctx context.Context, t *trial) (figures string, err error) {
	var all []string
	for _, kind := range kinds {
		figures, err := t.dealBehind(ctx, kind.name, kind.m, kind.direct)
		if err != nil {
			return "", fmt.Errorf("%s: %w", kind.name, err)
		}
		all = append(all, figures)
	}
	return strings.Join(all, " "), nil
}

func (t *trial) dealBehind(ctx context.Context, name string, m mapping, direct bool) (figures string, err error) {
	if t, err = t.within(name); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, t.lab.close()) }()
	v, err := t.settle(ctx, m, nil, "--noise")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	line, err := v.invite(ctx)
	if err != nil {
		return "", err
	}
	t.say("an asker behind another router asks by an invite")
	begun := time.Now()
	var first answered
	if err := v.asker.run(ctx, &first, "ask", "--network", line, "--max-tokens", "16", "hello"); err != nil {
		return "", err
	}
	took := time.Since(begun)
	if first.Price == 0 || first.Text == "" {
		return "", fmt.Errorf("the answer is %+v", first)
	}
	if err := v.soldBy(ctx); err != nil {
		return "", err
	}
	carried, err := v.relayed(ctx)
	if err != nil {
		return "", err
	}
	if carried == 0 {
		return "", errors.New("the answer did not come through the relay")
	}
	figures = fmt.Sprintf("nat_%s_first_s=%.1f nat_%s_relayed_bytes=%d", name, took.Seconds(), name, carried)
	if err := v.start(ctx, v.asker, &upReady{}, "up", "--listen", "127.0.0.1:0"); err != nil {
		return "", err
	}
	t.say("further answers")
	answers, quiet := 0, 0
	err = eventually(ctx, "an answer that the relay does not carry", time.Minute, func() (bool, error) {
		before, err := v.relayed(ctx)
		if err != nil {
			return false, err
		}
		var a answered
		if err := v.asker.run(ctx, &a, "ask", "--max-tokens", "64", "hello again"); err != nil {
			return false, err
		}
		after, err := v.relayed(ctx)
		if answers++; after == before {
			quiet++
		}
		return quiet > 0 || !direct && answers >= 8, err
	})
	if err == nil {
		err = v.soldBy(ctx)
	}
	if err != nil {
		return "", err
	}
	if !direct && quiet > 0 {
		return "", errors.New("an answer came past the relay, which routers of this kind do not let through")
	}
	return figures + fmt.Sprintf(" nat_%s_direct=%v", name, quiet > 0), nil
}
