package manners

import (
	"context"
	"sync"
	"time"

	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
)

// Beside knows when programs beside this one work on its answers: the processor
// time of a server of models is not this process's, and not its owner's either.
// The zero value is ready; it is safe for concurrent use.
type Beside struct {
	mu    sync.Mutex
	under int // way
	ended time.Time
}

// Begin notes that an answer is under way until end is called.
func (b *Beside) Begin() (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.under++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.under--
		b.ended = time.Now()
	}
}

// last is when one was last under way; zero for never.
func (b *Beside) last(now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.under > 0 {
		return now
	}
	return b.ended
}

// Noted are the models of a source; the answers of those that a server computes
// are noted.
type Noted struct {
	Source
	Beside *Beside
}

// Model implements Source.
func (n Noted) Model(ctx context.Context, id canon.CID) (inference.Model, error) {
	model, err := n.Source.Model(ctx, id)
	if err != nil || !artifact.IsDeclared(id) {
		return model, err
	}
	return notedModel{model, n.Beside}, nil
}

type notedModel struct {
	inference.Model
	beside *Beside
}

// Generate implements inference.Model.
func (m notedModel) Generate(ctx context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error) {
	defer m.beside.Begin()()
	return m.Model.Generate(ctx, r, emit)
}
