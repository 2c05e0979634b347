package client

import (
	"fmt"

	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	marketpb "daulat/gen/market"
	registrypb "daulat/gen/registry"
)

// Provider is an account that serves jobs.
type Provider struct {
	Account    string
	Key        canon.PublicKey // signs receipts; zero if revoked
	Addresses  []string        // multiaddrs
	Bond       uint64          // udlt
	Registered uint64          // block time, seconds
	NextKey    canon.PublicKey // takes over at KeyFrom; zero if none does
	KeyFrom    uint64          // block time, seconds
}

// Artifact is a manifest's entry on the ledger.
type Artifact struct {
	ID         canon.CID
	Owner      string
	Name       string
	Media      string
	Licence    string
	Parents    []canon.CID
	Registered uint64 // block time, seconds
}

// parseAll reads a list as far as it is sound, and no further.
func parseAll[W, T any](in []W, parse func(W) (T, error)) ([]T, error) {
	out := make([]T, 0, len(in))
	for _, w := range in {
		v, err := parse(w)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func parseProvider(w *registrypb.Provider) (p Provider, err error) {
	if w == nil {
		return p, ErrNotFound
	}
	p = Provider{Account: w.Account, Addresses: w.Addresses, Bond: w.Bond, Registered: w.Registered, KeyFrom: w.KeyFrom}
	if w.Key != "" {
		if err := p.Key.UnmarshalText([]byte(w.Key)); err != nil {
			return p, fmt.Errorf("key: %w", err)
		}
	}
	if w.NextKey != "" {
		if err := p.NextKey.UnmarshalText([]byte(w.NextKey)); err != nil {
			return p, fmt.Errorf("next key: %w", err)
		}
	}
	return p, nil
}

func parseOffer(w registrypb.Offer) (match.Offer, error) {
	model, err := canon.ParseCID(w.Model)
	return match.Offer{Provider: w.Provider, Model: model, Executor: w.Executor,
		Price:     job.Price{Input: w.InputPrice, Output: w.OutputPrice},
		Assurance: job.Assurance(w.Assurance), Slots: w.Slots}, err
}

func parseArtifact(w registrypb.Artifact) (Artifact, error) {
	id, err := canon.ParseCID(w.Id)
	if err != nil {
		return Artifact{}, err
	}
	parents, err := parseAll(w.Parents, canon.ParseCID)
	return Artifact{ID: id, Owner: w.Owner, Name: w.Name, Media: w.Media, Licence: w.Licence, Parents: parents,
		Registered: w.Registered}, err
}

func wireTerms(t job.Terms) marketpb.Terms {
	return marketpb.Terms{Kind: t.Kind, Executor: t.Executor, Model: t.Model.String(), Assurance: uint64(t.Assurance),
		Privacy: string(t.Privacy), InputCeiling: t.Ceiling.Input, OutputCeiling: t.Ceiling.Output,
		Escrow: t.Escrow, Step: t.Step, Patience: t.Patience, Duration: t.Duration, Excluded: t.Excluded,
		Preferred: t.Preferred, Only: t.Only}
}

func parseTerms(w marketpb.Terms) (job.Terms, error) {
	model, err := canon.ParseCID(w.Model)
	t := job.Terms{Version: canon.Version, Kind: w.Kind, Executor: w.Executor, Model: model,
		Assurance: job.Assurance(w.Assurance), Privacy: job.Privacy(w.Privacy),
		Ceiling: job.Price{Input: w.InputCeiling, Output: w.OutputCeiling},
		Escrow:  w.Escrow, Step: w.Step, Patience: w.Patience, Duration: w.Duration, Excluded: w.Excluded, Preferred: w.Preferred, Only: w.Only}
	return t, err
}

func parseOrder(w *marketpb.Order) (job.Order, error) {
	if w == nil {
		return job.Order{}, ErrNotFound
	}
	terms, err := parseTerms(w.Terms)
	if err != nil {
		return job.Order{}, err
	}
	o := job.Order{Version: canon.Version, ID: w.Id, Consumer: w.Consumer, Terms: terms, State: job.OrderState(w.State),
		Placed: w.Placed, Expires: w.Expires, Explanation: w.Explanation}
	return o, o.SessionKey.UnmarshalText([]byte(w.SessionKey))
}

func parseSession(w marketpb.Session) (job.Session, error) {
	terms, err := parseTerms(w.Terms)
	if err != nil {
		return job.Session{}, err
	}
	s := job.Session{Version: canon.Version, ID: w.Id, Consumer: w.Consumer, Provider: w.Provider, Terms: terms,
		Price:   job.Price{Input: w.InputPrice, Output: w.OutputPrice},
		Windows: job.Windows{Close: w.CloseWindow, Challenge: w.ChallengeWindow},
		State:   job.SessionState(w.State), Reason: job.Reason(w.Reason), Opened: w.Opened, Clock: w.Clock,
		Escrow: escrow.Account{Deposited: w.Escrow.Deposited, Locked: w.Escrow.Locked, Withheld: w.Escrow.Withheld,
			Paid: w.Escrow.Paid, Refunded: w.Escrow.Refunded}}
	if err := s.SessionKey.UnmarshalText([]byte(w.SessionKey)); err != nil {
		return s, fmt.Errorf("session key: %w", err)
	}
	if err := s.ProviderKey.UnmarshalText([]byte(w.ProviderKey)); err != nil {
		return s, fmt.Errorf("provider key: %w", err)
	}
	s.Claim, err = parseClaim(w.Id, w.Claim)
	return s, err
}

// parseClaim restores the pair that a claim states: receipt and voucher agree
// on ledger, session, sequence and root.
func parseClaim(session uint64, w *marketpb.Claim) (*receipt.Entry, error) {
	if w == nil {
		return nil, nil
	}
	e := &receipt.Entry{
		Receipt: receipt.Receipt{Chain: w.Chain, Session: session, Seq: w.Seq, Input: w.Input, Output: w.Output, Amount: w.ReceiptAmount},
		Voucher: receipt.Voucher{Chain: w.Chain, Session: session, Seq: w.Seq, Amount: w.VoucherAmount, Final: w.Final},
	}
	if err := e.Receipt.Root.UnmarshalText([]byte(w.Root)); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	e.Voucher.Root = e.Receipt.Root
	if err := e.ReceiptSignature.UnmarshalText([]byte(w.ReceiptSignature)); err != nil {
		return nil, fmt.Errorf("claim: receipt: %w", err)
	}
	if err := e.VoucherSignature.UnmarshalText([]byte(w.VoucherSignature)); err != nil {
		return nil, fmt.Errorf("claim: voucher: %w", err)
	}
	return e, nil
}

func parseComplaint(w marketpb.Complaint) (c job.Complaint, err error) {
	c = job.Complaint{Version: canon.Version, Session: w.Session, Seq: w.Seq, Consumer: w.Consumer, Provider: w.Provider,
		Filed: w.Filed, Receipt: receipt.Signed{Receipt: receipt.Receipt{Chain: w.Receipt.Chain, Session: w.Session,
			Seq: w.Receipt.Seq, Input: w.Receipt.Input, Output: w.Receipt.Output, Amount: w.Receipt.Amount}}}
	if c.Model, err = canon.ParseCID(w.Model); err != nil {
		return c, fmt.Errorf("complaint: model: %w", err)
	}
	if err := c.Receipt.Receipt.Root.UnmarshalText([]byte(w.Receipt.Root)); err != nil {
		return c, fmt.Errorf("complaint: root: %w", err)
	}
	if err := c.Receipt.Signature.UnmarshalText([]byte(w.Receipt.Signature)); err != nil {
		return c, fmt.Errorf("complaint: receipt: %w", err)
	}
	if err := c.Evidence.UnmarshalText([]byte(w.Evidence)); err != nil {
		return c, fmt.Errorf("complaint: evidence: %w", err)
	}
	return c, nil
}

// wireEntry carries the bytes that were signed.
func wireEntry(s Settlement) marketpb.Entry {
	e := s.Entry
	return marketpb.Entry{Session: e.Receipt.Session,
		Receipt: canon.MustMarshal(e.Receipt), ReceiptSignature: e.ReceiptSignature[:],
		Voucher: canon.MustMarshal(e.Voucher), VoucherSignature: e.VoucherSignature[:], Close: s.Close}
}
