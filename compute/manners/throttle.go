package manners

import (
	"context"
	"sync"
	"time"

	"daulat/compute/executor/inference"
	"daulat/core/canon"
	"daulat/core/receipt"
)

// Million is the whole in parts per million.
const Million = 1_000_000

// Throttle bounds the processor time that answers take, on average over a second
// or so. A prompt is read in one go; what that takes beyond the share is made up
// for by the pause before the first token.
type Throttle struct {
	share uint64 // of one processor, ppm; may exceed Million
	used  func() time.Duration
	now   func() time.Time

	mu     sync.Mutex
	begun  time.Time // when the budget was last empty or full
	before time.Duration
}

// maxCredit is the idle time that counts as saved: no answer bursts for longer.
const maxCredit = time.Second

// NewThrottle lets the process use share, in ppm, of one processor; used is the
// processor time that it took since it began.
func NewThrottle(share uint64, used func() time.Duration) *Throttle {
	return &Throttle{share: share, used: used, now: time.Now, begun: time.Now(), before: used()}
}

// Share is what the process may use of one processor, ppm.
func (t *Throttle) Share() uint64 { return t.share }

// debt is how long the process has to pause until its time is within its share.
func (t *Throttle) debt() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, used := t.now(), t.used()
	need := t.worth(used - t.before)
	passed := now.Sub(t.begun)
	if passed > need+maxCredit {
		t.begun, t.before = now.Add(-maxCredit), used
		return 0
	}
	return need - passed
}

// worth is the time in which the process may use so much of a processor.
func (t *Throttle) worth(used time.Duration) time.Duration {
	return time.Duration(float64(used) * Million / float64(t.share))
}

// Wait returns when the process may go on, or when ctx ends.
func (t *Throttle) Wait(ctx context.Context) error {
	for {
		owed := t.debt()
		if owed <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(owed)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// Source gives the models that are served.
type Source interface {
	Model(ctx context.Context, id canon.CID) (inference.Model, error)
}

// Throttled are the models of a source, whose answers keep to the throttle.
type Throttled struct {
	Source
	Throttle *Throttle
}

// Model implements Source.
func (m Throttled) Model(ctx context.Context, id canon.CID) (inference.Model, error) {
	model, err := m.Source.Model(ctx, id)
	if err != nil {
		return nil, err
	}
	return throttledModel{model, m.Throttle}, nil
}

type throttledModel struct {
	inference.Model
	throttle *Throttle
}

// Generate implements inference.Model: the same answer, later.
func (m throttledModel) Generate(ctx context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error) {
	return m.Model.Generate(ctx, r, func(token receipt.Token) error {
		if err := m.throttle.Wait(ctx); err != nil {
			return err
		}
		return emit(token)
	})
}
