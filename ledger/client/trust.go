package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	cmtjson "github.com/cometbft/cometbft/libs/json"
	cmttypes "github.com/cometbft/cometbft/types"
)

// TrustingPeriod is how long a trusted header stays one. It is shorter than the
// time for which a validator's stake is bonded (21 days), so whoever signs a
// false header still has something to lose.
const TrustingPeriod = 14 * 24 * time.Hour

// Trust is what a verifier must know of a ledger beforehand, from an invite or
// a person: the header of one block, younger than TrustingPeriod. It must never
// come from the one whose claims are verified.
type Trust struct {
	ChainID     string
	GenesisHash string // SHA-256, hexadecimal: tells apart ledgers of one name to those who join
	Height      int64
	Hash        string // of the header at Height, hexadecimal
}

// String is CHAIN@GENESISHASH:HEIGHT:HEADERHASH, which ParseTrust reads.
func (t Trust) String() string {
	return fmt.Sprintf("%s@%s:%d:%s", t.ChainID, t.GenesisHash, t.Height, t.Hash)
}

var trustForm = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]{0,49})@([0-9a-f]{64}):([1-9][0-9]{0,18}):([0-9a-f]{64})$`)

// ParseTrust reads the one text form of a Trust.
func ParseTrust(text string) (Trust, error) {
	var parts []string
	if len(text) < 256 {
		parts = trustForm.FindStringSubmatch(strings.TrimSpace(text))
	}
	if parts == nil {
		return Trust{}, errors.New("a trust line has the form CHAIN@GENESISHASH:HEIGHT:HEADERHASH")
	}
	height, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		return Trust{}, errors.New("the height in a trust line does not fit 63 bits")
	}
	return Trust{ChainID: parts[1], GenesisHash: parts[2], Height: height, Hash: parts[4]}, nil
}

// Trust takes the node's word for its newest header. It is for those who run
// the node, to hand on to others.
func (c *Client) Trust(ctx context.Context) (Trust, error) {
	g, err := c.rpc.Genesis(ctx)
	if err != nil {
		return Trust{}, fmt.Errorf("ask ledger for its genesis: %w", err)
	}
	genesis, err := GenesisHash(g.Genesis)
	if err != nil {
		return Trust{}, err
	}
	height, err := committed(ctx, c.rpc)
	if err != nil {
		return Trust{}, err
	}
	commit, err := c.rpc.Commit(ctx, &height)
	if err != nil {
		return Trust{}, fmt.Errorf("ask ledger for header %d: %w", height, err)
	}
	return Trust{ChainID: c.chain, GenesisHash: genesis, Height: height, Hash: hex.EncodeToString(commit.Header.Hash())}, nil
}

// FirstTrust is the header of a ledger's first block, for those who founded it: they
// know the hash of its first validators and take no node's word. The genesis's hash
// is theirs as well.
func FirstTrust(ctx context.Context, rpc RPC, chain, genesis string, validators []byte) (Trust, error) {
	var trust Trust
	err := New(rpc, chain, nil).from(ctx, func(ctx context.Context, c *Client) (err error) {
		trust, err = c.firstTrust(ctx, genesis, validators)
		return err
	})
	return trust, err
}

func (c *Client) firstTrust(ctx context.Context, genesis string, validators []byte) (Trust, error) {
	first, err := c.lightBlock(ctx, 1)
	if err != nil {
		return Trust{}, err
	}
	if !bytes.Equal(first.ValidatorsHash, validators) {
		return Trust{}, fmt.Errorf("%w: those of its first block are others", ErrHeader)
	}
	if err := first.ValidateBasic(c.chain); err != nil { // the set has that hash
		return Trust{}, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	if err := first.ValidatorSet.VerifyCommitLight(c.chain, first.Commit.BlockID, 1, first.Commit); err != nil {
		return Trust{}, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	return Trust{ChainID: c.chain, GenesisHash: genesis, Height: 1, Hash: hex.EncodeToString(first.Hash())}, nil
}

// GenesisHash is the SHA-256 of a genesis document in compact JSON, in
// hexadecimal.
func GenesisHash(doc *cmttypes.GenesisDoc) (string, error) {
	raw, err := cmtjson.Marshal(doc)
	if err != nil {
		return "", fmt.Errorf("hash genesis: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return "", fmt.Errorf("hash genesis: %w", err)
	}
	sum := sha256.Sum256(compact.Bytes())
	return hex.EncodeToString(sum[:]), nil
}
