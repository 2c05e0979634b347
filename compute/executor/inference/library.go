package inference

import (
	"context"
	"fmt"
	"sync"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/core/verify"
)

// Artifacts finds what a manifest names, on disk or on the network.
type Artifacts interface {
	Manifest(ctx context.Context, id canon.CID) (artifact.Manifest, error)
	// File returns where the part's bytes lie, checked against their name.
	File(ctx context.Context, p artifact.Part) (path string, err error)
}

// Library loads models by manifest ID, each once, and keeps them. It is the
// verify.Runner for inference.
type Library struct {
	engine    Engine
	artifacts Artifacts
	mu        sync.Mutex
	loaded    map[canon.CID]*loading
}

type loading struct {
	ready chan struct{}
	model Model
	err   error
}

var _ verify.Runner = (*Library)(nil)

// NewLibrary returns an empty library.
func NewLibrary(e Engine, a Artifacts) *Library {
	return &Library{engine: e, artifacts: a, loaded: map[canon.CID]*loading{}}
}

// Model returns the model that the manifest names. Callers that ask for a model
// that is being loaded wait for it; a failure is not kept.
func (l *Library) Model(ctx context.Context, id canon.CID) (Model, error) {
	if artifact.IsDeclared(id) {
		return nil, ErrDeclared
	}
	l.mu.Lock()
	entry := l.loaded[id]
	if entry == nil {
		entry = &loading{ready: make(chan struct{})}
		l.loaded[id] = entry
		l.mu.Unlock()
		l.fill(ctx, id, entry)
		return entry.model, entry.err
	}
	l.mu.Unlock()
	select {
	case <-entry.ready:
		return entry.model, entry.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *Library) fill(ctx context.Context, id canon.CID, entry *loading) {
	defer close(entry.ready)
	entry.model, entry.err = l.load(ctx, id)
	if entry.err != nil {
		l.mu.Lock()
		delete(l.loaded, id)
		l.mu.Unlock()
	}
}

func (l *Library) load(ctx context.Context, id canon.CID) (Model, error) {
	m, err := l.artifacts.Manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	if m.Model == nil || m.Model.Semantics != l.engine.Semantics() {
		return nil, fmt.Errorf("model %s is not for engine %s", id, l.engine.Semantics())
	}
	weights, ok := m.Part(artifact.Weights)
	if !ok {
		return nil, fmt.Errorf("model %s has no weights", id)
	}
	path, err := l.artifacts.File(ctx, weights)
	if err != nil {
		return nil, err
	}
	return l.engine.Load(ctx, m, path)
}

// Replay implements verify.Runner.
func (l *Library) Replay(ctx context.Context, model canon.CID, r receipt.Request, a receipt.Answer) (verify.Verdict, error) {
	m, err := l.Model(ctx, model)
	if err != nil {
		return verify.Verdict{}, err
	}
	return m.Replay(ctx, r, a)
}

// Close frees every model.
func (l *Library) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, entry := range l.loaded {
		<-entry.ready
		if entry.err == nil {
			if err := entry.model.Close(); err != nil {
				return err
			}
		}
		delete(l.loaded, id)
	}
	return nil
}
