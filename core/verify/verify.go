// Package verify is what is believed of work done, and why.
//
// A [Bundle] is all that a stranger needs to check one answer: the record of
// the session as the ledger's validators signed it, the provider's receipt, the
// place of this answer under the receipt's root, and the transcript that the
// commitments open to. [Bundle.Check] ties them together without running
// anything; a [Runner], which lives beside each executor, then computes the
// answer again and gives a [Verdict].
package verify

import (
	"context"
	"errors"
	"fmt"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
)

// Outcome is what a check found.
type Outcome string

// The outcomes. Inconclusive is never counted as either of the others.
const (
	Agree        Outcome = "agree"
	Disagree     Outcome = "disagree"
	Inconclusive Outcome = "inconclusive"
	// Unavailable is a check that the provider prevents, as it does not serve
	// what the manifest names. It counts as Disagree.
	Unavailable Outcome = "unavailable"
)

// Against reports that the outcome speaks against the provider.
func (o Outcome) Against() bool { return o == Disagree || o == Unavailable }

// ErrUnavailable says that an artifact which the manifest names can be had from
// nobody. What fails on the checker's own side is not that.
var ErrUnavailable = errors.New("the model can be had from nobody")

// Verdict is an outcome and, for a disagreement, where it starts.
type Verdict struct {
	Outcome Outcome
	At      int    // index of the first token that differs
	Paid    uint32 // the token that the model gives there; End when it ends there
	Got     uint32 // the token that was served; End when the answer ended there
	Why     string // for inconclusive and unavailable, and where something else than the tokens differs
}

// End stands in a verdict for the end of an answer.
const End = ^uint32(0)

// String is the verdict in one line, with token IDs.
func (v Verdict) String() string {
	switch v.Outcome {
	case Disagree:
		if v.Why != "" && v.Paid == End {
			return fmt.Sprintf("disagree at the end, after %d tokens: %s", v.At, v.Why)
		}
		if v.Why != "" {
			return fmt.Sprintf("disagree at token %d: %s", v.At, v.Why)
		}
		return fmt.Sprintf("disagree at token %d: paid for %s, got %s", v.At, tokenText(v.Paid), tokenText(v.Got))
	case Inconclusive, Unavailable:
		return string(v.Outcome) + ": " + v.Why
	}
	return string(v.Outcome)
}

func tokenText(t uint32) string {
	if t == End {
		return "the end"
	}
	return fmt.Sprint(t)
}

// Compare judges a served answer by the one that the model gives, token by token
// and what was shown with each.
func Compare(paid, got receipt.Answer) Verdict {
	for i := range max(len(paid.Tokens), len(got.Tokens), len(paid.Logprobs), len(got.Logprobs)) {
		p, g := at(paid.Tokens, i), at(got.Tokens, i)
		if p != g {
			return Verdict{Outcome: Disagree, At: i, Paid: p, Got: g}
		}
		if why := differ(paid.Logprobs, got.Logprobs, i); why != "" {
			return Verdict{Outcome: Disagree, At: i, Paid: p, Got: g, Why: why}
		}
	}
	if paid.Finish != got.Finish {
		return Verdict{Outcome: Disagree, At: len(paid.Tokens), Paid: End, Got: End,
			Why: fmt.Sprintf("paid for an end by %q, got one by %q", paid.Finish, got.Finish)}
	}
	return Verdict{Outcome: Agree}
}

func at(tokens []uint32, i int) uint32 {
	if i < len(tokens) {
		return tokens[i]
	}
	return End
}

// differ is what differs in the log-probabilities of token number i, or "".
func differ(paid, got []receipt.Logprobs, i int) string {
	switch {
	case i >= len(paid) && i >= len(got):
		return ""
	case i >= len(got):
		return "paid for its log-probabilities, got none"
	case i >= len(paid):
		return "got log-probabilities that nobody asked for"
	case paid[i].NLL != got[i].NLL:
		return fmt.Sprintf("paid for log-probability %s, got %s", nats(paid[i].NLL), nats(got[i].NLL))
	case len(paid[i].Top) != len(got[i].Top):
		return fmt.Sprintf("paid for %d alternatives, got %d", len(paid[i].Top), len(got[i].Top))
	}
	for n, p := range paid[i].Top {
		if g := got[i].Top[n]; p != g {
			return fmt.Sprintf("paid for alternative %d with log-probability %s, got %d with %s", p.Token, nats(p.NLL), g.Token, nats(g.NLL))
		}
	}
	return ""
}

// nats writes −nll/2^16, exactly.
func nats(nll uint32) string {
	whole, rest := nll>>16, uint64(nll&(1<<16-1))
	return fmt.Sprintf("-%d.%016d", whole, rest*152_587_890_625) // 10^16/2^16
}

// Runner computes an answer again. Implementations stand beside the executors.
type Runner interface {
	// Replay judges the answer to request by running the model that the
	// manifest names. An error means that the check could not be done; it wraps
	// ErrUnavailable if and only if the session's provider is to answer for that.
	Replay(ctx context.Context, model canon.CID, request receipt.Request, answer receipt.Answer) (Verdict, error)
}

