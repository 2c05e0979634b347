package market

import (
	"encoding/hex"
	"errors"
	"fmt"

	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	"daulat/core/receipt"
	pb "daulat/gen/market"
	"daulat/ledger/record"
)

// maxSigned bounds a receipt's or voucher's encoding, in bytes; both are near
// 200 bytes.
const maxSigned = 1024

// parseTerms reads terms with accounts in their one text form.
func (s *Store) parseTerms(t pb.Terms) (job.Terms, error) {
	model, err := canon.ParseCID(t.Model)
	if err != nil {
		return job.Terms{}, fmt.Errorf("terms: model: %w", err)
	}
	terms := job.Terms{Version: canon.Version, Kind: t.Kind, Executor: t.Executor, Model: model,
		Assurance: job.Assurance(t.Assurance), Privacy: job.Privacy(t.Privacy),
		Ceiling: job.Price{Input: t.InputCeiling, Output: t.OutputCeiling},
		Escrow:  t.Escrow, Step: t.Step, Patience: t.Patience, Duration: t.Duration, Excluded: t.Excluded, Preferred: t.Preferred, Only: t.Only}
	if err := terms.Validate(); err != nil {
		return job.Terms{}, err
	}
	if terms.Excluded, err = s.accounts("excluded", t.Excluded); err != nil {
		return job.Terms{}, err
	}
	terms.Preferred, err = s.accounts("preferred", t.Preferred)
	return terms, err
}

// accounts brings accounts of terms into their one text form.
func (s *Store) accounts(what string, texts []string) (all []string, err error) {
	for _, text := range texts {
		account, err := record.Account(s.addresses, text)
		if err != nil {
			return nil, fmt.Errorf("terms: %s %w", what, err)
		}
		all = append(all, account)
	}
	return all, nil
}

func wireTerms(t job.Terms) pb.Terms {
	return pb.Terms{Kind: t.Kind, Executor: t.Executor, Model: t.Model.String(), Assurance: uint64(t.Assurance),
		Privacy: string(t.Privacy), InputCeiling: t.Ceiling.Input, OutputCeiling: t.Ceiling.Output,
		Escrow: t.Escrow, Step: t.Step, Patience: t.Patience, Duration: t.Duration, Excluded: t.Excluded,
		Preferred: t.Preferred, Only: t.Only}
}

func wireOrder(o job.Order) pb.Order {
	return pb.Order{Id: o.ID, Consumer: o.Consumer, SessionKey: o.SessionKey.String(), Terms: wireTerms(o.Terms),
		State: string(o.State), Placed: o.Placed, Expires: o.Expires, Explanation: o.Explanation}
}

func (s *Store) parseOrder(o pb.Order) (job.Order, error) {
	key, err := record.Key("session key", o.SessionKey)
	if err != nil {
		return job.Order{}, err
	}
	terms, err := s.parseTerms(o.Terms)
	if err != nil {
		return job.Order{}, err
	}
	return job.Order{Version: canon.Version, ID: o.Id, Consumer: o.Consumer, SessionKey: key, Terms: terms,
		State: job.OrderState(o.State), Placed: o.Placed, Expires: o.Expires, Explanation: o.Explanation}, nil
}

func wireSession(s job.Session) pb.Session {
	w := pb.Session{Id: s.ID, Consumer: s.Consumer, Provider: s.Provider, SessionKey: s.SessionKey.String(),
		ProviderKey: s.ProviderKey.String(), Terms: wireTerms(s.Terms), InputPrice: s.Price.Input,
		OutputPrice: s.Price.Output, CloseWindow: s.Windows.Close, ChallengeWindow: s.Windows.Challenge,
		State: string(s.State), Reason: string(s.Reason), Opened: s.Opened, Clock: s.Clock,
		Escrow: pb.Escrow{Deposited: s.Escrow.Deposited, Locked: s.Escrow.Locked, Withheld: s.Escrow.Withheld,
			Paid: s.Escrow.Paid, Refunded: s.Escrow.Refunded}}
	if s.Claim != nil {
		w.Claim = wireClaim(*s.Claim)
	}
	return w
}

func (s *Store) parseSession(w pb.Session) (job.Session, error) {
	key, err := record.Key("session key", w.SessionKey)
	if err != nil {
		return job.Session{}, err
	}
	provider, err := record.Key("provider key", w.ProviderKey)
	if err != nil {
		return job.Session{}, err
	}
	terms, err := s.parseTerms(w.Terms)
	if err != nil {
		return job.Session{}, err
	}
	claim, err := parseClaim(w.Id, w.Claim)
	if err != nil {
		return job.Session{}, err
	}
	return job.Session{Version: canon.Version, ID: w.Id, Consumer: w.Consumer, Provider: w.Provider, SessionKey: key,
		ProviderKey: provider, Terms: terms, Price: job.Price{Input: w.InputPrice, Output: w.OutputPrice},
		Windows: job.Windows{Close: w.CloseWindow, Challenge: w.ChallengeWindow}, State: job.SessionState(w.State),
		Reason: job.Reason(w.Reason), Opened: w.Opened, Clock: w.Clock,
		Escrow: escrow.Account{Deposited: w.Escrow.Deposited, Locked: w.Escrow.Locked, Withheld: w.Escrow.Withheld,
			Paid: w.Escrow.Paid, Refunded: w.Escrow.Refunded},
		Claim: claim}, nil
}

