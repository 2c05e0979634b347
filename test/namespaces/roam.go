package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"daulat/model/gguf"
	"daulat/model/synthetic"
	"daulat/test/child"
)

const (
	longAnswer  = 500 // tokens
	shownBefore = 50  // bytes of an answer that are shown before something happens
	maxSeeds    = 40  // that are tried for a long answer

	// goOnLimit bounds how long an answer may stand still, from when all are on the
	// network.
	goOnLimit = 5 * time.Second

	// offline is longer than a provider is waited for that can't be reached.
	offline = 8 * time.Second
)

// stoodStill says that an answer did so for longer than that.
type stoodStill struct {
	what string
	gap  time.Duration
}

func (s stoodStill) Error() string {
	return fmt.Sprintf("%s: the answer stood still for %.1f s, longer than %s", s.what, s.gap.Seconds(), goOnLimit)
}

// slowModel writes a model whose answers take seconds, and say nothing.
func (t *trial) slowModel() (path string, err error) {
	data, err := synthetic.Llama(7, synthetic.Options{Layers: 24, Width: 256, Heads: 8, KVHeads: 8, FFN: 704, Context: 2048, Type: gguf.Q8_0})
	if err != nil {
		return "", err
	}
	path = filepath.Join(t.temp, "slow.gguf")
	return path, os.WriteFile(path, data, 0o600)
}

// streamed is an answer as a person sees it.
type streamed struct {
	text    string
	receipt string
	gap     time.Duration // the longest wait for more of it after the interruption
}

// screen takes in what is shown, and when.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	last time.Time     // when something was shown; zero: gaps don't count yet
	gap  time.Duration // the longest
}

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); !s.last.IsZero() {
		s.gap = max(s.gap, now.Sub(s.last))
		s.last = now
	}
	return s.text.Write(p)
}

func (s *screen) shown() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Len()
}

// watch lets gaps count from now on.
func (s *screen) watch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
}

// askLong asks the same question each time, whose answer is long. Once it has begun
// to come, interrupt is called, if it is not nil.
func (v *village) askLong(ctx context.Context, interrupt func() error) (a streamed, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	cmd := v.asker.command(ctx, "ask", "--seed", v.seed, "--temperature", "1", "--max-tokens", fmt.Sprint(longAnswer), "tell me something long")
	var out screen
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		return a, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if interrupt != nil {
		err = eventually(ctx, "the answer begins", startLimit/2, func() (bool, error) { return out.shown() > shownBefore, nil })
		if err == nil {
			err = interrupt()
			out.watch()
		}
	}
	if ended := <-done; ended != nil {
		return a, errors.Join(err, fmt.Errorf("ask: %w: %s", ended, tail(said.Bytes())))
	}
	text, end, ok := strings.Cut(out.text.String(), "\n\n")
	_, receipt, told := strings.Cut(end, "receipt ")
	if !ok || !told {
		return a, errors.Join(err, fmt.Errorf("the answer has another form: %q", tail(out.text.Bytes())))
	}
	receipt, _, _ = strings.Cut(receipt, " ")
	return streamed{text, receipt, out.gap}, err
}

// again asks and interrupts, and holds the answer to what it was without.
func (v *village) again(ctx context.Context, what string, before streamed, sameSession bool, interrupt func() error) (gap time.Duration, err error) {
	v.trial.say(what)
	a, err := v.askLong(ctx, interrupt)
	if err != nil {
		return 0, err
	}
	if a.text != before.text {
		return 0, fmt.Errorf("%s: the answer is another one: %d bytes and not %d", what, len(a.text), len(before.text))
	}
	if a.gap > goOnLimit {
		return 0, stoodStill{what, a.gap}
	}
	was, _, _ := strings.Cut(before.receipt, "-")
	if is, _, _ := strings.Cut(a.receipt, "-"); sameSession && is != was {
		return 0, fmt.Errorf("%s: session %s went on as %s", what, was, is)
	}
	return a.gap, v.soldBy(ctx)
}

// checkRoam has the seller's machine, and then the asker's, get another address in
// the middle of an answer, behind routers of both kinds.
func checkRoam(ctx context.Context, t *trial) (string, error) {
	var all []string
	for _, kind := range kinds {
		figures, err := t.patiently("roam_"+kind.name, func(t *trial) (string, error) { return t.roam(ctx, kind.name, kind.m) })
		if err != nil {
			return "", fmt.Errorf("%s: %w", kind.name, err)
		}
		all = append(all, figures)
	}
	return strings.Join(all, " "), nil
}

// patiently runs a check, and once more from its start if an answer stood still for
// too long in it: a machine shared with others may stall, a regression stalls twice.
func (t *trial) patiently(name string, check func(*trial) (string, error)) (figures string, err error) {
	figures, err = t.apart(name, check)
	var first stoodStill
	if !errors.As(err, &first) {
		return figures, err
	}
	t.say(fmt.Sprintf("%s: %s; once more from the start, as a busy machine may stall", name, first))
	if figures, err = t.apart(name+"-again", check); err != nil {
		return "", fmt.Errorf("for the second time, after %s: %w", first, err)
	}
	return fmt.Sprintf("%s %s_before_s=%.1f", figures, name, first.gap.Seconds()), nil
}

