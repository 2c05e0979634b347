package node

import (
	"context"
	"errors"
	"fmt"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/data/transfer"
	"daulat/link"
)

// auditor runs answers again for this home's own questions. A model that is not
// here is fetched from the providers that offer it; if none of them serves it,
// nobody can check the answer, and that counts against who gave it.
type auditor struct {
	verify.Runner
	shelf  *Shelf
	ledger interface {
		Artifact(ctx context.Context, id canon.CID) ([]byte, error)
		Offers(ctx context.Context, model canon.CID) ([]match.Offer, error)
		Addresses(ctx context.Context, provider string) ([]string, error)
	}
	peer transfer.Dialer
}

// Replay implements verify.Runner.
func (a auditor) Replay(ctx context.Context, model canon.CID, r receipt.Request, given receipt.Answer) (verify.Verdict, error) {
	if err := a.obtain(ctx, model); err != nil {
		return verify.Verdict{}, err
	}
	return a.Runner.Replay(ctx, model, r, given)
}

func (a auditor) obtain(ctx context.Context, model canon.CID) error {
	store := a.shelf.store
	if !store.Has(model) {
		data, err := a.ledger.Artifact(ctx, model)
		if err != nil {
			return err
		}
		if _, err := store.PutBytes(canon.DagCBOR, data); err != nil {
			return err
		}
	}
	m, err := a.shelf.Manifest(ctx, model)
	if err != nil {
		return err
	}
	weights, ok := m.Part(artifact.Weights)
	if !ok || store.Has(weights.Blob) {
		return nil
	}
	return a.fetch(ctx, model, weights.Blob)
}

func (a auditor) fetch(ctx context.Context, model, blob canon.CID) error {
	offers, err := a.ledger.Offers(ctx, model)
	if err != nil {
		return err
	}
	var sources [][]string
	for _, o := range offers {
		addrs, err := a.ledger.Addresses(ctx, o.Provider)
		if err != nil {
			return err
		}
		sources = append(sources, link.ByPeer(addrs)...)
	}
	err = transfer.Fetch(ctx, a.peer, a.shelf.store, blob, sources, nil)
	var peer *transfer.PeerError
	if ctx.Err() == nil && (errors.As(err, &peer) || err != nil && len(sources) == 0) {
		return fmt.Errorf("%w: %w", verify.ErrUnavailable, err)
	}
	return err
}
