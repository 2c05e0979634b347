package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	cmttypes "github.com/cometbft/cometbft/types"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/cosmos/gogoproto/proto"
)

// Transactions are unordered: each carries a timeout in block time, which with
// the sender is its nonce, and no sequence number. So callers in any number of
// goroutines and processes share one account without a lock, nothing is lost
// when one transaction of several fails, and after its timeout a transaction
// that did not get in never will: every outcome is known.

// ttl is how long a transaction may wait for a block, in block time. The ledger
// allows ten minutes.
const ttl = time.Minute

// Gas is what a dry run used, and then some: state may have changed by the time
// that the transaction runs.
const (
	gasFactor = 150 // percent
	gasExtra  = 30_000
)

// A TxError is the ledger's refusal of a transaction, which changed nothing.
type TxError struct {
	Codespace string
	Code      uint32
	Log       string // a sentence
}

func (e *TxError) Error() string { return e.Log }

// Unfunded reports that the ledger refused since an account has too few coins.
func Unfunded(err error) bool {
	var refusal *TxError
	return errors.As(err, &refusal) && refusal.Codespace == sdkerrors.RootCodespace && refusal.Code == sdkerrors.ErrInsufficientFunds.ABCICode()
}

// ErrExpired says that a transaction found no block before its timeout, and
// never will.
var ErrExpired = errors.New("transaction expired before it was in a block")

// ErrHalted says that the node makes no blocks any more, so nothing that is sent
// to it will ever be in one.
var ErrHalted = errors.New("the ledger has stopped")

// ErrNoAccount says that an account is not on the ledger, as it never got a
// coin.
var ErrNoAccount = errors.New("account is not on the ledger yet: it needs a coin first")

// accountNumber is part of what is signed. It never changes.
type accountNumber struct {
	sync.Mutex
	known  bool
	number uint64
}

// send signs msgs and returns when they are in a committed block. answer, if not
// nil, gets the only message's response. A transaction that expired is tried once more: the first
// block after a halt is much later than the one before.
func (c *Client) send(ctx context.Context, answer proto.Message, msgs ...sdk.Msg) error {
	if c.signer == nil {
		return ErrReadOnly
	}
	err := c.trySend(ctx, answer, msgs...)
	if errors.Is(err, ErrExpired) {
		err = c.trySend(ctx, answer, msgs...)
	}
	return err
}

func (c *Client) trySend(ctx context.Context, answer proto.Message, msgs ...sdk.Msg) error {
	number, err := c.number(ctx)
	if err != nil {
		return err
	}
	height, now, err := c.present(ctx)
	if err != nil {
		return err
	}
	timeout, err := draw(now)
	if err != nil {
		return err
	}
	raw, err := c.signed(ctx, msgs, number, timeout)
	if err != nil {
		return err
	}
	return c.deliver(ctx, raw, height, timeout, answer)
}

func (c *Client) number(ctx context.Context) (uint64, error) {
	c.account.Lock()
	defer c.account.Unlock()
	if c.account.known {
		return c.account.number, nil
	}
	number, err := c.askNumber(ctx)
	if errors.Is(err, ErrNotFound) {
		return 0, fmt.Errorf("%s: %w", c.Account(), ErrNoAccount)
	}
	if err != nil {
		return 0, err
	}
	c.account.known, c.account.number = true, number
	return number, nil
}

func (c *Client) askNumber(ctx context.Context) (uint64, error) {
	if c.follower != nil {
		return c.verifiedNumber(ctx)
	}
	var info authtypes.QueryAccountInfoResponse
	if err := c.query(ctx, "/cosmos.auth.v1beta1.Query/AccountInfo", &authtypes.QueryAccountInfoRequest{Address: c.Account()}, &info); err != nil {
		return 0, err
	}
	return info.Info.GetAccountNumber(), nil
}

// Registered reports whether the account is on the ledger: proven if the client is
// verified, else as the node tells it.
func (c *Client) Registered(ctx context.Context) (bool, error) {
	_, err := c.number(ctx)
	if errors.Is(err, ErrNoAccount) {
		return false, nil
	}
	return err == nil, err
}

// present is the height after which a transaction is looked for, and the block
// time. A node that said too much of them would have it looked for in vain.
func (c *Client) present(ctx context.Context) (int64, time.Time, error) {
	if c.follower == nil {
		return c.Status(ctx)
	}
	header, err := c.tip(ctx)
	if err != nil {
		return 0, time.Time{}, err
	}
	return header.Height, header.Time, nil
}

// draw picks a timeout that no other transaction of the account has: at random
// among 6·10¹⁰ nanoseconds.
func draw(now time.Time) (time.Time, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return time.Time{}, err
	}
	return now.Add(ttl + time.Duration(binary.LittleEndian.Uint64(random[:])%uint64(ttl))).UTC(), nil
}

