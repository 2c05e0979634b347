package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	sdkmath "cosmossdk.io/math"
	abci "github.com/cometbft/cometbft/abci/types"
	cmttypes "github.com/cometbft/cometbft/types"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/gogoproto/proto"

	"daulat/bench/report"
	"daulat/core/canon"
	"daulat/core/receipt"
	marketpb "daulat/gen/market"
	"daulat/ledger/app"
)

// load is what one run hands to the node.
type load struct {
	name  string
	txs   [][]byte
	units int // sends or entries in all
}

// Most of a load that waits in the node at a time: enough for the next block, so
// that the node is never idle, and not much more, as every block checks again
// what still waits.
const (
	windowTxs   = 1500
	windowBytes = 6 << 20
)

const (
	firstTTL  = 5 * time.Minute // transactions are unordered: a timeout of their own, in block time, is their nonce
	gasFactor = 120             // percent of a dry run
)

// claims record the newest pairs of sessions of distinct parties. The accounts
// that carry them have no part in them.
func (w *world) claims(ctx context.Context, sessions []open, entries int) (load, error) {
	by := func(i int, _ open) *account { return w.carriers[i%len(w.carriers)] }
	txs, err := w.settlements(ctx, sessions, entries, by, false)
	return load{name: fmt.Sprintf("settle, %d per tx", entries), txs: txs, units: len(sessions)}, err
}

// finals settle sessions for good, which only their provider can: escrow is
// split, the rest goes back.
func (w *world) finals(ctx context.Context, sessions []open, entries int) (load, error) {
	by := func(_ int, o open) *account { return w.providers[(int(o.id)-1-len(w.sessions))/groupSize] }
	txs, err := w.settlements(ctx, sessions, entries, by, true)
	return load{name: fmt.Sprintf("settle for good, %d per tx", entries), txs: txs, units: len(sessions)}, err
}

func (w *world) settlements(ctx context.Context, sessions []open, entries int, by func(tx int, first open) *account, final bool) ([][]byte, error) {
	w.seq++
	s := signer{world: w}
	for group := range slices.Chunk(sessions, groupSize) {
		for part := range slices.Chunk(group, entries) {
			sender := by(len(s.txs), part[0])
			m := &marketpb.MsgSettle{Sender: sender.Account()}
			for _, o := range part {
				m.Entries = append(m.Entries, w.pair(o, final))
			}
			if err := s.add(ctx, sender, m); err != nil {
				return nil, err
			}
		}
	}
	return s.txs, nil
}

// pair signs both halves of an entry: more served and more owed each time.
func (w *world) pair(o open, final bool) marketpb.Entry {
	var root canon.Hash
	rand.Read(root[:])
	amount := 100 * w.seq
	r := receipt.Receipt{Chain: chainID, Session: o.id, Seq: w.seq, Input: 50 * w.seq, Output: 90 * w.seq, Amount: amount, Root: root}
	v := receipt.Voucher{Chain: chainID, Session: o.id, Seq: w.seq, Amount: amount, Root: root, Final: final}
	rs, vs := o.identity.Sign(receipt.DomainReceipt, r), o.session.Sign(receipt.DomainVoucher, v)
	w.newest[o.id-1] = w.seq
	return marketpb.Entry{Session: o.id, Receipt: canon.MustMarshal(r), ReceiptSignature: rs[:],
		Voucher: canon.MustMarshal(v), VoucherSignature: vs[:], Close: final}
}

// sends are n plain sends, per to a transaction, from sender to sender.
func (w *world) sends(ctx context.Context, n, per int) (load, error) {
	s := signer{world: w}
	for i := 0; i < n; i += per {
		from := w.senders[i/per%len(w.senders)]
		var messages []sdk.Msg
		for j := range min(per, n-i) {
			to := w.senders[(i+j*7+1)%len(w.senders)]
			if to == from {
				to = w.senders[(i+j*7+2)%len(w.senders)]
			}
			messages = append(messages, &banktypes.MsgSend{FromAddress: from.Account(), ToAddress: to.Account(),
				Amount: sdk.NewCoins(sdk.NewCoin(app.Denom, sdkmath.OneInt()))})
		}
		if err := s.add(ctx, from, messages...); err != nil {
			return load{}, err
		}
	}
	return load{name: fmt.Sprintf("send, %d per tx", per), txs: s.txs, units: n}, nil
}

// signer makes transactions of one kind. All but the last carry the same work,
// and the gas that a dry run of the first needed.
type signer struct {
	*world
	txs   [][]byte
	first time.Time
	gas   uint64
}

func (s *signer) add(ctx context.Context, by *account, messages ...sdk.Msg) error {
	if len(s.txs) == 0 {
		now, err := s.now(ctx)
		if err != nil {
			return err
		}
		s.first = now.Add(firstTTL)
		trial, err := s.sign(by, false, messages)
		if err != nil {
			return err
		}
		if s.gas, err = s.dryRun(ctx, trial); err != nil {
			return err
		}
	}
	raw, err := s.sign(by, true, messages)
	s.txs = append(s.txs, raw)
	return err
}

