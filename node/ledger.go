package node

import (
	"context"
	"errors"

	"daulat/compute/provider"
	"daulat/core/match"
	"daulat/ledger/client"
	"daulat/platform/consumer"
)

// account is one account's view of the ledger, as provider and consumer want it.
type account struct{ *client.Client }

var (
	_ provider.Ledger = account{}
	_ consumer.Ledger = account{}
)

// Announce implements provider.Ledger.
func (a account) Announce(ctx context.Context, n match.Announcement) error {
	known, err := a.Provider(ctx, a.Account())
	if err == nil && known.Key != n.Key {
		return provider.ErrNotInForce
	}
	if err != nil && !errors.Is(err, client.ErrNotFound) {
		return err
	}
	return a.Client.Announce(ctx, n)
}
