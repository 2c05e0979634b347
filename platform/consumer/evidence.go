package consumer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/core/verify"
	wire "daulat/link/session"
)

// Evidence is what the ledger and the registry add to a bundle.
type Evidence interface {
	// ProveSession is a light-client proof of the session's record.
	ProveSession(ctx context.Context, id uint64) ([]byte, error)
	// Manifest returns the canonical bytes of a manifest.
	Manifest(ctx context.Context, id canon.CID) ([]byte, error)
	// Sources are the addresses of peers that offer the model, each peer's
	// together.
	Sources(ctx context.Context, model canon.CID) ([][]string, error)
}

// Export gathers all that a stranger needs to check one answer. A session that
// is still open is settled first, since only a settled receipt shows that the
// answer was paid for; an answer that was found wrong before it was paid comes
// with the provider's own receipt.
func (c *Client) Export(ctx context.Context, e Evidence, session, seq uint64) (verify.Bundle, error) {
	b, err := c.lie(session, seq)
	if errors.Is(err, wire.ErrNoRecord) {
		b, err = c.settledAnswer(ctx, session, seq)
	}
	if err != nil {
		return verify.Bundle{}, err
	}
	r, err := c.Journal.Record(session)
	if err != nil {
		return verify.Bundle{}, err
	}
	if b.Ledger, err = e.ProveSession(ctx, session); err != nil {
		return verify.Bundle{}, err
	}
	if b.Manifest, err = e.Manifest(ctx, r.Session.Terms.Model); err != nil {
		return verify.Bundle{}, err
	}
	b.Sources, err = e.Sources(ctx, r.Session.Terms.Model)
	return b, err
}

func (c *Client) lie(session, seq uint64) (verify.Bundle, error) {
	l, err := c.Journal.Lie(session, seq)
	return verify.Bundle{Version: canon.Version, Transcript: l.Transcript, Path: l.Path, Unsettled: &l.Receipt}, err
}

func (c *Client) settledAnswer(ctx context.Context, session, seq uint64) (verify.Bundle, error) {
	all, at, err := c.transcript(session, seq)
	if err != nil {
		return verify.Bundle{}, err
	}
	if err := c.Settle(ctx, session); err != nil {
		return verify.Bundle{}, err
	}
	r, err := c.Journal.Record(session)
	if err != nil {
		return verify.Bundle{}, err
	}
	path, err := settledPath(r.Session, all, at)
	return verify.Bundle{Version: canon.Version, Transcript: all[at], Path: path}, err
}

// transcript finds a receipt's transcript among those that the session's newest
// voucher covers.
func (c *Client) transcript(session, seq uint64) (all []receipt.Transcript, at int, err error) {
	all, err = c.Journal.Transcripts(session)
	if errors.Is(err, wire.ErrNoRecord) {
		return nil, 0, unknown(session, seq)
	}
	if err != nil {
		return nil, 0, err
	}
	for i, t := range all {
		if t.Ask.Seq == seq {
			return all, i, nil
		}
	}
	return nil, 0, unknown(session, seq)
}

// ErrUnknownReceipt says that the client never got the answer.
var ErrUnknownReceipt = errors.New("no answer here has that receipt")

func unknown(session, seq uint64) error {
	return fmt.Errorf("receipt %s: %w", ReceiptID(session, seq), ErrUnknownReceipt)
}

// settledPath links a transcript to the root that the ledger holds.
func settledPath(s job.Session, all []receipt.Transcript, at int) ([]canon.Hash, error) {
	if s.Claim == nil || s.Claim.Receipt.Seq > uint64(len(all)) || uint64(at) >= s.Claim.Receipt.Seq {
		return nil, fmt.Errorf("session %d was settled without this answer", s.ID)
	}
	return pathOf(all[:s.Claim.Receipt.Seq], uint64(at))
}

// pathOf links transcript number i to the root over all.
func pathOf(all []receipt.Transcript, i uint64) ([]canon.Hash, error) {
	leaves := make([]canon.Hash, len(all))
	for i, t := range all {
		leaves[i] = t.Leaf().Hash()
	}
	return receipt.Prove(leaves, i)
}

func newSalt() (s canon.Hash, err error) {
	if _, err := rand.Read(s[:]); err != nil {
		return s, fmt.Errorf("draw a salt: %w", err)
	}
	return s, nil
}