// signed returns the transaction's bytes, with the gas that a dry run wants.
func (c *Client) signed(ctx context.Context, msgs []sdk.Msg, number uint64, timeout time.Time) ([]byte, error) {
	packed := make([]*codectypes.Any, len(msgs))
	for i, m := range msgs {
		var err error
		if packed[i], err = codectypes.NewAnyWithValue(m); err != nil {
			return nil, err
		}
	}
	body, err := proto.Marshal(&txtypes.TxBody{Messages: packed, Unordered: true, TimeoutTimestamp: &timeout})
	if err != nil {
		return nil, err
	}
	trial, err := c.envelope(body, 0, func([]byte) ([]byte, error) { return nil, nil }, number)
	if err != nil {
		return nil, err
	}
	gas, err := c.simulate(ctx, trial)
	if err != nil {
		return nil, err
	}
	return c.envelope(body, gas*gasFactor/100+gasExtra, c.signer.Sign, number)
}

// envelope signs directly over the bytes of body and fee (SIGN_MODE_DIRECT).
func (c *Client) envelope(body []byte, gas uint64, sign func([]byte) ([]byte, error), number uint64) ([]byte, error) {
	key, err := codectypes.NewAnyWithValue(c.signer.PublicKey())
	if err != nil {
		return nil, err
	}
	direct := &txtypes.ModeInfo_Single_{Single: &txtypes.ModeInfo_Single{Mode: signing.SignMode_SIGN_MODE_DIRECT}}
	info, err := proto.Marshal(&txtypes.AuthInfo{
		SignerInfos: []*txtypes.SignerInfo{{PublicKey: key, ModeInfo: &txtypes.ModeInfo{Sum: direct}}},
		Fee:         &txtypes.Fee{GasLimit: gas},
	})
	if err != nil {
		return nil, err
	}
	doc, err := proto.Marshal(&txtypes.SignDoc{BodyBytes: body, AuthInfoBytes: info, ChainId: c.chain, AccountNumber: number})
	if err != nil {
		return nil, err
	}
	signature, err := sign(doc)
	if err != nil {
		return nil, fmt.Errorf("sign transaction: %w", err)
	}
	return proto.Marshal(&txtypes.TxRaw{BodyBytes: body, AuthInfoBytes: info, Signatures: [][]byte{signature}})
}

// simulate runs a transaction on the node without effect and returns the gas
// that it used. What is wrong with the message shows here already.
func (c *Client) simulate(ctx context.Context, raw []byte) (uint64, error) {
	value, err := c.ask(ctx, "/app/simulate", raw)
	if err != nil {
		return 0, err
	}
	var result struct {
		Info struct {
			Used uint64 `json:"gas_used,string"`
		} `json:"gas_info"`
	}
	if err := json.Unmarshal(value, &result); err != nil {
		return 0, fmt.Errorf("read gas of a dry run: %w", err)
	}
	return result.Info.Used, nil
}

// deliver broadcasts and waits. The wait starts first, so that no block is
// missed; the same bytes may be sent again without harm.
func (c *Client) deliver(ctx context.Context, raw []byte, height int64, timeout time.Time, answer proto.Message) error {
	wait := c.watcher.await(cmttypes.Tx(raw).Hash(), height, timeout)
	defer wait.drop()
	sent, err := c.rpc.BroadcastTxSync(ctx, raw)
	if err != nil && !inCache(err) {
		return fmt.Errorf("send transaction: %w", err)
	}
	if err == nil && sent.Code != 0 {
		// A stranger's word that it came too late is no reason to send another: the
		// blocks tell.
		if err := refused(sent.Codespace, sent.Code, sent.Log); c.follower == nil || !errors.Is(err, ErrExpired) {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for transaction: %w", ctx.Err())
	case r := <-wait.result:
		if r.err != nil {
			return r.err
		}
		if r.tx.Code != 0 {
			return refused(r.tx.Codespace, r.tx.Code, r.tx.Log)
		}
		c.follower.sent(r.height)
		return unpack(r.tx.Data, answer)
	}
}

// inCache reports whether a node says that it has the transaction already.
func inCache(err error) bool {
	return err != nil && strings.Contains(err.Error(), "tx already exists in cache")
}

// dryRun is what the node puts before the ledger's own sentence.
var dryRun = regexp.MustCompile(`^(failed to simulate tx: )?(failed to execute message; message index: \d+: )?`)

// general are the words that the SDK hangs on refusals which have a sentence of
// their own.
var general = regexp.MustCompile(`: (invalid request|mempool is full)$`)

// refused tells the one refusal that is worth another try from all others.
func refused(codespace string, code uint32, log string) error {
	err := &TxError{Codespace: codespace, Code: code, Log: general.ReplaceAllString(dryRun.ReplaceAllString(log, ""), "")}
	if strings.Contains(log, "timeout_timestamp that has already passed") {
		return errors.Join(ErrExpired, err)
	}
	return err
}

// unpack reads the response of a transaction's only message.
func unpack(data []byte, answer proto.Message) error {
	if answer == nil {
		return nil
	}
	var responses sdk.TxMsgData
	if err := proto.Unmarshal(data, &responses); err != nil {
		return fmt.Errorf("read response: %w", err)
	}
	if len(responses.MsgResponses) != 1 {
		return fmt.Errorf("read response: one expected, not %d", len(responses.MsgResponses))
	}
	if err := proto.Unmarshal(responses.MsgResponses[0].Value, answer); err != nil {
		return fmt.Errorf("read response: %w", err)
	}
	return nil
}
