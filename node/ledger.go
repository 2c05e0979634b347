package node

import (
	"context"
	"errors"

	"daulat/compute/provider"
	"daulat/core/match"
	"daulat/core/receipt"
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

// Settle implements provider.Ledger and consumer.Ledger.
func (a account) Settle(ctx context.Context, all []receipt.Settlement) ([]error, error) {
	entries := make([]client.Settlement, len(all))
	for i, s := range all {
		entries[i] = client.Settlement(s)
	}
	return a.Client.Settle(ctx, entries)
}

// Addresses implements consumer.Ledger.
func (a account) Addresses(ctx context.Context, provider string) ([]string, error) {
	p, err := a.Provider(ctx, provider)
	return p.Addresses, err
}

// Now implements provider.Ledger and consumer.Ledger.
func (a account) Now(ctx context.Context) (uint64, error) {
	_, t, err := a.Status(ctx)
	return uint64(t.Unix()), err
}
