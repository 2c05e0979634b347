// Join measures how long a friend's machine waits from `daulat provide INVITE`, in
// a home that is not there yet, to its first work and its first released pay. It
// runs the program as users do: a network, a friend who sells for less than its
// founder, and another guest who asks. The model is in the user's cache, or is
// the generated one.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"daulat/bench/report"
	"daulat/test/child"
	"daulat/ui/control"
)

const (
	window   = 20 // seconds for which pay is withheld
	patience = 5 * time.Minute

	maxWork = 15 * time.Second // the bars
	maxPay  = 60 * time.Second
)

func main() {
	program := flag.String("daulat", "bin/daulat", "the program under test")
	rounds := flag.Int("rounds", 20, "friends who join, one after the other; about half a minute each")
	noise := flag.Bool("noise", false, "sell the generated model")
	flag.Parse()
	report.Context()
	report.Exit(run(*program, *rounds, *noise))
}

// times are of one friend, from the start of the process.
type times struct{ serving, work, pay time.Duration }

func run(program string, rounds int, noise bool) error {
	if rounds < 1 {
		return errors.New("at least one round is needed")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rounds+1)*patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench-join-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := bench{program: program, dir: dir, asked: new(int)}
	args := []string{"up", "--json", "--listen", "127.0.0.1:0", "--challenge-window", strconv.Itoa(window)}
	if noise {
		args = append(args, "--noise")
	}
	var ready control.Ready
	up, err := b.start(ctx, "founder", &ready, args...)
	if err != nil {
		return err
	}
	b.trust = ready.Trust
	all, err := b.friends(ctx, rounds)
	if err := errors.Join(err, up.Stop()); err != nil {
		return err
	}
	work, pay := median(all, func(t times) time.Duration { return t.work }), median(all, func(t times) time.Duration { return t.pay })
	fmt.Printf("serving after %.1f s\n", median(all, func(t times) time.Duration { return t.serving }).Seconds())
	report.Result("join", "first_work_s", work.Seconds(), "first_pay_s", pay.Seconds(), "window_s", window, "rounds", rounds, "model", ready.Model)
	if work > maxWork || pay > maxPay {
		return fmt.Errorf("the bars are %s to the first work and %s to the first pay", maxWork, maxPay)
	}
	return nil
}

func median(all []times, of func(times) time.Duration) time.Duration {
	var picked []time.Duration
	for _, t := range all {
		picked = append(picked, of(t))
	}
	return report.Median(picked)
}

type bench struct {
	program, dir, trust string
	asked               *int // questions so far: each is another one
}

// friends have one friend after the other join, each cheaper than all before. The
// asker names the newest: of itself a home gives one session in 16 to newcomers.
func (b bench) friends(ctx context.Context, rounds int) (all []times, err error) {
	line, err := b.invite(ctx)
	if err != nil {
		return nil, err
	}
	// The asker joins before the clock runs: only the seller is timed.
	if _, err := b.ask(ctx, "--network", line); err != nil {
		return nil, err
	}
	for i := range rounds {
		t, err := b.friend(ctx, fmt.Sprintf("friend-%d", i), 900-i)
		if err != nil {
			return nil, err
		}
		fmt.Printf("friend %d: serving %.1f s, first work %.1f s, first pay %.1f s\n", i+1, t.serving.Seconds(), t.work.Seconds(), t.pay.Seconds())
		all = append(all, t)
	}
	return all, nil
}

// friend joins, works once, and is timed until that work's pay is released.
func (b bench) friend(ctx context.Context, home string, price int) (t times, err error) {
	line, err := b.invite(ctx)
	if err != nil {
		return t, err
	}
	began := time.Now()
	var serving control.Providing
	seller, err := b.start(ctx, home, &serving, "provide", line, "--json", "--upstream", "none", "--output-price", strconv.Itoa(price))
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, seller.Stop()) }()
	t.serving = time.Since(began)
	receipt, err := b.ask(ctx, "--provider", serving.Account)
	if err != nil {
		return t, err
	}
	t.work = time.Since(began)
	var jobs []control.Job
	if err := b.run(ctx, "asker", &jobs, "job", "ls"); err != nil {
		return t, err
	}
	if last := jobs[len(jobs)-1]; last.Provider != serving.Account {
		return t, fmt.Errorf("%s was served by %s and not by the friend", receipt, last.Provider)
	}
	for !released.MatchString(seller.Said()) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-seller.Ended():
			return t, errors.New("the friend ended without pay")
		}
	}
	t.pay = time.Since(began)
	return t, b.verify(ctx, receipt, serving.Account)
}

// verify has a stranger run the friend's answer again, off the clock.
func (b bench) verify(ctx context.Context, receipt, provider string) error {
	file := filepath.Join(b.dir, receipt)
	var written, checked map[string]any
	if err := b.run(ctx, "asker", &written, "receipt", "export", receipt, "-o", file); err != nil {
		return err
	}
	if err := b.run(ctx, "stranger", &checked, "verify", file, "--trust", b.trust); err != nil {
		return fmt.Errorf("answer of %s: %w", provider, err)
	}
	return nil
}

func (b bench) invite(ctx context.Context) (string, error) {
	var made control.NewInvite
	err := b.run(ctx, "founder", &made, "invite")
	return made.Line, err
}

func (b bench) ask(ctx context.Context, args ...string) (receipt string, err error) {
	var answer struct {
		Receipt string `json:"receipt"`
	}
	*b.asked++
	question := fmt.Sprintf("What is %d times %d?", 11+7**b.asked, 13+*b.asked)
	err = b.run(ctx, "asker", &answer, append([]string{"ask", "--max-tokens", "16", question}, args...)...)
	return answer.Receipt, err
}

// run is one command in a home, whose JSON it reads.
func (b bench) run(ctx context.Context, home string, out any, args ...string) error {
	c := exec.CommandContext(ctx, b.program, append(args, "--json", "--home", filepath.Join(b.dir, home))...)
	var said bytes.Buffer
	c.Stderr = &said
	data, err := c.Output()
	if err != nil {
		return fmt.Errorf("daulat %s: %w: %s", args[0], err, said.String())
	}
	return json.Unmarshal(data, out)
}

var released = regexp.MustCompile(`, ([1-9][0-9]*) released`)

// start runs a command that stays and returns once it printed its JSON.
func (b bench) start(ctx context.Context, home string, out any, args ...string) (*child.Process, error) {
	cmd := exec.CommandContext(ctx, b.program, append(args, "--home", filepath.Join(b.dir, home))...)
	return child.Start(cmd, patience, out)
}
