package main

import (
	"context"
	"sync/atomic"

	"daulat/bench/report"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/ledger/client"
)

// account is one account's view of the ledger, and counts every use of it. A
// provider's queries count apart: it looks at its sessions once a second,
// whatever is asked.
type account struct {
	client     *client.Client
	background bool
	writes     atomic.Int64
	reads      atomic.Int64
}

func (a *account) stats() stats {
	s := stats{CPU: report.CPU(), Calls: int(a.writes.Load())}
	if a.background {
		s.Background = int(a.reads.Load())
	} else {
		s.Calls += int(a.reads.Load())
	}
	return s
}

func (a *account) write() *client.Client { a.writes.Add(1); return a.client }
func (a *account) read() *client.Client  { a.reads.Add(1); return a.client }

func (a *account) ChainID() string { return a.client.ChainID() }
func (a *account) Account() string { return a.client.Account() }

func (a *account) Announce(ctx context.Context, n match.Announcement) error {
	return a.write().Announce(ctx, n)
}

func (a *account) WithdrawOffer(ctx context.Context, model canon.CID) error {
	return a.write().WithdrawOffer(ctx, model)
}

func (a *account) Offered(ctx context.Context, model canon.CID) (bool, error) {
	return a.read().Offered(ctx, model)
}

func (a *account) PlaceOrder(ctx context.Context, key canon.PublicKey, t job.Terms) (uint64, error) {
	return a.write().PlaceOrder(ctx, key, t)
}

func (a *account) CancelOrder(ctx context.Context, order uint64) error {
	return a.write().CancelOrder(ctx, order)
}

func (a *account) CloseSession(ctx context.Context, id uint64) error {
	return a.write().CloseSession(ctx, id)
}

func (a *account) Settle(ctx context.Context, all []receipt.Settlement) ([]error, error) {
	return a.write().Settle(ctx, all)
}

func (a *account) Complain(ctx context.Context, session, seq uint64, r receipt.Signed, evidence canon.Hash) error {
	return a.write().Complain(ctx, session, seq, r, evidence)
}

func (a *account) Order(ctx context.Context, id uint64) (job.Order, error) {
	return a.read().Order(ctx, id)
}

func (a *account) Session(ctx context.Context, id uint64) (job.Session, error) {
	return a.read().Session(ctx, id)
}

func (a *account) Sessions(ctx context.Context, party string, state job.SessionState) ([]job.Session, error) {
	return a.read().Sessions(ctx, party, state)
}

func (a *account) Stake(ctx context.Context, provider string) (uint64, error) {
	return a.read().Stake(ctx, provider)
}

func (a *account) Addresses(ctx context.Context, provider string) ([]string, error) {
	return a.read().Addresses(ctx, provider)
}

func (a *account) Market(ctx context.Context, model canon.CID) ([]match.Candidate, error) {
	return a.read().Market(ctx, model)
}

func (a *account) Purse(ctx context.Context) (uint64, error) {
	return a.read().Purse(ctx)
}

func (a *account) Now(ctx context.Context) (uint64, error) {
	return a.read().Now(ctx)
}