// apart runs a check in a lab and a folder of its own.
func (t *trial) apart(name string, check func(*trial) (string, error)) (figures string, err error) {
	part, err := t.within(name)
	if err != nil {
		return "", err
	}
	defer func() {
		for _, p := range part.running {
			p.Kill()
		}
		err = errors.Join(err, part.lab.close())
	}()
	return check(part)
}

func (t *trial) roam(ctx context.Context, name string, m mapping) (figures string, err error) {
	v, first, err := t.openLong(ctx, m)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	seller, err := v.again(ctx, "the seller gets another address", first, true, func() error {
		return v.seller.host.readdress(v.seller.host.cards[0], "192.168.1.77/24", "192.168.1.1")
	})
	if err != nil {
		return "", err
	}
	asker, err := v.again(ctx, "the asker gets another address", first, true, func() error {
		return v.asker.host.readdress(v.asker.host.cards[0], "192.168.1.77/24", "192.168.1.1")
	})
	if err != nil {
		return "", err
	}
	away, err := v.again(ctx, "the asker is off the network for a while", first, true, func() error {
		if err := v.asker.host.leave(v.asker.host.cards[0]); err != nil {
			return err
		}
		back := time.After(offline)
		err := v.askInVain(ctx)
		<-back
		return errors.Join(err, v.asker.host.readdress(v.asker.host.cards[0], "192.168.1.78/24", "192.168.1.1"))
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("roam_%s_seller_gap_s=%.1f roam_%s_asker_gap_s=%.1f roam_%s_away_gap_s=%.1f", name, seller.Seconds(), name, asker.Seconds(), name, away.Seconds()), nil
}

// askInVain asks while the asker is off the network, which it is told.
func (v *village) askInVain(ctx context.Context) error {
	o, err := v.trial.run(ctx, v.asker.host, offline, v.asker.at([]string{"ask", "is anybody there?"})...)
	if err == nil && (o.status == 0 || !strings.Contains(o.stderr, "this machine offline")) {
		err = fmt.Errorf("an ask off the network ended with status %d: %s", o.status, tail([]byte(o.stderr)))
	}
	return err
}

// openLong opens a village with a slow model, whose asker goes on running, and asks
// once.
func (t *trial) openLong(ctx context.Context, m mapping, before ...func(*village) error) (v *village, first streamed, err error) {
	model, err := t.slowModel()
	if err != nil {
		return nil, first, err
	}
	if v, err = t.settle(ctx, m, before, "--model", model); err != nil {
		return nil, first, err
	}
	line, err := v.invite(ctx)
	if err == nil {
		t.say("an asker behind another router joins and asks")
		err = v.start(ctx, v.asker, &upReady{}, "up", "--listen", "127.0.0.1:0", "--network", line)
	}
	// What is drawn depends on the asker's key: with most seeds this model soon draws
	// the end.
	for seed := 1; err == nil && len(first.text) < 20*shownBefore; seed++ {
		if seed > maxSeeds {
			err = fmt.Errorf("no seed of %d gives a long answer", maxSeeds)
			break
		}
		v.seed = fmt.Sprint(seed)
		first, err = v.askLong(ctx, nil)
	}
	if err != nil {
		return nil, first, errors.Join(err, v.close())
	}
	return v, first, nil
}

// checkRelays kills the relay through which an answer comes; another one takes
// over.
func checkRelays(ctx context.Context, t *trial) (string, error) {
	return t.patiently("relays", func(t *trial) (string, error) { return t.loseRelay(ctx) })
}

func (t *trial) loseRelay(ctx context.Context) (figures string, err error) {
	var second *child.Process
	v, first, err := t.openLong(ctx, symmetric, func(v *village) error {
		t.say("another peer with an open port follows the ledger, and relays")
		h, err := t.lab.host("second")
		if err != nil {
			return err
		}
		if _, err := h.plug(v.wan, "5.0.0.5/24"); err != nil {
			return err
		}
		line, err := v.invite(ctx)
		if err != nil {
			return err
		}
		var node struct {
			Link []string `json:"link"`
		}
		p := t.person(h, "second")
		// Of several ways the one with the lowest port is tried first.
		if err := v.start(ctx, p, &node, "node", line, "--link", "5.0.0.5:4600"); err != nil {
			return err
		}
		second, v.relays = v.running[len(v.running)-1], node.Link
		return nil
	})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	var before, after uint64
	gap, err := v.again(ctx, "the relay is killed in the middle of an answer", first, true, func() error {
		var err error
		if before, err = v.relayed(ctx); err != nil {
			return err
		}
		second.Kill()
		v.running = slices.DeleteFunc(v.running, func(p *child.Process) bool { return p == second })
		return nil
	})
	if err != nil {
		return "", err
	}
	if after, err = v.relayed(ctx); err != nil {
		return "", err
	}
	if before != 0 || after == 0 {
		return "", fmt.Errorf("the other relay carried %d bytes before and %d after", before, after)
	}
	return fmt.Sprintf("relays_gap_s=%.1f", gap.Seconds()), nil
}
