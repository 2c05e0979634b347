package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/light"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	cmttypes "github.com/cometbft/cometbft/types"

	"daulat/core/canon"
)

// firstProof is the lowest height whose state the node proves.
const firstProof = 2

// ProveSession collects what [VerifySession] needs to see, from a header
// trusted at height from, that the ledger stores a session: headers from there
// to the newest, as few as the change of validators allows, and the path from
// the session's record to the state's root. The record is what a query at the
// time of the call tells, or newer; the proof takes one more block.
func (c *Client) ProveSession(ctx context.Context, id uint64, from int64) ([]byte, error) {
	var proof []byte
	err := c.from(ctx, func(ctx context.Context, c *Client) (err error) {
		proof, err = c.proveSession(ctx, id, from)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("prove session %d: %w", id, err)
	}
	return proof, nil
}

func (c *Client) proveSession(ctx context.Context, id uint64, from int64) ([]byte, error) {
	if from < 1 {
		return nil, fmt.Errorf("height %d has no header", from)
	}
	now, err := committed(ctx, c.rpc)
	if err != nil {
		return nil, err
	}
	// The root of today's state is in the header of the next block.
	height, err := c.WaitBlock(ctx, max(now, from-1, firstProof))
	if err != nil {
		return nil, err
	}
	p := sessionProof{Version: canon.Version}
	if p.Record, p.Proof, err = c.proven(ctx, marketStore, sessionKey(id), height-1); err != nil {
		return nil, err
	}
	root, err := c.lightBlock(ctx, from)
	if err != nil {
		return nil, err
	}
	if p.Root, err = encodeBlock(root); err != nil {
		return nil, err
	}
	path, err := c.path(ctx, root, height, time.Time{})
	if err != nil {
		return nil, err
	}
	for _, block := range path {
		data, err := encodeBlock(block)
		if err != nil {
			return nil, err
		}
		p.Path = append(p.Path, data)
	}
	return canon.Marshal(p)
}

// proven returns what a store holds under a key in the state after a height, and
// its proof; for ErrNotFound, too.
func (c *Client) proven(ctx context.Context, store string, key []byte, height int64) (value, proof []byte, err error) {
	r, err := c.rpc.ABCIQueryWithOptions(ctx, "/store/"+store+"/key", key,
		rpcclient.ABCIQueryOptions{Height: height, Prove: true})
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("ask ledger for proof: %w", err)
	case r.Response.Code != 0:
		return nil, nil, refused(r.Response.Codespace, r.Response.Code, r.Response.Log)
	case r.Response.ProofOps == nil:
		return nil, nil, errors.New("the node gave no proof")
	}
	proof, err = r.Response.ProofOps.Marshal()
	if err == nil && len(r.Response.Value) == 0 {
		err = ErrNotFound
	}
	return r.Response.Value, proof, err
}

// path finds light blocks from root, exclusive, to target, inclusive, each
// verified by the one before. Where too many validators changed in between, it
// goes halfway first. now is the verifier's time; zero stands for that of target.
func (c *Client) path(ctx context.Context, root *cmttypes.LightBlock, target int64, now time.Time) ([]*cmttypes.LightBlock, error) {
	if target <= root.Height {
		return nil, nil
	}
	last, err := c.lightBlock(ctx, target)
	if err != nil {
		return nil, targetError{err}
	}
	if now.IsZero() {
		now = last.Time
	}
	var path []*cmttypes.LightBlock
	verified, ahead := root, []*cmttypes.LightBlock{last}
	for len(ahead) > 0 {
		next := ahead[len(ahead)-1]
		err := verifyBlock(verified, next, now)
		if halfway := (verified.Height + next.Height) / 2; errors.As(err, &light.ErrNewValSetCantBeTrusted{}) && halfway > verified.Height {
			if next, err = c.lightBlock(ctx, halfway); err != nil {
				return nil, err
			}
			ahead = append(ahead, next)
			continue
		}
		if err != nil {
			return nil, err
		}
		path, verified, ahead = append(path, next), next, ahead[:len(ahead)-1]
		if len(path) > maxPath {
			return nil, fmt.Errorf("validators changed too often since height %d: use a newer trust line", root.Height)
		}
	}
	return path, nil
}

// targetError is of the header to which a path shall lead, and of none before, which a
// node need not keep.
type targetError struct{ error }

func (e targetError) Unwrap() error { return e.error }

// lightBlock asks for a signed header and all its validators.
func (c *Client) lightBlock(ctx context.Context, height int64) (*cmttypes.LightBlock, error) {
	commit, err := c.rpc.Commit(ctx, &height)
	if err != nil {
		return nil, fmt.Errorf("ask ledger for header %d: %w", height, err)
	}
	if commit.Header == nil || commit.Commit == nil {
		return nil, fmt.Errorf("%w: %w: height %d lacks header or signatures", ErrHeader, ErrMalformed, height)
	}
	var all []*cmttypes.Validator
	for page, size := 1, 100; ; page++ {
		r, err := c.rpc.Validators(ctx, &height, &page, &size)
		if err != nil {
			return nil, fmt.Errorf("ask ledger for validators of height %d: %w", height, err)
		}
		all = append(all, r.Validators...)
		if len(all) >= r.Total || len(r.Validators) == 0 {
			break
		}
		if len(all) > maxSigners {
			return nil, fmt.Errorf("height %d has more than %d validators", height, maxSigners)
		}
	}
	if !soundKeys(all) {
		return nil, fmt.Errorf("%w: height %d has validators without a key or twice", ErrMalformed, height)
	}
	validators, err := cmttypes.ValidatorSetFromExistingValidators(all)
	if err != nil {
		return nil, fmt.Errorf("validators of height %d: %w", height, err)
	}
	return &cmttypes.LightBlock{SignedHeader: &commit.SignedHeader, ValidatorSet: validators}, nil
}

// soundKeys reports whether each validator has an Ed25519 key of its own: in JSON a
// node can send others, and the library panics.
func soundKeys(all []*cmttypes.Validator) bool {
	seen := map[string]bool{}
	for _, v := range all {
		if v == nil {
			return false
		}
		key, ok := v.PubKey.(ed25519.PubKey)
		if !ok || len(key) != ed25519.PubKeySize || seen[string(key)] {
			return false
		}
		seen[string(key)] = true
	}
	return true
}

func encodeBlock(b *cmttypes.LightBlock) ([]byte, error) {
	p, err := b.ToProto()
	if err != nil {
		return nil, err
	}
	return p.Marshal()
}
