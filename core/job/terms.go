// Package job is what is asked and how it goes: orders, the sessions that they
// become, and the rules that move both from state to state. A rule takes a
// state, an event and block time, and returns the next state and the payments
// that follow, or an error that changes nothing. No rule reads a clock, a
// store or another machine.
//
// Every state that is not final has a clock: [Order.Tick] and [Session.Tick]
// end it with a reason. spec/job.md draws the machines; machine_test.go walks
// through all their interleavings at small sizes.
package job

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
)

// Inference is the kind of job that computes a model's answer.
const Inference = "inference"

// Upstream is the executor of declared models: a server of the provider's own.
const Upstream = "upstream/1"

// Suits reports whether a model can be served by an executor at a level of
// assurance. What a declared model answers nobody can run again, so it is metered
// and nothing more, and it has an executor that runs nothing else.
func Suits(model canon.CID, executor string, a Assurance) error {
	declared := artifact.IsDeclared(model)
	switch {
	case declared && executor != Upstream:
		return fmt.Errorf("a declared model is served by %s, not by %s", Upstream, executor)
	case !declared && executor == Upstream:
		return fmt.Errorf("%s serves declared models only", Upstream)
	case declared && a != Metered:
		return fmt.Errorf("a declared model can't be checked, so it is served at %s only, not at %s", Metered, a)
	}
	return nil
}

// Assurance is how much checking the asker pays for.
type Assurance uint64

// The levels of assurance.
const (
	Metered    Assurance = iota // A0: receipts only
	Sampled                     // A1: drawn requests are run again
	Disputable                  // A2: and a lie can be narrowed to one step
	Replicated                  // A3: two agree
	Proven                      // A4: a proof per unit
)

// String is the level's short name.
func (a Assurance) String() string { return fmt.Sprintf("A%d", uint64(a)) }

// Privacy is who may read a request besides asker and provider.
type Privacy string

// The levels of privacy.
const (
	Open     Privacy = "open"     // any drawn auditor
	Auditors Privacy = "auditors" // the drawn auditor, encrypted to it
	Private  Privacy = "private"  // nobody: only A0 or A4
)

// Price is in udlt per 1,000 tokens.
type Price struct {
	Input  uint64 `cbor:"input"`
	Output uint64 `cbor:"output"`
}

// ErrOverflow says that an amount does not fit 64 bits.
var ErrOverflow = errors.New("amount does not fit 64 bits")

// Cost is what the given token counts cost in udlt, rounded up once. Counts
// are cumulative over a session, so rounding never adds up.
func (p Price) Cost(input, output uint64) (uint64, error) {
	ih, il := bits.Mul64(p.Input, input)
	oh, ol := bits.Mul64(p.Output, output)
	lo, carry := bits.Add64(il, ol, 0)
	hi, over := bits.Add64(ih, oh, carry)
	lo, carry = bits.Add64(lo, 999, 0)
	hi, over2 := bits.Add64(hi, 0, carry)
	if over != 0 || over2 != 0 || hi >= 1000 {
		return 0, ErrOverflow
	}
	cost, _ := bits.Div64(hi, lo, 1000)
	return cost, nil
}

// Longest is what the longest answer of a model can cost, in udlt: a prompt and
// an answer that each fill its context, as far as one request may.
func (p Price) Longest(context uint64) (uint64, error) {
	return p.Cost(min(context, receipt.MaxPrompt), min(context, receipt.MaxAnswer))
}

// LongestDeclared is Longest for a declared model, whose context is not known.
func (p Price) LongestDeclared() (uint64, error) {
	return p.Cost(receipt.MaxUsage.Input, receipt.MaxUsage.Output)
}

// Within reports that p exceeds ceiling in neither part.
func (p Price) Within(ceiling Price) bool {
	return p.Input <= ceiling.Input && p.Output <= ceiling.Output
}