func (s *signer) sign(by *account, real bool, messages []sdk.Msg) ([]byte, error) {
	timeout := s.first.Add(time.Duration(len(s.txs)) * time.Microsecond).UTC()
	body := &txtypes.TxBody{Unordered: true, TimeoutTimestamp: &timeout}
	for _, m := range messages {
		packed, err := codectypes.NewAnyWithValue(m)
		if err != nil {
			return nil, err
		}
		body.Messages = append(body.Messages, packed)
	}
	key, err := codectypes.NewAnyWithValue(by.PublicKey())
	if err != nil {
		return nil, err
	}
	direct := &txtypes.ModeInfo_Single_{Single: &txtypes.ModeInfo_Single{Mode: signing.SignMode_SIGN_MODE_DIRECT}}
	bodyBytes, err := proto.Marshal(body)
	if err != nil {
		return nil, err
	}
	info, err := proto.Marshal(&txtypes.AuthInfo{Fee: &txtypes.Fee{GasLimit: s.gas},
		SignerInfos: []*txtypes.SignerInfo{{PublicKey: key, ModeInfo: &txtypes.ModeInfo{Sum: direct}}}})
	if err != nil {
		return nil, err
	}
	doc, err := proto.Marshal(&txtypes.SignDoc{BodyBytes: bodyBytes, AuthInfoBytes: info, ChainId: chainID, AccountNumber: by.number})
	if err != nil {
		return nil, err
	}
	var signature []byte
	if real {
		if signature, err = by.Sign(doc); err != nil {
			return nil, err
		}
	}
	return proto.Marshal(&txtypes.TxRaw{BodyBytes: bodyBytes, AuthInfoBytes: info, Signatures: [][]byte{signature}})
}

// dryRun returns the gas that a transaction may use.
func (w *world) dryRun(ctx context.Context, raw []byte) (uint64, error) {
	answer, err := w.node.RPC().ABCIQuery(ctx, "/app/simulate", raw)
	if err != nil {
		return 0, err
	}
	if answer.Response.Code != 0 {
		return 0, fmt.Errorf("dry run: %s", answer.Response.Log)
	}
	var result struct {
		Info struct {
			Used uint64 `json:"gas_used,string"`
		} `json:"gas_info"`
	}
	err = json.Unmarshal(answer.Response.Value, &result)
	return result.Info.Used * gasFactor / 100, err
}

// timing is what a load took.
type timing struct {
	units, blocks int
	wall, cpu     time.Duration
}

func (r timing) rate() float64 { return float64(r.units) / r.wall.Seconds() }

// drive hands the load to the node and waits until all of it is committed. Any
// refusal or failure, of one entry too, is an error.
func (w *world) drive(ctx context.Context, l load) (r timing, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := w.node.RPC().Subscribe(ctx, "bench", "tm.event = 'NewBlock'", 100)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, w.node.RPC().UnsubscribeAll(context.WithoutCancel(ctx), "bench")) }()
	window := min(windowTxs, max(2, windowBytes/len(l.txs[0])))
	places := make(chan struct{}, window)
	refused := make(chan error, 1)
	began, used := time.Now(), report.CPU()
	go func() { refused <- w.feed(ctx, l.txs, places) }()
	for done, ok := 0, 0; done < len(l.txs); {
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case err := <-refused:
			if err != nil {
				return r, err
			}
			refused = nil
		case e := <-events:
			block, is := e.Data.(cmttypes.EventDataNewBlock)
			if !is || len(block.Block.Txs) == 0 {
				continue
			}
			if ok, err = applied(block.ResultFinalizeBlock.TxResults); err != nil {
				return r, err
			}
			r.units += ok
			r.blocks++
			done += len(block.Block.Txs)
			for range block.Block.Txs {
				<-places
			}
		}
	}
	r.wall, r.cpu = time.Since(began), report.CPU()-used
	if r.units != l.units {
		return r, fmt.Errorf("%d of %d were applied", r.units, l.units)
	}
	return r, nil
}

func (w *world) feed(ctx context.Context, txs [][]byte, places chan<- struct{}) error {
	for _, raw := range txs {
		select {
		case <-ctx.Done():
			return nil
		case places <- struct{}{}:
		}
		answer, err := w.node.RPC().BroadcastTxSync(ctx, raw)
		if err != nil {
			return err
		}
		if answer.Code != 0 {
			return errors.New(answer.Log)
		}
	}
	return nil
}

// applied counts the sends and entries that a block carried out.
func applied(results []*abci.ExecTxResult) (n int, err error) {
	for _, r := range results {
		if r.Code != 0 {
			return 0, errors.New(r.Log)
		}
		var responses sdk.TxMsgData
		if err := proto.Unmarshal(r.Data, &responses); err != nil {
			return 0, err
		}
		for _, m := range responses.MsgResponses {
			if m.TypeUrl != "/"+proto.MessageName(&marketpb.MsgSettleResponse{}) {
				n++
				continue
			}
			var s marketpb.MsgSettleResponse
			if err := proto.Unmarshal(m.Value, &s); err != nil {
				return 0, err
			}
			for _, e := range s.Results {
				if e.Error != "" {
					return 0, fmt.Errorf("session %d: %s", e.Session, e.Error)
				}
			}
			n += len(s.Results)
		}
	}
	return n, nil
}
