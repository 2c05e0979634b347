package node

import (
	"context"
	"errors"

	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/data/transfer"
)

// auditor runs answers again for this home's own questions. A model that is not
// here is fetched from the providers that offer it; if none of them serves it,
// nobody can check the answer, and that counts against who gave it.
type auditor struct {
	verify.Runner
	models modelSource
}

// Replay implements verify.Runner.
func (a auditor) Replay(ctx context.Context, model canon.CID, r receipt.Request, given receipt.Answer) (verify.Verdict, error) {
	if err := a.models.obtain(ctx, model); err != nil {
		var peer *transfer.PeerError
		if ctx.Err() == nil && (errors.As(err, &peer) || errors.Is(err, errNoSource)) {
			return verify.Verdict{}, errors.Join(verify.ErrUnavailable, err)
		}
		return verify.Verdict{}, err
	}
	return a.Runner.Replay(ctx, model, r, given)
}
