package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"time"

	"daulat/bench/costless"
	"daulat/compute/executor/inference"
	"daulat/compute/provider"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/ledger/client"
	"daulat/link"
	"daulat/link/session"
	"daulat/model/chat"
	"daulat/model/text"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
)

// process is a child: the closers run in reverse order when its input ends.
type process struct {
	task
	ledger  *account
	words   *text.Text
	shelf   costless.Shelf
	data    []byte // the model's manifest
	key     canon.PrivateKey
	link    *link.Node
	journal *session.Journal
	log     *slog.Logger
	closers []func() error
}

// serve is a child's whole life.
func serve(in io.Reader, out io.Writer) (err error) {
	lines := bufio.NewScanner(in)
	if !lines.Scan() {
		return errors.Join(errors.New("no task"), lines.Err())
	}
	p := &process{log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if err := json.Unmarshal(lines.Bytes(), &p.task); err != nil {
		return err
	}
	defer func() {
		for i := len(p.closers) - 1; i >= 0; i-- {
			err = errors.Join(err, p.closers[i]())
		}
	}()
	first, err := p.start()
	if err != nil {
		return err
	}
	for answer := any(first); ; answer = p.ledger.stats() {
		if err := json.NewEncoder(out).Encode(answer); err != nil {
			return err
		}
		if !lines.Scan() {
			return lines.Err()
		}
	}
}

func (p *process) start() (ready, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.open(ctx); err != nil {
		return ready{}, err
	}
	if p.Role == "provider" {
		return ready{}, p.startProvider(ctx)
	}
	return p.startGateway()
}

// open opens what both sides need.
func (p *process) open(ctx context.Context) (err error) {
	if p.Profile != "" {
		if err := p.startProfile(); err != nil {
			return err
		}
	}
	key, err := client.NewAccountKey(p.Account)
	if err != nil {
		return err
	}
	rpc, err := client.Dial(p.Ledger)
	if err != nil {
		return err
	}
	p.ledger = &account{client: client.New(rpc, chainID, key)}
	if p.words, p.data, p.shelf.ID, err = costless.Load(); err != nil {
		return err
	}
	if p.shelf.Engine, err = costless.New(p.words, p.Pace); err != nil {
		return err
	}
	if p.key, err = canon.GenerateKey(rand.Reader); err != nil {
		return err
	}
	if p.journal, err = session.OpenJournal(filepath.Join(p.Dir, p.Role+".db")); err != nil {
		return err
	}
	p.closers = append(p.closers, p.journal.Close)
	if p.link, err = link.Open(link.Config{Key: p.key, MaxStreamsPerPeer: 4 * p.Streams}); err != nil {
		return err
	}
	p.closers = append(p.closers, p.link.Close)
	return ctx.Err()
}

func (p *process) startProfile() error {
	f, err := os.Create(p.Profile + "." + p.Role)
	if err != nil {
		return err
	}
	p.closers = append(p.closers, f.Close, func() error { pprof.StopCPUProfile(); return nil })
	return pprof.StartCPUProfile(f)
}

func (p *process) startProvider(ctx context.Context) error {
	p.ledger.background = true
	s, err := provider.Open(ctx, provider.Config{Ledger: p.ledger, Link: p.link, Key: p.key, Journal: p.journal, Models: p.shelf,
		Parallel: 2 * p.Streams, Log: p.log, Offers: []provider.Offer{{Model: p.shelf.ID, Manifest: p.data, Executor: inference.NativeSemantics,
			Assurance: job.Sampled, Price: job.Price{Input: 200, Output: 1000}, Slots: uint64(2 * p.Streams)}}})
	if err != nil {
		return err
	}
	p.closers = append(p.closers, func() error { s.Close(); return nil })
	return nil
}

const settleTimeout = 2 * time.Minute

func (p *process) startGateway() (ready, error) {
	asks := consumer.New(consumer.Config{Ledger: p.ledger, Link: p.link, Key: p.key, Journal: p.journal, Auditor: p.shelf, Log: p.log})
	p.closers = append(p.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
		defer cancel()
		return asks.CloseAll(ctx)
	})
	secret, err := newSecret()
	if err != nil {
		return ready{}, err
	}
	token := hex.EncodeToString(secret)
	g, err := gateway.New(gateway.Config{Backend: backend{p, asks}, Ledger: &spending{path: filepath.Join(p.Dir, "spent.json")}, Log: p.log,
		Running: p.Streams, Waiting: p.Streams, Connections: 4 * p.Streams,
		Tokens: []gateway.Token{{Name: "bench", Secret: token, DailySpend: 1e12, Concurrent: 2 * p.Streams}}})
	if err != nil {
		return ready{}, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return ready{}, err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, l) }()
	p.closers = append(p.closers, func() error { stop(); return <-ended })
	return ready{URL: "http://" + l.Addr().String(), Token: token, Model: costless.Name}, nil
}

