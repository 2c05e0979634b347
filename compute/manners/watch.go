package manners

import (
	"context"
	"sync"
	"time"
)

// watchEvery is how often the machine is looked at: an owner who comes back waits
// no longer.
const watchEvery = time.Second

// A Sensor reads a machine.
type Sensor interface {
	// Signs are those of now, without what the owner told; Busy is now if other
	// programs used much of the processor since they were last asked for.
	Signs(ctx context.Context, now time.Time) (Signs, error)
}

// Watcher holds a machine to its owner's rules.
type Watcher struct {
	Rules  Rules
	Sensor Sensor // nil if only the owner's word counts
	Beside Beside // answers of ours that other programs work on
	told   chan word
	mu     sync.Mutex // guards why
	why    string
}

// word is what the owner says; done is closed once it was acted on.
type word struct {
	rest bool
	done chan struct{}
}

// Why is why the machine rests now; empty if it does not.
func (w *Watcher) Why() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// decide notes what the rules say by now, and reports whether it is another
// decision than the last.
func (w *Watcher) decide(s Signs) (why string, changed bool) {
	why = w.Rules.Rest(s)
	w.mu.Lock()
	defer w.mu.Unlock()
	changed = (why == "") != (w.why == "")
	w.why = why
	return why, changed
}

// NewWatcher is a watcher that looks with s.
func NewWatcher(r Rules, s Sensor) *Watcher {
	return &Watcher{Rules: r, Sensor: s, told: make(chan word)}
}

// Tell has the machine rest whatever the rules say, or no longer. It returns once
// the decision was passed on, or ctx ends.
func (w *Watcher) Tell(ctx context.Context, rest bool) error {
	told := word{rest, make(chan struct{})}
	select {
	case w.told <- told:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-told.done // one who took it acts on it
	return nil
}

// Look says why the machine shall not work now; empty if it may.
func (w *Watcher) Look(ctx context.Context) (why string, err error) {
	signs, err := w.look(ctx, time.Now(), Signs{})
	return w.Rules.Rest(signs), err
}

// Watch calls decided with why the machine rests, or with nothing when it may work,
// first at once and then whenever that changes, until ctx ends. What can't be read
// is an error of the first look alone; later the last signs hold.
func (w *Watcher) Watch(ctx context.Context, decided func(why string)) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	return w.watch(ctx, tick.C, time.Now, decided)
}

func (w *Watcher) watch(ctx context.Context, tick <-chan time.Time, now func() time.Time, decided func(why string)) error {
	signs, err := w.look(ctx, now(), Signs{})
	if err != nil {
		return err
	}
	why, _ := w.decide(signs)
	decided(why)
	for {
		told := word{rest: signs.Told}
		select {
		case <-ctx.Done():
			return nil
		case told = <-w.told:
		case <-tick:
			if fresh, err := w.look(ctx, now(), signs); err == nil {
				signs = fresh
			}
		}
		signs.Told, signs.Now = told.rest, now()
		if why, changed := w.decide(signs); changed {
			decided(why)
		}
		if told.done != nil {
			close(told.done)
		}
	}
}

// look is what is seen now, after the signs of the look before.
func (w *Watcher) look(ctx context.Context, now time.Time, before Signs) (Signs, error) {
	if w.Sensor == nil {
		return Signs{Now: now}, nil
	}
	signs, err := w.Sensor.Signs(ctx, now)
	signs.Beside = w.Beside.last(now)
	return signs.after(before), err
}
