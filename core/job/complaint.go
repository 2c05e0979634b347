package job

import (
	"errors"
	"fmt"

	"daulat/core/canon"
	"daulat/core/receipt"
)

// Complaint is a consumer's word that its provider signed a wrong answer. It
// proves that the provider signed the receipt and not that the answer is wrong,
// so it moves no money and costs nobody a bond: who doubts it asks for the
// evidence and runs the request again.
type Complaint struct {
	Version  uint64         `cbor:"v"`
	Session  uint64         `cbor:"session"`
	Seq      uint64         `cbor:"seq"` // of the ask that was answered wrongly
	Consumer string         `cbor:"consumer"`
	Provider string         `cbor:"provider"`
	Model    canon.CID      `cbor:"model"`
	Receipt  receipt.Signed `cbor:"receipt"`  // covers the answer
	Evidence canon.Hash     `cbor:"evidence"` // of what the consumer keeps
	Filed    uint64         `cbor:"filed"`    // block time, seconds
}

// ErrReleased says that a session's pay is out.
var ErrReleased = errors.New("session is released")

// Complain states that ask number seq of the session was answered wrongly under
// receipt r. Only the consumer may, and only until pay is released.
func (s Session) Complain(by, chain string, seq uint64, r receipt.Signed, evidence canon.Hash, now uint64) (Complaint, error) {
	if by != s.Consumer {
		return Complaint{}, fmt.Errorf("complain about session %d: %w", s.ID, ErrStranger)
	}
	if s.State == SessionReleased {
		return Complaint{}, fmt.Errorf("complain about session %d: %w", s.ID, ErrReleased)
	}
	c := Complaint{Version: canon.Version, Session: s.ID, Seq: seq, Consumer: s.Consumer, Provider: s.Provider,
		Model: s.Terms.Model, Receipt: r, Evidence: evidence, Filed: now}
	if err := c.Check(chain, s); err != nil {
		return Complaint{}, err
	}
	return c, nil
}

// Check reports whether the complaint is about s, and its receipt is of this
// chain and session, covers at least one answer and is signed by the provider.
func (c Complaint) Check(chain string, s Session) error {
	if err := c.check(chain, s); err != nil {
		return fmt.Errorf("complain about session %d: %w", s.ID, err)
	}
	return nil
}

func (c Complaint) check(chain string, s Session) error {
	r := c.Receipt.Receipt
	switch {
	case c.Version != canon.Version:
		return fmt.Errorf("version %d is unknown", c.Version)
	case c.Session != s.ID || c.Consumer != s.Consumer || c.Provider != s.Provider || c.Model != s.Terms.Model:
		return errors.New("it is about another session")
	case c.Seq == 0:
		return errors.New("sequence numbers start at 1")
	case c.Evidence.IsZero():
		return errors.New("evidence is missing")
	case r.Chain != chain:
		return fmt.Errorf("receipt: %w", receipt.ErrChain)
	case r.Session != s.ID:
		return fmt.Errorf("receipt: %w", receipt.ErrSession)
	case r.Seq == 0:
		return errors.New("the receipt covers no answer")
	}
	return canon.Verify(s.ProviderKey, receipt.DomainReceipt, r, c.Receipt.Signature)
}
