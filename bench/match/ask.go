package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"daulat/compute/executor/inference"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/ledger/client"
	"daulat/link"
	"daulat/link/session"
	"daulat/platform/consumer"
)

const (
	promptTokens = 24
	answerTokens = 32
	questionTime = 30 * time.Second
)

// home asks.
type home struct {
	asks    *consumer.Client
	journal *session.Journal
	link    *link.Node
	ledger  *client.Client
}

func (w *world) open(a *client.AccountKey) (*home, error) {
	key, err := canon.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	h := &home{ledger: w.client(a)}
	if h.journal, err = session.OpenJournal(filepath.Join(w.dir, key.Public().String()+".db")); err != nil {
		return nil, err
	}
	if h.link, err = link.Open(link.Config{Key: key}); err != nil {
		return nil, errors.Join(err, h.journal.Close())
	}
	h.asks = consumer.New(consumer.Config{Ledger: h.ledger, Link: h.link, Key: key, Journal: h.journal, Auditor: w.shelf, Log: w.log})
	return h, nil
}

// close settles all sessions of the home.
func (h *home) close(ctx context.Context) error {
	return errors.Join(h.asks.CloseAll(ctx), h.link.Close(), h.journal.Close())
}

func (w *world) terms() job.Terms {
	return job.Terms{Version: canon.Version, Kind: job.Inference, Executor: inference.NativeSemantics, Model: w.shelf.ID, Assurance: job.Sampled,
		Privacy: job.Open, Ceiling: job.Price{Input: 2_000, Output: 10_000}, Escrow: 20_000_000, Step: 10_000_000, Patience: 60, Duration: lifetime}
}

// ask puts one question and returns how long its first token took, and how many
// sessions were opened for it.
func (w *world) ask(ctx context.Context, h *home, t job.Terms) (first time.Duration, sessions int, err error) {
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	p := consumer.Prompt{Params: receipt.Params{MaxTokens: answerTokens, TopP: receipt.MaxTopP}}
	rand.Read(p.Seed[:])
	for i := range promptTokens { // no two questions are the same
		p.Tokens = append(p.Tokens, uint32(p.Seed[i]))
	}
	before, err := h.count()
	if err != nil {
		return 0, 0, err
	}
	tokens := 0
	begun := time.Now()
	r, err := h.asks.Ask(ctx, t, p, func(consumer.Admission) error { return nil }, func(receipt.Token) error {
		if tokens++; tokens == 1 {
			first = time.Since(begun)
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	if tokens != answerTokens || len(r.Answer.Tokens) != answerTokens {
		return 0, 0, fmt.Errorf("%d tokens came, %d were signed for, %d were asked for", tokens, len(r.Answer.Tokens), answerTokens)
	}
	after, err := h.count()
	return first, after - before, err
}

func (h *home) count() (int, error) {
	all, err := h.journal.Records(func(session.Record) bool { return true })
	return len(all), err
}

// history has one asker order from each honest provider, pay, and settle.
func (w *world) history(ctx context.Context) error {
	h, err := w.open(w.asker)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	failed := make(chan error, w.honest)
	for _, s := range w.sellers[:w.honest] {
		all.Go(func() {
			t := w.terms()
			t.Preferred, t.Only = []string{s.account.Account()}, true
			var err error
			for range history {
				_, _, asked := w.ask(ctx, h, t)
				err = errors.Join(err, asked)
			}
			failed <- err
		})
	}
	all.Wait()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	return errors.Join(err, h.close(ctx))
}

// freshHome opens a home that never asked anything, and closes it after its order.
func (w *world) freshHome() (*home, func(context.Context) error, error) {
	a := w.homes[0]
	w.homes = w.homes[1:]
	h, err := w.open(a)
	if err != nil {
		return nil, nil, err
	}
	return h, h.close, nil
}

// oneHome always gives the same home, whose sessions are closed after each order.
func (w *world) oneHome() func() (*home, func(context.Context) error, error) {
	var h *home
	return func() (_ *home, end func(context.Context) error, err error) {
		if h == nil {
			if h, err = w.open(w.asker); err == nil {
				w.onClose(func() error { return errors.Join(h.link.Close(), h.journal.Close()) })
			}
		}
		return h, func(ctx context.Context) error { return h.asks.CloseAll(ctx) }, err
	}
}

// measure times orders one after the other; what they leave open is settled
// between them.
func (w *world) measure(ctx context.Context, orders int, next func() (*home, func(context.Context) error, error)) (times []time.Duration, sessions []int, err error) {
	for i := range orders {
		h, end, err := next()
		if err != nil {
			return nil, nil, err
		}
		first, n, err := w.ask(ctx, h, w.terms())
		if err != nil {
			return nil, nil, fmt.Errorf("order %d: %w", i+1, errors.Join(err, end(ctx)))
		}
		times, sessions = append(times, first), append(sessions, n)
		if err := end(ctx); err != nil {
			return nil, nil, fmt.Errorf("settle after order %d: %w", i+1, err)
		}
	}
	return times, sessions, nil
}