// backend answers as the node's does; it knows one model and no stop strings.
type backend struct {
	*process
	asks *consumer.Client
}

// Models implements gateway.Backend.
func (b backend) Models(context.Context) ([]gateway.Model, error) {
	return []gateway.Model{{Name: costless.Name, ID: b.shelf.ID.String()}}, nil
}

// Answer implements gateway.Backend.
func (b backend) Answer(ctx context.Context, p gateway.Prompt, begin func(gateway.Admission) error, piece func(string, ...gateway.AnswerToken) error) (gateway.Result, error) {
	messages := make([]chat.Message, len(p.Messages))
	for i, m := range p.Messages {
		messages[i] = chat.Message{Role: m.Role, Content: m.Content}
	}
	tokens, err := b.words.Chat(messages)
	if err != nil {
		return gateway.Result{}, err
	}
	q := consumer.Prompt{Tokens: tokens, Params: receipt.Params{MaxTokens: p.MaxTokens, Temperature: p.Temperature, TopP: p.TopP}}
	rand.Read(q.Seed[:])
	text := b.words.Decoder()
	r, err := b.asks.Ask(ctx, b.terms(), q,
		func(a consumer.Admission) error {
			return begin(gateway.Admission{Receipt: a.Receipt, Model: costless.Name, ModelID: b.shelf.ID.String(), Provider: a.Provider, Ceiling: a.Ceiling})
		},
		func(token receipt.Token) error { return piece(text.Next(token.ID)) })
	if err != nil {
		return gateway.Result{}, err
	}
	return gateway.Result{Receipt: r.Receipt(), Input: r.Usage.Input, Output: r.Usage.Output, Finish: string(r.Answer.Finish), Price: r.Price}, nil
}

func (b backend) terms() job.Terms {
	return job.Terms{Version: canon.Version, Kind: job.Inference, Executor: inference.NativeSemantics, Model: b.shelf.ID,
		Assurance: job.Sampled, Privacy: job.Open, Ceiling: job.Price{Input: 2000, Output: 10_000},
		Escrow: 20_000_000, Step: 10_000_000, Patience: 60, Duration: 6 * 3600}
}

// spending keeps what the token spent, synced to disk at each change.
type spending struct {
	path string
	mu   sync.Mutex
	all  map[string]gateway.Spend
}

// Load implements gateway.Ledger.
func (s *spending) Load(token string) (gateway.Spend, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[token], nil
}

// Save implements gateway.Ledger.
func (s *spending) Save(token string, spend gateway.Spend) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]gateway.Spend{}
	}
	s.all[token] = spend
	data, err := json.Marshal(s.all)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close(), os.Rename(f.Name(), s.path))
}

func newSecret() ([]byte, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("draw a secret: %w", err)
	}
	return b, nil
}

var _ interface {
	provider.Ledger
	consumer.Ledger
} = (*account)(nil)