// Terms are what an order asks for. They are frozen in the session.
type Terms struct {
	Version   uint64    `cbor:"v"`
	Kind      string    `cbor:"kind"`
	Executor  string    `cbor:"executor"` // meaning of the work, such as "float/1"
	Model     canon.CID `cbor:"model"`
	Assurance Assurance `cbor:"assurance"`
	Privacy   Privacy   `cbor:"privacy"`
	Ceiling   Price     `cbor:"ceiling"`
	Escrow    uint64    `cbor:"escrow"`             // udlt locked at the start
	Step      uint64    `cbor:"step"`               // exposure step: the most either side can lose, udlt
	Patience  uint64    `cbor:"patience"`           // seconds that the order waits for a match
	Duration  uint64    `cbor:"duration"`           // seconds that the session may last
	Excluded  []string  `cbor:"excluded,omitempty"` // accounts that shall not serve
	// Preferred are accounts that shall serve if they can, the most wanted first;
	// Only says that nobody else may.
	Preferred []string `cbor:"preferred,omitempty"`
	Only      bool     `cbor:"only,omitempty"`
}

// Equal reports that both ask for the same.
func (t Terms) Equal(o Terms) bool { return bytes.Equal(canon.MustMarshal(t), canon.MustMarshal(o)) }

// Bounds that keep every state's clock short.
const (
	MaxPatience  = 24 * 3600
	MaxDuration  = 7 * 24 * 3600
	MaxExcluded  = 16 // accounts
	MaxPreferred = 16 // accounts
)

// Validate reports what is wrong with terms.
func (t Terms) Validate() error {
	switch {
	case t.Version != canon.Version:
		return fmt.Errorf("terms: version %d is unknown", t.Version)
	case t.Kind != Inference:
		return fmt.Errorf("terms: kind %q is unknown", t.Kind)
	case t.Executor == "" || len(t.Executor) > 64 || !canon.Plain(t.Executor):
		return errors.New("terms: executor must have 1 to 64 bytes of plain text")
	case t.Model.IsZero():
		return errors.New("terms: model is missing")
	case t.Assurance > Proven:
		return fmt.Errorf("terms: assurance %d is unknown", t.Assurance)
	case t.Privacy != Open && t.Privacy != Auditors && t.Privacy != Private:
		return fmt.Errorf("terms: privacy %q is unknown", string(t.Privacy))
	case t.Privacy == Private && t.Assurance != Metered && t.Assurance != Proven:
		return fmt.Errorf("terms: a private job can't be checked at %s", t.Assurance)
	case len(t.Excluded) > MaxExcluded:
		return fmt.Errorf("terms: at most %d accounts can be excluded", MaxExcluded)
	case len(t.Preferred) > MaxPreferred:
		return fmt.Errorf("terms: at most %d accounts can be preferred", MaxPreferred)
	case t.Only && len(t.Preferred) == 0:
		return errors.New("terms: nobody may serve")
	case t.Escrow == 0:
		return errors.New("terms: escrow is zero")
	case t.Step == 0 || t.Step > t.Escrow:
		return errors.New("terms: exposure step must lie between 1 and the escrow")
	case t.Patience == 0 || t.Patience > MaxPatience:
		return fmt.Errorf("terms: patience must be 1 to %d seconds", MaxPatience)
	case t.Duration == 0 || t.Duration > MaxDuration:
		return fmt.Errorf("terms: duration must be 1 to %d seconds", MaxDuration)
	}
	if !plainAccounts(t.Excluded) || !plainAccounts(t.Preferred) {
		return errors.New("terms: an excluded or preferred account must have 1 to 128 bytes of plain text")
	}
	if err := Suits(t.Model, t.Executor, t.Assurance); err != nil {
		return fmt.Errorf("terms: %w", err)
	}
	return nil
}

func plainAccounts(accounts []string) bool {
	return !slices.ContainsFunc(accounts, func(a string) bool { return a == "" || len(a) > 128 || !canon.Plain(a) })
}
