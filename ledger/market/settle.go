package market

import (
	"context"
	"errors"
	"fmt"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"daulat/core/job"
	pb "daulat/gen/market"
	"daulat/ledger/coins"
	"daulat/ledger/record"
)

// MaxEntries is the most pairs that one Settle message brings. More gain nothing
// (bench/settle.md), and take a block that others need.
const MaxEntries = 100

// What settling is charged for is the time that it takes on two processors
// (bench/settle.md), at the 8 to 10 ns of a unit of gas elsewhere. By reads and writes
// it would seem several times as long, and a block would hold that much less of what
// the ledger is for.
const (
	entryGas storetypes.Gas = 8_000  // a pair: two signatures and a stored session; its bytes are some 4,000 more
	finalGas storetypes.Gas = 80_000 // a session that ends besides: its escrow is split and paid back
)

// Settle brings the newest pairs of many sessions. Each entry applies in full
// or not at all, and its result says which. What is the same whatever comes
// before an entry is found out for all of them first, and paid for before that;
// then they apply one by one, in their order.
func (s server) Settle(ctx context.Context, m *pb.MsgSettle) (*pb.MsgSettleResponse, error) {
	sender, err := record.Account(s.addresses, m.Sender)
	if err != nil {
		return nil, refuse(err)
	}
	if len(m.Entries) == 0 || len(m.Entries) > MaxEntries {
		return nil, refuse(fmt.Errorf("settle: must bring 1 to %d entries", MaxEntries))
	}
	c := sdk.UnwrapSDKContext(ctx)
	c.GasMeter().ConsumeGas(entryGas*storetypes.Gas(len(m.Entries)), "pairs")
	ctx = c.WithGasMeter(storetypes.NewInfiniteGasMeter())
	claims := s.claims(ctx, m.Entries)
	checkAll(c.ChainID(), claims)
	results, now := make([]pb.EntryResult, len(claims)), record.Time(ctx)
	for i := range claims {
		before := claims[i].state()
		results[i] = s.settle(ctx, sender, &claims[i], now)
		if claims[i].state() != before {
			c.GasMeter().ConsumeGas(finalGas, "session that ends")
		}
	}
	return &pb.MsgSettleResponse{Results: results}, nil
}

// claim is an entry of a message and what is found out about it.
type claim struct {
	wire     *pb.Entry
	session  *job.Session // shared by all entries that name it
	revoked  bool         // its provider key, which no entry changes
	pair     job.Sound
	err      error
	panicked any
}

// state of the claim's session, if there is one.
func (c *claim) state() job.SessionState {
	if c.session == nil {
		return ""
	}
	return c.session.State
}

// claims reads the sessions that entries name, and what became of their keys,
// each once.
func (s server) claims(ctx context.Context, entries []pb.Entry) []claim {
	all, known := make([]claim, len(entries)), make(map[uint64]int, len(entries))
	for i := range entries {
		c := &all[i]
		c.wire = &entries[i]
		if first, ok := known[c.wire.Session]; ok {
			c.session, c.revoked, c.err = all[first].session, all[first].revoked, all[first].err
			continue
		}
		known[c.wire.Session] = i
		session, err := s.session(ctx, c.wire.Session)
		if c.err = err; err == nil {
			c.session = &session
			c.revoked, c.err = s.registry.Revoked(ctx, session.ProviderKey)
		}
	}
	return all
}

// check reads the entry and verifies its signatures, unless it is refused
// already. It is a function of the message and of what the session froze when it
// opened, which no other entry changes. A panic is kept, as this may run on a
// goroutine, where nobody would catch it.
func (c *claim) check(chain string) {
	defer func() { c.panicked = recover() }()
	if c.err != nil {
		return
	}
	entry, err := parseEntry(c.wire)
	if err == nil {
		c.pair, err = c.session.Check(chain, entry)
	}
	c.err = err
}

// settle applies an entry that was checked.
func (s server) settle(ctx context.Context, sender string, c *claim, now uint64) pb.EntryResult {
	result := pb.EntryResult{Session: c.wire.Session}
	result.State = string(c.state())
	err := c.err
	if err == nil {
		err = s.record(ctx, sender, c, now)
	}
	if err != nil {
		result.Error = entryError(err)
		return result
	}
	result.State = string(c.session.State)
	return result
}

// record saves what becomes of the session, for later entries too.
func (s server) record(ctx context.Context, sender string, c *claim, now uint64) error {
	after, payments, err := c.session.Record(sender, c.pair, c.revoked, c.wire.Close, now)
	if err != nil {
		return err
	}
	if after.State == c.session.State { // a single write, which needs no branch to apply in full
		err = s.putSession(ctx, *c.session, after)
	} else {
		err = record.Atomic(ctx, func(ctx sdk.Context) error { return s.advance(ctx, *c.session, after, payments) })
	}
	if err == nil {
		*c.session = after
	}
	return err
}

// entryError is the text for an entry's result. What the bank said is left out,
// since the text becomes part of the block's result.
func entryError(err error) string {
	if errors.Is(err, coins.ErrPayment) {
		return coins.ErrPayment.Error()
	}
	return err.Error()
}
