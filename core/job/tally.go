package job

import (
	"errors"
	"fmt"
	"math/bits"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
)

// Tally is the running account of a session that provider and consumer each
// keep: what was served, in the order of completion, and what it costs. Equal
// histories give equal receipts.
type Tally struct {
	Range  receipt.Range `cbor:"range"`
	Input  uint64        `cbor:"input"`
	Output uint64        `cbor:"output"`
	Amount uint64        `cbor:"amount"` // udlt
}

// Add counts one more served request at the session's price.
func (t Tally) Add(leaf receipt.Leaf, p Price) (Tally, error) {
	input, c1 := bits.Add64(t.Input, leaf.Input, 0)
	output, c2 := bits.Add64(t.Output, leaf.Output, 0)
	if c1|c2 != 0 {
		return t, ErrOverflow
	}
	amount, err := p.Cost(input, output)
	if err != nil {
		return t, err
	}
	return Tally{Range: t.Range.Append(leaf.Hash()), Input: input, Output: output, Amount: amount}, nil
}

// Receipt is what the provider signs for this history.
func (t Tally) Receipt(chain string, session uint64) receipt.Receipt {
	return receipt.Receipt{Chain: chain, Session: session, Seq: t.Range.Count,
		Input: t.Input, Output: t.Output, Amount: t.Amount, Root: t.Range.Root()}
}

// Voucher is what the consumer signs for this history.
func (t Tally) Voucher(chain string, session uint64, final bool) receipt.Voucher {
	return receipt.Voucher{Chain: chain, Session: session, Seq: t.Range.Count,
		Amount: t.Amount, Root: t.Range.Root(), Final: final}
}

// Errors of Admit.
var (
	ErrExposure  = errors.New("request may cost more than one exposure step ahead of what is paid")
	ErrEscrow    = errors.New("request may cost more than is left in escrow")
	ErrInvalid   = errors.New("request is not valid")
	ErrNotOpen   = errors.New("session is not open")
	ErrForeign   = errors.New("request does not belong to the session")
	ErrDuplicate = errors.New("ask is not newer than the last one")
	ErrVoucher   = errors.New("voucher is not for what was served")
)

// Served is what a provider remembers of a session between requests.
type Served struct {
	Tally Tally  `cbor:"tally"` // what the newest voucher covers
	Seq   uint64 `cbor:"seq"`   // the highest of the asks taken on
	Paid  uint64 `cbor:"paid"`  // of the newest voucher, udlt
	Lost  uint64 `cbor:"lost"`  // worth of answers that were never paid for, udlt
	// Request is that of the answer which is yet to be paid for, by its hash.
	Request canon.Hash `cbor:"request,omitzero"`
	Broken  Broken     `cbor:"broken,omitzero"`
}

// Broken is the last answer that was lost. Who asks the same again, because its way
// to the provider broke, gets the same answer, so what of it was lost before is
// neither held against that ask nor lost any more once it is paid for. A declared
// model's answer is another each time.
type Broken struct {
	Request canon.Hash `cbor:"request"`
	Worth   uint64     `cbor:"worth"` // the part of Lost that it is, udlt
	Times   uint64     `cbor:"times"`
}

// maxBroken bounds how often one answer is computed for a consumer that loses it.
const maxBroken = 8

// again is what of Lost is the same answer, as far as it goes.
func (m Served) again(request canon.Hash) uint64 {
	if request == (canon.Hash{}) || m.Broken.Request != request || m.Broken.Times >= maxBroken {
		return 0
	}
	return m.Broken.Worth
}

// Admit decides whether a provider takes on a request: it is signed by the
// session's consumer, is new, is for the session's model, and its highest
// possible price stays within one exposure step of what is paid and within the
// escrow. It returns the memory with the request noted.
func (s Session) Admit(chain string, m Served, ask receipt.Ask, sig canon.Signature, r receipt.Request) (Served, error) {
	if s.State != SessionOpen {
		return m, fmt.Errorf("session %d: %w but %s", s.ID, ErrNotOpen, s.State)
	}
	if err := s.Authentic(chain, ask, sig, r); err != nil {
		return m, err
	}
	if ask.Seq <= m.Seq {
		return m, fmt.Errorf("session %d: %w", s.ID, ErrDuplicate)
	}
	if err := s.affords(m, r); err != nil {
		return m, fmt.Errorf("session %d: %w", s.ID, err)
	}
	m.Seq, m.Request = ask.Seq, ask.Request
	return m, nil
}

// Authentic checks that a request is well formed and that the session's
// consumer signed it for this session.
func (s Session) Authentic(chain string, ask receipt.Ask, sig canon.Signature, r receipt.Request) error {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if ask.Chain != chain || ask.Session != s.ID || ask.Request != r.Hash() ||
		r.Key != s.SessionKey || r.Model != s.Terms.Model {
		return fmt.Errorf("session %d: %w", s.ID, ErrForeign)
	}
	return canon.Verify(s.SessionKey, receipt.DomainAsk, ask, sig)
}

func (s Session) affords(m Served, r receipt.Request) error {
	most := r.Worst()
	worst, err := s.Price.Cost(m.Tally.Input+most.Input, m.Tally.Output+most.Output)
	if err != nil {
		return err
	}
	if worst > s.Escrow.Locked {
		return ErrEscrow
	}
	lost := m.Lost - m.again(r.Hash())
	if exposed, carry := bits.Add64(worst-min(worst, m.Paid), lost, 0); carry != 0 || exposed > s.Terms.Step {
		return ErrExposure
	}
	return nil
}

// Serve returns the memory with one more answer, which is yet to be paid for.
func (s Session) Serve(m Served, leaf receipt.Leaf) (Served, error) {
	tally, err := m.Tally.Add(leaf, s.Price)
	if err != nil {
		return m, fmt.Errorf("session %d: %w", s.ID, err)
	}
	m.Tally = tally
	return m, nil
}

// Drop returns the memory without an answer that the consumer will not pay for,
// as it says that it never arrived. Its worth counts against the exposure step
// from then on, so all that a consumer can take that way is one step. What was
// lost of the same answer before is part of it.
func (s Session) Drop(m, unpaid Served) Served {
	m.Seq = unpaid.Seq
	b := Broken{Request: unpaid.Request, Worth: unpaid.Tally.Amount - m.Tally.Amount, Times: 1}
	if artifact.IsDeclared(s.Terms.Model) {
		b.Request = canon.Hash{}
	}
	if before := m.again(b.Request); before > 0 {
		m.Lost -= before
		b.Worth, b.Times = max(b.Worth, before), m.Broken.Times+1
	}
	m.Lost += b.Worth
	m.Broken = b
	return m
}

// Pay notes a voucher for the present history. It must cover what is owed.
func (s Session) Pay(chain string, m Served, v receipt.Voucher, sig canon.Signature) (Served, error) {
	want := m.Tally.Voucher(chain, s.ID, v.Final)
	if v != want {
		return m, fmt.Errorf("session %d: %w", s.ID, ErrVoucher)
	}
	if err := canon.Verify(s.SessionKey, receipt.DomainVoucher, v, sig); err != nil {
		return m, err
	}
	m.Paid = v.Amount
	if m.again(m.Request) > 0 { // it arrived after all
		m.Lost, m.Broken = m.Lost-m.Broken.Worth, Broken{}
	}
	m.Request = canon.Hash{}
	return m, nil
}
