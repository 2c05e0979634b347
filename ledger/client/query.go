package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	errorsmod "cosmossdk.io/errors"
	abci "github.com/cometbft/cometbft/abci/types"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	sdkquery "github.com/cosmos/cosmos-sdk/types/query"
	"github.com/cosmos/gogoproto/proto"

	"daulat/core/canon"
)

// ErrNotFound says that the ledger has nothing under that name.
var ErrNotFound = errors.New("not on the ledger")

// query calls a gRPC method of the node through ABCI.
func (c *Client) query(ctx context.Context, method string, request, answer proto.Message) error {
	data, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	value, err := c.ask(ctx, method, data)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(value, answer); err != nil {
		return fmt.Errorf("read answer of %s: %w", method, err)
	}
	return nil
}

// While a node commits a block it may for a moment have no newest state to answer from:
// it is asked again, a few times.
const (
	commitTries = 4
	commitPause = 50 * time.Millisecond
)

func (c *Client) ask(ctx context.Context, path string, data []byte) ([]byte, error) {
	for try := 1; ; try++ {
		r, err := c.rpc.ABCIQueryWithOptions(ctx, path, data, rpcclient.DefaultABCIQueryOptions)
		if err != nil {
			return nil, fmt.Errorf("ask ledger: %w", err)
		}
		switch q := r.Response; {
		case q.Code == 0:
			return q.Value, nil
		case failed(q, sdkerrors.ErrKeyNotFound):
			return nil, fmt.Errorf("%w: %s", ErrNotFound, q.Log)
		case !failed(q, sdkerrors.ErrInvalidHeight) || try == commitTries:
			return nil, refused(q.Codespace, q.Code, q.Log)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(commitPause):
		}
	}
}

func failed(q abci.ResponseQuery, with *errorsmod.Error) bool {
	return q.Codespace == with.Codespace() && q.Code == with.ABCICode()
}

// Bounds of a list: entries per question, and in all.
const (
	pageSize  = 100
	maxListed = 100_000
)

// list collects the pages of a question. fetch asks for one and returns its
// entries and where the next starts.
func list[T any](fetch func(*sdkquery.PageRequest) ([]T, *sdkquery.PageResponse, error)) ([]T, error) {
	var all []T
	page := &sdkquery.PageRequest{Limit: pageSize}
	for {
		part, next, err := fetch(page)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if next == nil || len(next.NextKey) == 0 {
			return all, nil
		}
		if len(all) > maxListed {
			return nil, fmt.Errorf("the ledger lists more than %d entries", maxListed)
		}
		page.Key = next.NextKey
	}
}

// Where modules keep what is proven: the store's name, and a key of one byte and
// either a number in big-endian order or an account's address.
const (
	marketStore    = "market"
	sessionPrefix  = 0x02
	standingPrefix = 0x0c

	registryStore  = "registry"
	providerPrefix = 0x01
	offerPrefix    = 0x03
)

func sessionKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{sessionPrefix}, id)
}

func accountKey(prefix byte, account string) []byte { return append([]byte{prefix}, account...) }

func offerKey(account string, model canon.CID) []byte {
	return append(append(accountKey(offerPrefix, account), 0), model.String()...)
}

// SessionRecord returns a session as the ledger stores it: the canonical bytes
// of a job.Session.
func (c *Client) SessionRecord(ctx context.Context, id uint64) ([]byte, error) {
	record, err := c.ask(ctx, "/store/"+marketStore+"/key", sessionKey(id))
	if err == nil && len(record) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("record of session %d: %w", id, err)
	}
	return record, nil
}
