// Package client speaks to a ledger node: it signs and sends transactions,
// waits until they are in a block, asks for state, and proves state to those
// who trust no node.
//
// Guarantees: a call that returns without error is in a committed block, and a
// query after it sees its effect; concurrent calls of one account never get in
// each other's way, since transactions are unordered; a call that returns an
// error says in the ledger's words what was wrong; a node cannot make
// [VerifySession] accept what the ledger never stored.
//
// Start at [New] over a node in this process, or [Dial] for one elsewhere. Keys
// come from a [Keyring]. A [Trust] is what a verifier must know beforehand.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	cmtbytes "github.com/cometbft/cometbft/libs/bytes"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	rpchttp "github.com/cometbft/cometbft/rpc/client/http"
	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	jsonrpc "github.com/cometbft/cometbft/rpc/jsonrpc/client"
	cmttypes "github.com/cometbft/cometbft/types"
	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
)

// The ledger's coin and the start of its addresses.
const (
	Denom  = "udlt"
	Prefix = "daulat"
)

// RPC is what a Client needs of a node. CometBFT's local and HTTP clients fit.
type RPC interface {
	ABCIInfo(ctx context.Context) (*ctypes.ResultABCIInfo, error)
	ABCIQueryWithOptions(ctx context.Context, path string, data cmtbytes.HexBytes,
		opts rpcclient.ABCIQueryOptions) (*ctypes.ResultABCIQuery, error)
	BroadcastTxSync(ctx context.Context, tx cmttypes.Tx) (*ctypes.ResultBroadcastTx, error)
	Block(ctx context.Context, height *int64) (*ctypes.ResultBlock, error)
	BlockResults(ctx context.Context, height *int64) (*ctypes.ResultBlockResults, error)
	Commit(ctx context.Context, height *int64) (*ctypes.ResultCommit, error)
	Validators(ctx context.Context, height *int64, page, perPage *int) (*ctypes.ResultValidators, error)
	Status(ctx context.Context) (*ctypes.ResultStatus, error)
	Genesis(ctx context.Context) (*ctypes.ResultGenesis, error)
}

// Signer is an account that signs.
type Signer interface {
	Account() string // address
	PublicKey() cryptotypes.PubKey
	Sign(message []byte) ([]byte, error)
}

// Client is one account's way to the ledger. It is safe for concurrent use.
type Client struct {
	rpc      RPC
	chain    string
	signer   Signer
	watcher  watcher
	account  accountNumber
	follower *follower // nil if the node is trusted
}

// New makes a client of the ledger called chain. signer may be nil for a
// client that only asks.
func New(rpc RPC, chain string, signer Signer) *Client {
	return &Client{rpc: rpc, chain: chain, signer: signer, watcher: watcher{rpc: rpc}}
}

// Limits of an HTTP connection to a node, which may be a stranger's.
const (
	maxAnswer  = 32 << 20 // bytes
	httpPeriod = 30 * time.Second
)

// Dial returns the RPC of a node elsewhere, at an address such as
// tcp://127.0.0.1:26657. It does not connect yet.
func Dial(address string) (RPC, error) {
	h, err := jsonrpc.DefaultHTTPClient(address)
	if err != nil {
		return nil, fmt.Errorf("ledger node %s: %w", address, err)
	}
	h.Transport, h.Timeout = boundedTransport{h.Transport}, httpPeriod
	rpc, err := rpchttp.NewWithClient(address, "/websocket", h)
	if err != nil {
		return nil, fmt.Errorf("ledger node %s: %w", address, err)
	}
	return rpc, nil
}

// Over returns the RPC of a node that is reached over connections of dial's, on
// which it speaks HTTP.
func Over(dial func(context.Context) (net.Conn, error)) (RPC, error) {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, dialError{err}
			}
			return c, nil
		},
		IdleConnTimeout: httpPeriod,
	}
	rpc, err := rpchttp.NewWithClient("http://localhost", "/websocket", &http.Client{Transport: boundedTransport{repeating{t}}, Timeout: httpPeriod})
	if err != nil {
		return nil, fmt.Errorf("ledger node: %w", err)
	}
	return rpc, nil
}

// repeating makes a call again, once, if the connection broke under it: this machine
// may have moved. No call does harm twice, as a transaction counts once.
type repeating struct{ http.RoundTripper }

func (t repeating) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	var unreached dialError
	if err == nil || r.Context().Err() != nil || r.GetBody == nil || errors.As(err, &unreached) {
		return answer, err
	}
	again := r.Clone(r.Context())
	if again.Body, err = r.GetBody(); err != nil {
		return nil, err
	}
	return t.RoundTripper.RoundTrip(again)
}

// dialError says that no connection was made at all.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// boundedTransport cuts answers off, as the library reads them whole.
type boundedTransport struct{ http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body := answer.Body
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(body, maxAnswer), body}
	return answer, nil
}

// ErrReadOnly says that a client without a signer was asked to sign.
var ErrReadOnly = errors.New("client has no account to sign with")

// Account is the address that the client signs for, empty if it only asks.
func (c *Client) Account() string {
	if c.signer == nil {
		return ""
	}
	return c.signer.Account()
}

// ChainID names the ledger.
func (c *Client) ChainID() string { return c.chain }

// Status returns the height and time of the newest block.
func (c *Client) Status(ctx context.Context) (height int64, blockTime time.Time, err error) {
	s, err := c.rpc.Status(ctx)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("ask ledger for status: %w", err)
	}
	if s.NodeInfo.Network != c.chain {
		return 0, time.Time{}, fmt.Errorf("the node belongs to ledger %q, not %q", s.NodeInfo.Network, c.chain)
	}
	return s.SyncInfo.LatestBlockHeight, s.SyncInfo.LatestBlockTime, nil
}

// poll is the pause between two looks for a new block.
const poll = 10 * time.Millisecond

// WaitBlock returns the newest height whose state is committed, once it is
// greater than after.
func (c *Client) WaitBlock(ctx context.Context, after int64) (height int64, err error) {
	err = c.from(ctx, func(ctx context.Context, c *Client) error {
		height, err = c.waitBlock(ctx, after)
		return err
	})
	return height, err
}

// NextBlock returns when there is one more block than now.
func (c *Client) NextBlock(ctx context.Context) error {
	return c.from(ctx, func(ctx context.Context, c *Client) error {
		now, err := committed(ctx, c.rpc)
		if err == nil {
			_, err = c.waitBlock(ctx, now)
		}
		return err
	})
}

func (c *Client) waitBlock(ctx context.Context, after int64) (int64, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		height, err := committed(ctx, c.rpc)
		if err != nil || height > after {
			return height, err
		}
		select {
		case <-ctx.Done():
			return height, fmt.Errorf("wait for block %d: %w", after+1, ctx.Err())
		case <-tick.C:
		}
	}
}

// committed is the newest height at which queries are answered. A block is
// known a little earlier.
func committed(ctx context.Context, rpc RPC) (int64, error) {
	info, err := rpc.ABCIInfo(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask ledger for its height: %w", err)
	}
	return info.Response.LastBlockHeight, nil
}
