package invite

import (
	"context"
	"encoding/hex"
	"fmt"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"daulat/core/canon"
	"daulat/ledger/record"
)

// MaxTicks bounds the clocks that run out in one block.
const MaxTicks = 500

// Retry is how long a clock waits, in seconds, whose effect failed, such as a
// refund to an account that can't be paid.
const Retry = 3600

// EndBlock gives the grants of invites back whose time is over, oldest first.
// One that fails is left as it is and tried again later: it may neither stop the
// chain nor those behind it.
func (s *Store) EndBlock(ctx context.Context) error {
	now := record.Time(ctx)
	due, err := s.due(ctx, now)
	if err != nil {
		return fmt.Errorf("invite clocks: %w", err)
	}
	for _, key := range due {
		if err := s.clocks.Remove(ctx, key); err != nil {
			return fmt.Errorf("invite clocks: %w", err)
		}
		err := record.Atomic(ctx, func(ctx sdk.Context) error { return s.tick(ctx, key.K2(), now) })
		if err == nil {
			continue
		}
		name := hex.EncodeToString(key.K2())
		sdk.UnwrapSDKContext(ctx).Logger().Error("invite clock failed", "invite", name, "error", err)
		record.Event(ctx, "clock_failed", "invite", name)
		if err := s.clocks.Set(ctx, collections.Join(now+Retry, key.K2())); err != nil {
			return fmt.Errorf("invite clocks: %w", err)
		}
	}
	return nil
}

// due returns the oldest clocks that have run out.
func (s *Store) due(ctx context.Context, now uint64) (keys []clockKey, err error) {
	until := collections.NewPrefixUntilPairRange[uint64, []byte](now)
	err = s.clocks.Walk(ctx, until, func(key clockKey) (bool, error) {
		keys = append(keys, key)
		return len(keys) == MaxTicks, nil
	})
	return keys, err
}

// tick ends one invite. Its clock may be one that was put off while a message
// ended it; then nothing is due.
func (s *Store) tick(ctx context.Context, key []byte, now uint64) error {
	before, err := s.invite(ctx, canon.PublicKey(key))
	if err != nil {
		return err
	}
	after, expired := before.Tick(now)
	if !expired {
		return nil
	}
	return s.end(ctx, before, after)
}
