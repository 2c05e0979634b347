package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
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
	body, err := json.Marshal(map[string]any{"model": a.Model, "stream": true, "max_tokens": tokens,
		"messages": []map[string]string{{"role": "user", "content": strings.Join(question, " ")}}})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+a.Token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := a.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return 0, fmt.Errorf("%s: %s", answer.Status, why)
	}
	pieces, finished := 0, false
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		line := lines.Bytes()
		switch {
		case bytes.Contains(line, []byte(`"content":"`)) && !bytes.Contains(line, []byte(`"content":""`)):
			if pieces++; pieces == 1 {
				first = time.Since(began)
			}
		case bytes.Contains(line, []byte(`"error"`)):
			return 0, fmt.Errorf("the answer broke off: %s", line)
		case bytes.Equal(line, []byte("data: [DONE]")):
			finished = true
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	if pieces != tokens || !finished {
		return 0, fmt.Errorf("%d of %d tokens arrived", pieces, tokens)
	}
	return first, nil
}
