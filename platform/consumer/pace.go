package consumer

import (
	"errors"
	"sync"
	"time"
)

// errSlow says that a provider was too slow to wait for.
var errSlow = errors.New("the provider is too slow")

// limits are how long a provider may take.
type limits struct {
	// patience is how long the first token may take before another provider is asked
	// too, besides perPrompt for each token of the prompt, and not less than late
	// times what it took from the same provider before. Who is slow is not cut off by
	// it, so it costs little to be wrong: one more session, whose escrow comes back.
	patience  time.Duration
	perPrompt time.Duration
	// An answer that has begun must go on: it may pause for stall, and each token
	// gives each more, up to stall. So whoever stops is left after stall, and whoever
	// trickles below one token in each after a few times that. Nobody reads so slowly,
	// and the slowest machines that are of use to anybody are faster.
	stall time.Duration
	each  time.Duration
	// parting is how long a provider may take to end an answer that was stopped, with
	// the receipt, its check and the payment.
	parting time.Duration
	// move is how long a provider that was cut off may take to be reached again, and
	// away how long this machine itself may be off the network before.
	move, away time.Duration
}

var usualLimits = limits{patience: 1500 * time.Millisecond, perPrompt: 10 * time.Millisecond, stall: 20 * time.Second, each: 4 * time.Second, parting: 10 * time.Second, move: 5 * time.Second, away: 30 * time.Second}

const late = 3

// bytesPerToken is what a token of text has or more, where tokens aren't counted.
const bytesPerToken = 4

// size is the prompt's length in tokens, of text about.
func (p Prompt) size() int { return len(p.Tokens) + len(p.Chat)/bytesPerToken }

// first is how long a first token may take from a provider that took before
// milliseconds the last times, 0 if that is not known.
func (l limits) first(prompt int, before uint64) time.Duration {
	return max(l.patience+time.Duration(prompt)*l.perPrompt, late*time.Duration(before)*time.Millisecond)
}

// bucket is the time that an answer under way has left. It is pure: time comes in.
type bucket struct {
	limits
	left time.Duration
	at   time.Time
}

// fill is the bucket after n tokens came at now. The first fill it up.
func (b bucket) fill(now time.Time, n int) bucket {
	if b.at.IsZero() {
		b.left = b.stall
	} else {
		b.left = min(b.stall, b.left-now.Sub(b.at)+time.Duration(n)*b.each)
	}
	b.at = now
	return b
}

// watchdog calls bark once when an answer has no time left. It waits for the first
// tokens without end.
type watchdog struct {
	mu     sync.Mutex
	bucket bucket
	timer  *time.Timer
	bark   func()
	barked bool
}

func (w *watchdog) fed(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bucket = w.bucket.fill(time.Now(), n)
	if w.timer == nil {
		w.timer = time.AfterFunc(w.bucket.left, w.tooSlow)
		return
	}
	w.timer.Reset(max(0, w.bucket.left))
}

func (w *watchdog) tooSlow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bucket.left -= time.Since(w.bucket.at); w.bucket.left > 0 { // fed meanwhile
		w.bucket.at = time.Now()
		w.timer.Reset(w.bucket.left)
		return
	}
	w.bucket.at = time.Now()
	w.barked = true
	w.bark()
}

// stop ends the watch and reports whether it barked.
func (w *watchdog) stop() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	return w.barked
}
