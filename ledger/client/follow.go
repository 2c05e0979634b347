package client

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cometbft/cometbft/light"
	cmtcrypto "github.com/cometbft/cometbft/proto/tendermint/crypto"
	rpctypes "github.com/cometbft/cometbft/rpc/jsonrpc/types"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/cosmos/cosmos-sdk/codec/address"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/cosmos/gogoproto/proto"

	"daulat/core/canon"
	"daulat/core/match"
	registrypb "daulat/gen/registry"
)

// maxLag is how far the newest header of a node may be behind this machine's
// clock. It is larger than the skew of a badly set clock.
const maxLag = 10 * time.Minute

// ErrLagging says that a node shows an old state, or that this machine's clock
// is wrong.
var ErrLagging = errors.New("the ledger node is behind, or this machine's clock is wrong")

// A follower is the light client of those whose node is a stranger's. It keeps
// the newest header that it verified.
type follower struct {
	trust Trust             // where it began
	keep  func(Trust) error // is told how far it came; may be nil
	now   func() time.Time
	floor atomic.Int64 // of the states that answer: a query sees what this client sent
	mu    sync.Mutex
	block *cmttypes.LightBlock // nil before the first use
}

// sent notes the block that took a transaction of the client's.
func (f *follower) sent(height int64) {
	if f == nil {
		return
	}
	for old := f.floor.Load(); old < height && !f.floor.CompareAndSwap(old, height); old = f.floor.Load() {
	}
}

// fork begins where f stands, and tells nobody how far it comes.
func (f *follower) fork() *follower {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return &follower{trust: f.trust, now: f.now, block: f.block}
}

// NewVerified is [New] for those who reach the ledger through a stranger. What
// money hangs on (sessions, what providers are and stand at, invites, what became of
// transactions that were sent) comes with a proof from trust on and is refused without; so does their absence. The rest is
// the node's word, and a lie in it costs time at the most. What is proven may be a block older
// than the newest state, but not than what the client sent. keep is
// told of newer headers that can take the place of trust; it may be nil.
func NewVerified(rpc RPC, trust Trust, signer Signer, keep func(Trust) error) *Client {
	c := New(rpc, trust.ChainID, signer)
	c.follower = &follower{trust: trust, keep: keep, now: time.Now}
	c.watcher.trusts = c.follower
	return c
}

// Follows reports whether the client takes no node's word.
func (c *Client) Follows() bool { return c.follower != nil }

// Current verifies the node's newest header, so that a node of another ledger, one
// that is far behind, and a trust line that is too old show before anything hangs
// on them.
func (c *Client) Current(ctx context.Context) error {
	_, err := c.tip(ctx)
	return err
}

// Tip is the height that Current verifies.
func (c *Client) Tip(ctx context.Context) (int64, error) {
	header, err := c.tip(ctx)
	if err != nil {
		return 0, err
	}
	return header.Height, nil
}

// tip is the node's newest header, verified.
func (c *Client) tip(ctx context.Context) (header *cmttypes.SignedHeader, err error) {
	err = c.from(ctx, func(ctx context.Context, c *Client) error {
		height, err := committed(ctx, c.rpc)
		if err == nil {
			header, err = c.advanceTold(ctx, height)
		}
		return err
	})
	return header, err
}

// verified returns the newest value that is proven under a key of a store, with
// the header that commits to it, and ErrNotFound where it is proven that nothing
// is there.
func (c *Client) verified(ctx context.Context, store string, key []byte) (value []byte, header *cmttypes.SignedHeader, err error) {
	err = c.from(ctx, func(ctx context.Context, c *Client) error {
		value, header, err = c.verifiedOf(ctx, store, key)
		if errors.Is(err, ErrNotFound) {
			return ownError{err} // no other node shows anything else
		}
		return err
	})
	return value, header, err
}

// verifiedOf is verified of one node.
func (c *Client) verifiedOf(ctx context.Context, store string, key []byte) ([]byte, *cmttypes.SignedHeader, error) {
	now, err := committed(ctx, c.rpc)
	if err != nil {
		return nil, nil, err
	}
	// The root of a state is in the header of the next block, so the newest state
	// of all has no proof yet. It is waited for where it matters.
	if now <= max(c.follower.floor.Load(), firstProof) {
		if now, err = c.WaitBlock(ctx, max(c.follower.floor.Load(), firstProof)); err != nil {
			return nil, nil, err
		}
	}
	value, header, err := c.verifiedAt(ctx, store, key, now)
	if !errors.Is(err, ErrNotFound) {
		return value, header, err
	}
	if now, err = c.WaitBlock(ctx, now); err != nil {
		return nil, nil, err
	}
	return c.verifiedAt(ctx, store, key, now)
}

// verifiedAt proves a value by the header of height or a later one.
func (c *Client) verifiedAt(ctx context.Context, store string, key []byte, height int64) ([]byte, *cmttypes.SignedHeader, error) {
	header, err := c.advanceTold(ctx, height)
	if err != nil {
		return nil, nil, err
	}
	value, proof, absent := c.proven(ctx, store, key, header.Height-1)
	if absent != nil && !errors.Is(absent, ErrNotFound) {
		return nil, nil, absent
	}
	var ops cmtcrypto.ProofOps
	if err := ops.Unmarshal(proof); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := verifyValue(&ops, header.AppHash, store, key, value); err != nil {
		if absent != nil && besideEmpty(&ops) {
			return nil, nil, absent
		}
		return nil, nil, fmt.Errorf("%w: %s of height %d", ErrState, store, header.Height-1)
	}
	return value, header, absent
}

