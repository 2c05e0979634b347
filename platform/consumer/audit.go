package consumer

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/core/verify"
	wire "daulat/link/session"
)

// LieError says that a provider signed an answer that its model does not give,
// or that nobody can check since the provider does not serve the model. The
// answer was not paid for, and the evidence is kept under the receipt's name.
type LieError struct {
	Receipt string
	Verdict verify.Verdict
}

func (e *LieError) Error() string {
	if e.Verdict.Outcome == verify.Unavailable {
		return fmt.Sprintf("the answer can't be checked, and was not paid for: receipt %s, %s", e.Receipt, e.Verdict)
	}
	return fmt.Sprintf("the provider lied, and was not paid for it: receipt %s, %s", e.Receipt, e.Verdict)
}

// errUnchecked says that the asker's own side could not check an answer: it is
// not paid for, and no other provider would fare better.
var errUnchecked = errors.New("the answer could not be checked here")

// ownFault reports that it is the asker's side that failed: it could not check an
// answer, or is off the network, or its journal takes no more.
func ownFault(err error) bool {
	var broken *wire.BrokenError
	return errors.Is(err, errUnchecked) || errors.Is(err, errCutOff) || errors.As(err, &broken)
}

// exactPower is the chance that running an answer of class D0 again shows that
// it is wrong: all of it, in parts per million.
const exactPower = verify.Million

// audit runs the answer again, before its voucher leaves, if the draw says so.
// The draw is made after the provider has signed, from randomness of this
// process alone, at the rate that makes a lie a loss.
func (s *Session) audit(ctx context.Context, t receipt.Transcript, e receipt.Entry, next job.Served) error {
	if s.client.Auditor == nil || s.record.Session.Terms.Assurance == job.Metered {
		return nil
	}
	price := next.Tally.Amount - s.record.Served.Tally.Amount
	drawn, err := draw(verify.AuditRate(price, exactPower, price, s.stake))
	if err != nil || !drawn {
		return err
	}
	v, err := s.replay(ctx, t)
	if err != nil {
		return fmt.Errorf("audit of receipt %s: %w: %w", ReceiptID(s.ID(), t.Ask.Seq), errUnchecked, err)
	}
	if !v.Outcome.Against() {
		return nil
	}
	return s.accuse(ctx, t, e, v)
}

// replay makes a verdict of a model that can't be had, lest a provider escape
// every audit by serving none. An asker that gave up accuses nobody.
func (s *Session) replay(ctx context.Context, t receipt.Transcript) (verify.Verdict, error) {
	v, err := s.client.Auditor.Replay(ctx, t.Request.Model, t.Request, t.Answer)
	if errors.Is(err, verify.ErrUnavailable) && ctx.Err() == nil {
		return verify.Verdict{Outcome: verify.Unavailable, Why: err.Error()}, nil
	}
	return v, err
}

// accuse keeps the evidence and leaves a complaint on the ledger.
func (s *Session) accuse(ctx context.Context, t receipt.Transcript, e receipt.Entry, v verify.Verdict) error {
	lie := wire.Lie{Transcript: t, Receipt: receipt.Signed{Receipt: e.Receipt, Signature: e.ReceiptSignature}}
	earlier, err := s.client.Journal.Transcripts(s.ID())
	if err != nil {
		return err
	}
	if uint64(len(earlier)) < t.Index {
		return fmt.Errorf("journal holds %d of the %d answers before receipt %s", len(earlier), t.Index, ReceiptID(s.ID(), t.Ask.Seq))
	}
	if lie.Path, err = pathOf(append(earlier[:t.Index:t.Index], t), t.Index); err != nil {
		return err
	}
	if err := s.client.Journal.SaveLie(lie); err != nil {
		return err
	}
	if err := s.client.Ledger.Complain(ctx, s.ID(), t.Ask.Seq, lie.Receipt, canon.Digest(DomainEvidence, lie)); err != nil {
		s.client.Log.Warn("complaint could not be made", "session", s.ID(), "error", err)
	}
	return &LieError{Receipt: ReceiptID(s.ID(), t.Ask.Seq), Verdict: v}
}

// DomainEvidence is the domain in which a complaint hashes its evidence.
const DomainEvidence = "daulat/evidence"

// draw is true with the given chance in parts per million.
func draw(rate uint64) (bool, error) {
	if rate >= verify.Million {
		return true, nil
	}
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return false, fmt.Errorf("draw an audit: %w", err)
	}
	// The modulus favours small numbers by less than one part in 2^44.
	return binary.BigEndian.Uint64(raw[:])%verify.Million < rate, nil
}