// Bundle is one answer with all that proves it.
type Bundle struct {
	Version    uint64             `cbor:"v"`
	Ledger     []byte             `cbor:"ledger"` // light-client proof of the session's record
	Manifest   []byte             `cbor:"manifest"`
	Transcript receipt.Transcript `cbor:"transcript"`
	Path       []canon.Hash       `cbor:"path"` // from the transcript's leaf to the receipt's root
	// Unsettled is the provider's receipt where the ledger holds none that
	// covers the answer: it binds the provider, but nobody paid for it.
	Unsettled *receipt.Signed `cbor:"unsettled,omitempty"`
	Sources   [][]string      `cbor:"sources,omitempty"` // addresses of peers that may serve the model; hints only
}

// DecodeBundle reads a bundle strictly.
func DecodeBundle(data []byte) (Bundle, error) {
	var b Bundle
	if err := canon.Unmarshal(data, &b); err != nil {
		return Bundle{}, fmt.Errorf("receipt bundle: %w", err)
	}
	if b.Version != canon.Version {
		return Bundle{}, fmt.Errorf("receipt bundle: version %d is unknown", b.Version)
	}
	return b, nil
}

// Checked is what a bundle says once it is tied together.
type Checked struct {
	Session  job.Session
	Model    canon.CID
	Manifest artifact.Manifest
	Declared *artifact.Declaration // in place of a manifest: nobody can run the model again
	Price    uint64                // udlt for this answer alone, at the session's price, rounded up
	Settled  bool                  // the ledger holds the receipt, and both sides signed it
}

// ErrUnsettled says that the ledger holds no receipt for the session yet.
var ErrUnsettled = errors.New("session is not settled yet")

// Check ties the bundle to record, the session as the ledger holds it: the
// consumer asked exactly this, the provider signed exactly this answer, both
// for the model that the session pays for.
func (b Bundle) Check(chain string, record []byte) (Checked, error) {
	c, err := b.check(chain, record)
	if err != nil {
		return Checked{}, fmt.Errorf("receipt bundle: %w", err)
	}
	return c, nil
}

func (b Bundle) check(chain string, record []byte) (Checked, error) {
	var s job.Session
	if err := canon.Unmarshal(record, &s); err != nil {
		return Checked{}, err
	}
	signed, err := b.receipt(chain, s)
	if err != nil {
		return Checked{}, err
	}
	if err := asked(b.Transcript, chain, s); err != nil {
		return Checked{}, err
	}
	if err := b.served(signed); err != nil {
		return Checked{}, err
	}
	c := Checked{Session: s, Model: s.Terms.Model, Settled: b.Unsettled == nil}
	if err := c.describe(b.Manifest); err != nil {
		return Checked{}, err
	}
	bill := b.Transcript.Request.Bill(b.Transcript.Answer)
	if c.Price, err = s.Price.Cost(bill.Input, bill.Output); err != nil {
		return Checked{}, err
	}
	return c, nil
}

// describe reads what the model's CID names.
func (c *Checked) describe(data []byte) error {
	if artifact.IsDeclared(c.Model) {
		d, err := artifact.DecodeDeclarationAs(c.Model, data)
		c.Declared = &d
		return err
	}
	m, err := artifact.DecodeAs(c.Model, data)
	c.Manifest = m
	return err
}

// Name is what the model is called.
func (c Checked) Name() string {
	if c.Declared != nil {
		return c.Declared.Name
	}
	return c.Manifest.Name
}

// receipt is the provider's word that the bundle rests on: the one that was
// settled, or the one that comes with it.
func (b Bundle) receipt(chain string, s job.Session) (receipt.Receipt, error) {
	if u := b.Unsettled; u != nil {
		if u.Receipt.Chain != chain || u.Receipt.Session != s.ID {
			return receipt.Receipt{}, errors.New("the receipt is of another session")
		}
		return u.Receipt, canon.Verify(s.ProviderKey, receipt.DomainReceipt, u.Receipt, u.Signature)
	}
	if s.Claim == nil || (s.State != job.SessionSettled && s.State != job.SessionReleased) {
		return receipt.Receipt{}, ErrUnsettled
	}
	return s.Claim.Receipt, s.Claim.Check(chain, s.ID, s.ProviderKey, s.SessionKey)
}

// asked checks that the session's consumer asked just this, for the model that
// the session pays for.
func asked(t receipt.Transcript, chain string, s job.Session) error {
	if err := errors.Join(t.Request.Validate(), t.Request.Fits(t.Answer)); err != nil {
		return err
	}
	switch {
	case t.Ask.Chain != chain || t.Ask.Session != s.ID:
		return errors.New("the ask is of another session")
	case t.Ask.Request != t.Request.Hash():
		return errors.New("the ask is for another request")
	case t.Request.Key != s.SessionKey:
		return errors.New("the request is of another asker")
	case t.Request.Model != s.Terms.Model:
		return errors.New("the request is for another model than the session pays for")
	}
	return canon.Verify(s.SessionKey, receipt.DomainAsk, t.Ask, t.Signature)
}

func (b Bundle) served(r receipt.Receipt) error {
	t := b.Transcript
	if err := receipt.VerifyPath(r.Root, r.Seq, t.Index, t.Leaf().Hash(), b.Path); err != nil {
		return fmt.Errorf("answer is not the one that was settled: %w", err)
	}
	return nil
}
