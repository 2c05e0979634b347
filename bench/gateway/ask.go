package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"daulat/bench/report"
)

// asker is an HTTP client with a connection per stream.
type asker struct {
	options
	ready
	http http.Client
}

func newAsker(r ready, o options) *asker {
	return &asker{options: o, ready: r, http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.streams}}}
}

// steady keeps every stream busy for the run's length and returns the time to
// each first token. Streams start spread over the time of one answer.
func (a *asker) steady(ctx context.Context) ([]time.Duration, error) {
	spread := time.Duration(a.tokens)*a.pace + time.Millisecond
	end := time.Now().Add(a.length)
	return a.each(func() (times []time.Duration, err error) {
		time.Sleep(rand.N(spread))
		for time.Now().Before(end) && err == nil {
			var t time.Duration
			if t, err = a.ask(ctx, a.tokens); err == nil {
				times = append(times, t)
			}
		}
		return times, err
	})
}

// together has all streams ask in the same instant.
func (a *asker) together(ctx context.Context, tokens int) ([]time.Duration, error) {
	var start sync.WaitGroup
	start.Add(a.streams)
	return a.each(func() ([]time.Duration, error) {
		start.Done()
		start.Wait()
		t, err := a.ask(ctx, tokens)
		if err != nil {
			return nil, err
		}
		return []time.Duration{t}, nil
	})
}

// each runs do once per stream and collects what they return.
func (a *asker) each(do func() ([]time.Duration, error)) (all []time.Duration, failed error) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	for range a.streams {
		wait.Go(func() {
			times, err := do()
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
			failed = errors.Join(failed, err)
		})
	}
	wait.Wait()
	return all, failed
}

var words = strings.Fields("who what where when why how is was the a river king house light word number of in from by")

// ask sends one chat request of its own and reads the answer to its end.
func (a *asker) ask(ctx context.Context, tokens int) (first time.Duration, err error) {
	var question []string
	for range 8 {
		question = append(question, words[rand.N(len(words))])
	}
	q := report.Question{API: a.URL + "/v1", Token: a.Token, Model: a.Model, Text: strings.Join(question, " "), Tokens: tokens}
	first, pieces, err := q.Ask(ctx, &a.http)
	if err == nil && pieces != tokens {
		err = fmt.Errorf("%d of %d tokens arrived", pieces, tokens)
	}
	return first, err
}
