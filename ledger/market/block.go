package market

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/ledger/record"
)

// MaxTicks is how many clocks run out in one block; match.Batch bounds what is
// cleared.
const MaxTicks = 2000

// Retry is how long a clock waits, in seconds, whose effect failed, such as a
// payment to an account that can't be paid.
const Retry = 3600

// DomainClear is the domain of the salt that draws between equal offers.
const DomainClear = "daulat/clear"

// EndBlock ends what is due, then clears open orders.
func (s *Store) EndBlock(ctx context.Context) error {
	if err := s.tick(ctx); err != nil {
		return fmt.Errorf("market clocks: %w", err)
	}
	if err := s.clear(ctx); err != nil {
		return fmt.Errorf("market clearing: %w", err)
	}
	return nil
}

// tick moves on what is due, oldest first. One that fails is left as it is and
// tried again later: it may neither stop the chain nor those behind it.
func (s *Store) tick(ctx context.Context) error {
	now := record.Time(ctx)
	due, err := s.due(ctx, now)
	if err != nil {
		return err
	}
	for _, key := range due {
		err := record.Atomic(ctx, func(ctx sdk.Context) error { return s.tickOne(ctx, key, now) })
		if err == nil {
			continue
		}
		sdk.UnwrapSDKContext(ctx).Logger().Error("market clock failed", "job", key.K3(), "error", err)
		record.Event(ctx, "clock_failed", "job", record.Number(key.K3()))
		if err := s.moveClock(ctx, key.K2(), key.K3(), key.K1(), now+Retry); err != nil {
			return err
		}
	}
	return nil
}

// due returns the oldest clocks that have run out.
func (s *Store) due(ctx context.Context, now uint64) (keys []clockKey, err error) {
	until := collections.NewPrefixUntilTripleRange[uint64, uint16, uint64](now)
	err = s.clocks.Walk(ctx, until, func(key clockKey) (bool, error) {
		keys = append(keys, key)
		return len(keys) == MaxTicks, nil
	})
	return keys, err
}

// tickOne moves on one order or session. Its clock may be one that was put off
// while a message moved it on; then nothing is due.
func (s *Store) tickOne(ctx context.Context, key clockKey, now uint64) error {
	if err := s.clocks.Remove(ctx, key); err != nil {
		return err
	}
	if key.K2() == clockOrder {
		return s.tickOrder(ctx, key.K3(), now)
	}
	before, err := s.session(ctx, key.K3())
	if err != nil {
		return err
	}
	after, payments, err := before.Tick(now)
	if err != nil {
		return err
	}
	return s.advance(ctx, before, after, payments)
}

func (s *Store) tickOrder(ctx context.Context, id, now uint64) error {
	before, err := s.order(ctx, id)
	if err != nil {
		return err
	}
	after, expired := before.Tick(now)
	if !expired {
		return nil
	}
	return s.closeOrder(ctx, before, after)
}

// clear matches a batch of open orders with offers.
func (s *Store) clear(ctx context.Context) error {
	if none, err := s.noneOpen(ctx); none || err != nil {
		return err
	}
	offers, err := s.freshOffers(ctx)
	if err != nil {
		return err
	}
	ids, err := s.batch(ctx, match.Batch(len(offers)))
	if err != nil {
		return err
	}
	orders := make([]job.Order, len(ids))
	byID := make(map[uint64]job.Order, len(ids))
	for i, id := range ids {
		if orders[i], err = s.order(ctx, id); err != nil {
			return err
		}
		byID[id] = orders[i]
	}
	windows, err := s.windows.Get(ctx)
	if err != nil {
		return err
	}
	matches, misses := match.Clear(orders, offers, salt(ctx))
	for _, m := range matches {
		if err := s.openSession(ctx, byID[m.Order], m.Offer, windows); err != nil {
			return err
		}
	}
	for _, m := range misses {
		if err := s.explain(ctx, byID[m.Order], m.Explanation); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) noneOpen(ctx context.Context) (none bool, err error) {
	none = true
	err = s.open.Walk(ctx, nil, func(uint64) (bool, error) {
		none = false
		return true, nil
	})
	return none, err
}

// freshOffers returns all offers with the slots that are in use.
func (s *Store) freshOffers(ctx context.Context) ([]match.Offer, error) {
	offers, err := s.registry.Offers(ctx)
	if err != nil {
		return nil, err
	}
	for i := range offers {
		if i > 0 && offers[i].Provider == offers[i-1].Provider {
			offers[i].Busy = offers[i-1].Busy
			continue
		}
		if offers[i].Busy, err = s.busyOf(ctx, offers[i].Provider); err != nil {
			return nil, err
		}
	}
	return offers, nil
}

// batch returns up to n open orders in a circle that starts after those of the
// batch before, so that orders which nobody serves can't keep others waiting.
func (s *Store) batch(ctx context.Context, n int) (ids []uint64, err error) {
	last, err := record.OrZero(s.cursor.Get(ctx))
	if err != nil {
		return nil, err
	}
	take := func(id uint64) (bool, error) {
		ids = append(ids, id)
		return len(ids) == n, nil
	}
	if err := s.open.Walk(ctx, new(collections.Range[uint64]).StartExclusive(last), take); err != nil {
		return nil, err
	}
	if len(ids) < n {
		if err := s.open.Walk(ctx, new(collections.Range[uint64]).EndInclusive(last), take); err != nil {
			return nil, err
		}
	}
	if len(ids) < n {
		return ids, nil // that was everything
	}
	return ids, s.cursor.Set(ctx, ids[n-1])
}

// salt draws between equal offers. The previous block's result enters, which
// no party of this batch chose alone.
func salt(ctx context.Context) canon.Hash {
	header := sdk.UnwrapSDKContext(ctx).BlockHeader()
	return canon.Digest(DomainClear, struct {
		Chain  string `cbor:"chain"`
		Height int64  `cbor:"height"`
		App    []byte `cbor:"app"`
	}{header.ChainID, header.Height, header.AppHash})
}

// openSession turns an order into a session with the windows of now.
func (s *Store) openSession(ctx context.Context, before job.Order, o match.Offer, w job.Windows) error {
	party := job.Party{Account: o.Provider, Key: o.Key, Price: o.Price}
	after, session, err := before.Match(party, record.Time(ctx))
	if err != nil {
		return err
	}
	if err := s.putOrder(ctx, before, after); err != nil {
		return err
	}
	record.Event(ctx, "order_matched", "order", record.Number(after.ID), "provider", session.Provider, "consumer", session.Consumer)
	return s.advance(ctx, job.Session{}, session.Freeze(w), nil)
}

// explain says why an order waits, if that has changed.
func (s *Store) explain(ctx context.Context, before job.Order, why string) error {
	if before.Explanation == why {
		return nil
	}
	after := before
	after.Explanation = why
	return s.putOrder(ctx, before, after)
}