// besideEmpty reports that a proof of absence rests on a record that is empty, beside
// which ICS-23 proves nothing: indexes are made of such, and the nonces of unordered
// transactions, right after the accounts. That something is not there is hearsay then.
func besideEmpty(ops *cmtcrypto.ProofOps) bool {
	if len(ops.Ops) == 0 {
		return false
	}
	op, err := storetypes.CommitmentOpDecoder(ops.Ops[0])
	if err != nil {
		return false
	}
	commitment, ok := op.(storetypes.CommitmentOp)
	if !ok || commitment.Proof.GetNonexist() == nil {
		return false
	}
	left, right := commitment.Proof.GetNonexist().GetLeft(), commitment.Proof.GetNonexist().GetRight()
	return left != nil && len(left.Value) == 0 || right != nil && len(right.Value) == 0
}

// verifiedProvider is a provider with its keys as they stood at the header's time.
func (c *Client) verifiedProvider(ctx context.Context, account string) (Provider, error) {
	value, header, err := c.verified(ctx, registryStore, accountKey(providerPrefix, account))
	if err != nil {
		return Provider{}, err
	}
	var w registrypb.Provider
	if err := proto.Unmarshal(value, &w); err != nil {
		return Provider{}, err
	}
	p, err := parseProvider(&w)
	b := match.Binding{Key: p.Key, Next: p.NextKey, From: p.KeyFrom}.At(uint64(header.Time.Unix()))
	p.Key, p.NextKey, p.KeyFrom = b.Key, b.Next, b.From
	return p, err
}

// verifiedNumber is the account's, where the SDK keeps it.
func (c *Client) verifiedNumber(ctx context.Context) (uint64, error) {
	key, err := address.NewBech32Codec(Prefix).StringToBytes(c.Account())
	if err != nil {
		return 0, err
	}
	value, _, err := c.verified(ctx, authtypes.StoreKey, append(slices.Clone(authtypes.AddressStoreKeyPrefix.Bytes()), key...))
	if err != nil {
		return 0, err
	}
	var packed codectypes.Any
	var a authtypes.BaseAccount // as that of everybody who has a key
	if err := proto.Unmarshal(value, &packed); err != nil {
		return 0, err
	}
	err = proto.Unmarshal(packed.Value, &a)
	return a.AccountNumber, err
}

// verifiedRecord reads a proven value that is canonical bytes.
func (c *Client) verifiedRecord(ctx context.Context, store string, key []byte, v any) error {
	data, _, err := c.verified(ctx, store, key)
	if err != nil {
		return err
	}
	return canon.Unmarshal(data, v)
}

// advance verifies the header of height, and returns it, or the newest verified
// one if that is later.
func (c *Client) advance(ctx context.Context, height int64) (*cmttypes.SignedHeader, error) {
	f := c.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.trust.Height
	if f.block != nil {
		before = f.block.Height
	}
	if err := c.extend(ctx, height); err != nil {
		return nil, err
	}
	if old := f.now().Sub(f.block.Time); old > maxLag {
		return nil, fmt.Errorf("%w: its newest block is of %s, %s ago by this clock", ErrLagging, f.block.Time.UTC().Format(time.RFC3339), old.Round(time.Second))
	}
	if f.keep != nil && f.block.Height > before {
		newer := f.trust
		newer.Height, newer.Hash = f.block.Height, hex.EncodeToString(f.block.Hash())
		if err := f.keep(newer); err != nil {
			return nil, ownError{err}
		}
	}
	return f.block.SignedHeader, nil
}

// advanceTold is advance to the height that the node told just now: if it refuses to
// show the header, it made the height up.
func (c *Client) advanceTold(ctx context.Context, height int64) (*cmttypes.SignedHeader, error) {
	header, err := c.advance(ctx, height)
	if errors.As(err, new(targetError)) && errors.As(err, new(*rpctypes.RPCError)) {
		return nil, fmt.Errorf("%w: %d", ErrHeight, height) // the library's words help nobody
	}
	return header, err
}

// verify is advance for what may be old: it asks nothing but that headers are signed.
func (c *Client) verify(ctx context.Context, height int64) (*cmttypes.SignedHeader, error) {
	f := c.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := c.extend(ctx, height); err != nil {
		return nil, err
	}
	return f.block.SignedHeader, nil
}

// extend makes the header of height the follower's newest unless a later one is. The
// follower is locked.
func (c *Client) extend(ctx context.Context, height int64) error {
	f := c.follower
	if f.block == nil {
		root, err := c.trusted(ctx)
		if err != nil {
			return err
		}
		f.block = root
	}
	now := f.now()
	if light.HeaderExpired(f.block.SignedHeader, TrustingPeriod, now) {
		return ErrStale
	}
	path, err := c.path(ctx, f.block, height, now)
	if err != nil {
		return err
	}
	if len(path) > 0 {
		f.block = path[len(path)-1]
	}
	return nil
}

// trusted asks for the header that is trusted by its hash.
func (c *Client) trusted(ctx context.Context) (*cmttypes.LightBlock, error) {
	trust := c.follower.trust
	root, err := c.lightBlock(ctx, trust.Height)
	if err != nil {
		return nil, err
	}
	return root, isTrusted(trust, root)
}
