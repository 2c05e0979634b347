package app

import (
	"crypto/sha256"
	"slices"
	"sync"

	errorsmod "cosmossdk.io/errors"
	abci "github.com/cometbft/cometbft/abci/types"
	cmttypes "github.com/cometbft/cometbft/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	"github.com/cosmos/cosmos-sdk/x/auth/signing"
)

// What waits in a node for a block. CometBFT's list has the same limits.
const (
	MaxWaiting      = 3000
	MaxWaitingBytes = 8 << 20

	freeShare = 4 // an account may have as much waiting as one in so many parts of what is free
)

// PlainShare is the default of [App.SetPlainShare].
const PlainShare = 4

// waiting is a transaction that passed the node's check.
type waiting struct {
	key     [sha256.Size]byte
	raw     []byte
	account string // its first signer
	gas     uint64
	own     bool
}

// load is how much waits.
type load struct{ txs, bytes int }

func (l load) plus(w waiting, sign int) load {
	return load{l.txs + sign, l.bytes + sign*len(w.raw)}
}

// pool is what waits in this node, in order of arrival. CometBFT's list holds the
// same, but knows no accounts. It decides what this node takes and proposes, and never
// whether a block is valid.
type pool struct {
	plainShare uint64 // one in so many parts of a block is for what are not the network's own messages

	mu    sync.Mutex
	list  []waiting
	total load
	by    map[string]load
}

func newPool() pool { return pool{plainShare: PlainShare, by: map[string]load{}} }

// SetPlainShare gives transactions other than the network's own one in so many parts
// of the blocks that this node proposes. It is called before the node runs.
func (a *App) SetPlainShare(parts uint64) { a.pool.plainShare = parts }

// newWaiting reads what the pool has to know of a transaction.
func newWaiting(raw []byte, tx sdk.Tx) (waiting, error) {
	signed, ok := tx.(signing.SigVerifiableTx)
	if !ok {
		return waiting{}, errorsmod.Wrap(sdkerrors.ErrTxDecode, "a transaction needs a signature")
	}
	signers, err := signed.GetSigners()
	if err != nil || len(signers) == 0 {
		return waiting{}, errorsmod.Wrap(sdkerrors.ErrTxDecode, "a transaction needs a signer")
	}
	return waiting{key: sha256.Sum256(raw), raw: raw, account: string(signers[0]), gas: gasOf(tx), own: own(tx)}, nil
}

// room reports why w can't wait here. The fuller the pool, the less an account may
// have in it: n accounts that take all they may leave 4 parts in 4 + n free.
func (p *pool) room(w waiting) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := p.by[w.account].plus(w, 1)
	if freeShare*mine.txs > MaxWaiting-p.total.txs || freeShare*mine.bytes > MaxWaitingBytes-p.total.bytes {
		return errorsmod.Wrap(sdkerrors.ErrMempoolIsFull, "as many transactions of this account wait for a block as there is room for: send it again later")
	}
	return nil
}

func (p *pool) add(w waiting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, w)
	p.total, p.by[w.account] = p.total.plus(w, 1), p.by[w.account].plus(w, 1)
}

// forget drops transactions that are in a block, or won't be.
func (p *pool) forget(raws ...[]byte) {
	gone := make(map[[sha256.Size]byte]bool, len(raws))
	for _, raw := range raws {
		gone[sha256.Sum256(raw)] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = slices.DeleteFunc(p.list, func(w waiting) bool {
		if gone[w.key] {
			p.total, p.by[w.account] = p.total.plus(w, -1), p.by[w.account].plus(w, -1)
			if p.by[w.account].txs == 0 {
				delete(p.by, w.account)
			}
		}
		return gone[w.key]
	})
}

// choose returns what a block of at most so many bytes and so much gas shall hold:
// the network's own messages first, then all else, for which a part is kept free.
func (p *pool) choose(bytes, gas uint64) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first, plain []waiting
	for _, w := range p.list {
		if w.own {
			first = append(first, w)
		} else {
			plain = append(plain, w)
		}
	}
	last, usedBytes, usedGas := fair(plain, bytes/p.plainShare, gas/p.plainShare)
	chosen, _, _ := fair(first, bytes-usedBytes, gas-usedGas)
	return append(chosen, last...)
}

// fair fills a part of a block in rounds, in each of which every account has its next
// transaction, accounts in order of arrival. One that no longer fits ends its account's
// turns, as the next may follow from it. It returns what it used, too.
func fair(all []waiting, bytes, gas uint64) (raws [][]byte, usedBytes, usedGas uint64) {
	type turn struct {
		waiting
		round int
	}
	rounds, turns := map[string]int{}, make([]turn, 0, len(all))
	for _, w := range all {
		turns = append(turns, turn{w, rounds[w.account]})
		rounds[w.account]++
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return a.round - b.round })
	done := map[string]bool{}
	for _, t := range turns {
		size := uint64(cmttypes.ComputeProtoSizeForTxs([]cmttypes.Tx{t.raw}))
		if done[t.account] || size > bytes-usedBytes || t.gas > gas-usedGas {
			done[t.account] = true
			continue
		}
		usedBytes, usedGas = usedBytes+size, usedGas+t.gas
		raws = append(raws, t.raw)
	}
	return raws, usedBytes, usedGas
}

// checkTx is how a node takes a transaction, and looks again after each block whether
// what waits may still be in the next.
func (a *App) checkTx(run sdk.RunTx, r *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	if r.Type == abci.CheckTxType_Recheck {
		answer, ok := checked(run(r.Tx, nil))
		if !ok {
			a.pool.forget(r.Tx)
		}
		return answer, nil
	}
	tx, err := a.codecs.tx.TxDecoder()(r.Tx)
	if err != nil {
		return sdkerrors.ResponseCheckTxWithEvents(sdkerrors.ErrTxDecode.Wrap(err.Error()), 0, 0, nil, false), nil
	}
	w, err := newWaiting(r.Tx, tx)
	if err == nil {
		err = a.pool.room(w)
	}
	if err != nil {
		return sdkerrors.ResponseCheckTxWithEvents(err, 0, 0, nil, false), nil
	}
	answer, ok := checked(run(r.Tx, tx))
	if ok {
		a.pool.add(w)
	}
	return answer, nil
}

func checked(gas sdk.GasInfo, result *sdk.Result, events []abci.Event, err error) (*abci.ResponseCheckTx, bool) {
	if err != nil {
		return sdkerrors.ResponseCheckTxWithEvents(err, gas.GasWanted, gas.GasUsed, events, false), false
	}
	return &abci.ResponseCheckTx{GasWanted: int64(gas.GasWanted), GasUsed: int64(gas.GasUsed),
		Log: result.Log, Data: result.Data, Events: result.Events}, true
}

// propose fills this node's block. Others take any block: what is chosen is no rule.
func (a *App) propose(ctx sdk.Context, r *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	gas := uint64(MaxBlockGas)
	if b := ctx.ConsensusParams().Block; b != nil && b.MaxGas >= 0 {
		gas = min(gas, uint64(b.MaxGas))
	}
	bytes := min(uint64(max(r.MaxTxBytes, 0)), MaxBlockBytes)
	return &abci.ResponsePrepareProposal{Txs: a.pool.choose(bytes, gas)}, nil
}