func wireClaim(e receipt.Entry) *pb.Claim {
	r, v := e.Receipt, e.Voucher
	return &pb.Claim{Chain: r.Chain, Seq: r.Seq, Input: r.Input, Output: r.Output, ReceiptAmount: r.Amount,
		VoucherAmount: v.Amount, Root: r.Root.String(), Final: v.Final,
		ReceiptSignature: hex.EncodeToString(e.ReceiptSignature[:]),
		VoucherSignature: hex.EncodeToString(e.VoucherSignature[:])}
}

// parseClaim restores the pair that a claim states: receipt and voucher agree
// on chain, session, sequence and root.
func parseClaim(session uint64, c *pb.Claim) (*receipt.Entry, error) {
	if c == nil {
		return nil, nil
	}
	var root canon.Hash
	if err := root.UnmarshalText([]byte(c.Root)); err != nil {
		return nil, fmt.Errorf("claim: root: %w", err)
	}
	e := receipt.Entry{
		Receipt: receipt.Receipt{Chain: c.Chain, Session: session, Seq: c.Seq, Input: c.Input, Output: c.Output,
			Amount: c.ReceiptAmount, Root: root},
		Voucher: receipt.Voucher{Chain: c.Chain, Session: session, Seq: c.Seq, Amount: c.VoucherAmount, Root: root,
			Final: c.Final}}
	if err := e.ReceiptSignature.UnmarshalText([]byte(c.ReceiptSignature)); err != nil {
		return nil, fmt.Errorf("claim: receipt: %w", err)
	}
	if err := e.VoucherSignature.UnmarshalText([]byte(c.VoucherSignature)); err != nil {
		return nil, fmt.Errorf("claim: voucher: %w", err)
	}
	return &e, nil
}

// parseEntry reads a signed pair strictly. Its errors don't repeat those of the
// decoder, since they become part of the block's result.
func parseEntry(w *pb.Entry) (e receipt.Entry, err error) {
	if len(w.ReceiptSignature) != len(e.ReceiptSignature) || len(w.VoucherSignature) != len(e.VoucherSignature) {
		return e, fmt.Errorf("a signature has %d bytes", len(e.ReceiptSignature))
	}
	if len(w.Receipt) > maxSigned || canon.Unmarshal(w.Receipt, &e.Receipt) != nil {
		return e, errors.New("receipt is not in its canonical form")
	}
	if len(w.Voucher) > maxSigned || canon.Unmarshal(w.Voucher, &e.Voucher) != nil {
		return e, errors.New("voucher is not in its canonical form")
	}
	e.ReceiptSignature = canon.Signature(w.ReceiptSignature)
	e.VoucherSignature = canon.Signature(w.VoucherSignature)
	return e, nil
}

// parseAccusation reads the signed receipt and the evidence of a complaint
// strictly.
func parseAccusation(m *pb.MsgComplain) (r receipt.Signed, evidence canon.Hash, err error) {
	if len(m.ReceiptSignature) != len(r.Signature) {
		return r, evidence, fmt.Errorf("a signature has %d bytes", len(r.Signature))
	}
	if len(m.Receipt) > maxSigned || canon.Unmarshal(m.Receipt, &r.Receipt) != nil {
		return r, evidence, errors.New("receipt is not in its canonical form")
	}
	r.Signature = canon.Signature(m.ReceiptSignature)
	if err := evidence.UnmarshalText([]byte(m.Evidence)); err != nil {
		return r, evidence, fmt.Errorf("evidence: %w", err)
	}
	return r, evidence, nil
}

func wireComplaint(c job.Complaint) pb.Complaint {
	r := c.Receipt.Receipt
	return pb.Complaint{Session: c.Session, Seq: c.Seq, Consumer: c.Consumer, Provider: c.Provider, Model: c.Model.String(),
		Receipt: pb.SignedReceipt{Chain: r.Chain, Seq: r.Seq, Input: r.Input, Output: r.Output, Amount: r.Amount,
			Root: r.Root.String(), Signature: hex.EncodeToString(c.Receipt.Signature[:])},
		Evidence: c.Evidence.String(), Filed: c.Filed}
}

func parseComplaint(w pb.Complaint) (job.Complaint, error) {
	c := job.Complaint{Version: canon.Version, Session: w.Session, Seq: w.Seq, Consumer: w.Consumer, Provider: w.Provider,
		Filed: w.Filed, Receipt: receipt.Signed{Receipt: receipt.Receipt{Chain: w.Receipt.Chain, Session: w.Session,
			Seq: w.Receipt.Seq, Input: w.Receipt.Input, Output: w.Receipt.Output, Amount: w.Receipt.Amount}}}
	if err := c.Model.UnmarshalText([]byte(w.Model)); err != nil {
		return c, fmt.Errorf("model: %w", err)
	}
	if err := c.Receipt.Receipt.Root.UnmarshalText([]byte(w.Receipt.Root)); err != nil {
		return c, fmt.Errorf("receipt: root: %w", err)
	}
	if err := c.Receipt.Signature.UnmarshalText([]byte(w.Receipt.Signature)); err != nil {
		return c, fmt.Errorf("receipt: %w", err)
	}
	if err := c.Evidence.UnmarshalText([]byte(w.Evidence)); err != nil {
		return c, fmt.Errorf("evidence: %w", err)
	}
	return c, nil
}

func wireStanding(t job.Standing) pb.Standing {
	return pb.Standing{Withheld: t.Withheld, Released: t.Released, Sessions: t.Sessions, Requests: t.Requests,
		Complaints: t.Complaints, Unserved: t.Unserved}
}
