package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cosmossdk.io/log/v2"
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtbytes "github.com/cometbft/cometbft/libs/bytes"
	cmtcrypto "github.com/cometbft/cometbft/proto/tendermint/crypto"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/store/v2/rootmulti"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"

	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
)

const (
	testChain = "light-1"
	testTip   = 12 // height of the newest header
	testID    = 7
)

var testStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// testNow is when the tests verify.
var testNow = testStart.Add(time.Hour)

// ledger is a chain of signed headers over a real state. Of four validators one
// is replaced at every height, so far headers need a path.
type ledger struct {
	RPC    // what is not served panics
	seed   byte
	still  bool // no validator is replaced
	skip   int  // validators that don't sign
	state  *rootmulti.Store
	hash   []byte
	blocks map[int64]*cmttypes.LightBlock
}

func testSession(id uint64) job.Session {
	model := canon.NewCID(canon.DagCBOR, canon.Sum([]byte("model")))
	return job.Session{Version: canon.Version, ID: id, Consumer: "c", Provider: "p", State: job.SessionOpen,
		SessionKey: canon.PublicKey{1}, ProviderKey: canon.PublicKey{2}, Escrow: escrow.Lock(9),
		Terms: job.Terms{Version: canon.Version, Kind: job.Inference, Executor: "float/1", Model: model}}
}

func newLedger(t testing.TB, seed byte, skip int) *ledger {
	t.Helper()
	l := &ledger{seed: seed, skip: skip, blocks: map[int64]*cmttypes.LightBlock{}}
	l.state = rootmulti.NewStore(dbm.NewMemDB(), log.NewNopLogger())
	keys := storetypes.NewKVStoreKeys(marketStore, "registry")
	for _, k := range []string{marketStore, "registry"} {
		l.state.MountStoreWithDB(keys[k], storetypes.StoreTypeIAVL, nil)
	}
	check(t, l.state.LoadLatestVersion())
	for id := uint64(testID - 3); id < testID+3; id++ {
		l.state.GetKVStore(keys[marketStore]).Set(sessionKey(id), canon.MustMarshal(testSession(id)))
		l.state.GetKVStore(keys["registry"]).Set(sessionKey(id), canon.MustMarshal(testSession(id)))
	}
	l.hash = l.state.Commit().Hash
	for h := int64(1); h <= testTip; h++ {
		l.blocks[h] = l.block(t, testChain, h)
	}
	return l
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *ledger) keys(height int64) (keys []ed25519.PrivKey) {
	if l.still {
		height = 1
	}
	for i := range int64(4) {
		keys = append(keys, ed25519.GenPrivKeyFromSecret(fmt.Appendf(nil, "%d/%d", l.seed, height+i)))
	}
	return keys
}

func (l *ledger) validators(height int64) *cmttypes.ValidatorSet {
	var all []*cmttypes.Validator
	for _, k := range l.keys(height) {
		all = append(all, cmttypes.NewValidator(k.PubKey(), 10))
	}
	return cmttypes.NewValidatorSet(all)
}

func (l *ledger) block(t testing.TB, chain string, height int64) *cmttypes.LightBlock {
	set := l.validators(height)
	header := &cmttypes.Header{Version: cmtversion.Consensus{Block: version.BlockProtocol}, ChainID: chain, Height: height,
		Time: testStart.Add(time.Duration(height) * time.Second), ValidatorsHash: set.Hash(),
		NextValidatorsHash: l.validators(height + 1).Hash(), ConsensusHash: tmhash.Sum(nil), AppHash: l.hash,
		LastCommitHash: tmhash.Sum(nil), DataHash: sentAt(height).Hash(), EvidenceHash: tmhash.Sum(nil),
		LastResultsHash: cmttypes.NewResults(resultsOf(height - 1)).Hash(), ProposerAddress: set.Proposer.Address,
		LastBlockID: cmttypes.BlockID{Hash: l.hashOf(height - 1), PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: tmhash.Sum(nil)}}}
	id := cmttypes.BlockID{Hash: header.Hash(), PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: tmhash.Sum(nil)}}
	commit := &cmttypes.Commit{Height: height, BlockID: id, Signatures: make([]cmttypes.CommitSig, 4)}
	for i := range commit.Signatures {
		commit.Signatures[i] = cmttypes.NewCommitSigAbsent()
	}
	for i, k := range l.keys(height) {
		if i < l.skip {
			continue
		}
		index, _ := set.GetByAddress(k.PubKey().Address())
		vote := &cmttypes.Vote{Type: cmtproto.PrecommitType, Height: height, BlockID: id, Timestamp: header.Time,
			ValidatorAddress: k.PubKey().Address(), ValidatorIndex: index}
		signature, err := k.Sign(cmttypes.VoteSignBytes(chain, vote.ToProto()))
		check(t, err)
		vote.Signature = signature
		commit.Signatures[index] = vote.CommitSig()
	}
	return &cmttypes.LightBlock{SignedHeader: &cmttypes.SignedHeader{Header: header, Commit: commit}, ValidatorSet: set}
}

func (l *ledger) hashOf(height int64) []byte {
	if b := l.blocks[height]; b != nil {
		return b.Hash()
	}
	return tmhash.Sum(nil)
}

// sentAt are the transactions of a block: every second one is refused.
func sentAt(height int64) cmttypes.Txs {
	return cmttypes.Txs{fmt.Appendf(nil, "first of %d", height), fmt.Appendf(nil, "second of %d", height)}
}

func resultsOf(height int64) []*abci.ExecTxResult {
	return []*abci.ExecTxResult{{Data: fmt.Appendf(nil, "order %d", height), GasUsed: 1}, {Code: 7, GasUsed: 2}}
}

func (l *ledger) trust(height int64) Trust {
	return Trust{ChainID: testChain, GenesisHash: hex.EncodeToString(tmhash.Sum(nil)), Height: height,
		Hash: hex.EncodeToString(l.blocks[height].Hash())}
}

// What a Client asks.

func (l *ledger) ABCIInfo(context.Context) (*ctypes.ResultABCIInfo, error) {
	return &ctypes.ResultABCIInfo{Response: abci.ResponseInfo{LastBlockHeight: testTip}}, nil
}

func (l *ledger) Commit(_ context.Context, height *int64) (*ctypes.ResultCommit, error) {
	return ctypes.NewResultCommit(l.blocks[*height].Header, l.blocks[*height].Commit, true), nil
}

func (l *ledger) Block(_ context.Context, height *int64) (*ctypes.ResultBlock, error) {
	return &ctypes.ResultBlock{Block: &cmttypes.Block{Header: *l.blocks[*height].Header, Data: cmttypes.Data{Txs: sentAt(*height)}}}, nil
}

func (l *ledger) BlockResults(_ context.Context, height *int64) (*ctypes.ResultBlockResults, error) {
	return &ctypes.ResultBlockResults{Height: *height, TxsResults: resultsOf(*height)}, nil
}

func (l *ledger) Validators(_ context.Context, height *int64, _, _ *int) (*ctypes.ResultValidators, error) {
	set := l.blocks[*height].ValidatorSet
	return &ctypes.ResultValidators{BlockHeight: *height, Validators: set.Validators, Total: set.Size()}, nil
}

func (l *ledger) ABCIQueryWithOptions(_ context.Context, path string, data cmtbytes.HexBytes, o rpcclient.ABCIQueryOptions) (*ctypes.ResultABCIQuery, error) {
	r, err := l.state.Query(&storetypes.RequestQuery{Path: path[len("/store"):], Data: data, Height: 1, Prove: o.Prove})
	return &ctypes.ResultABCIQuery{Response: abci.ResponseQuery(*r)}, err
}

// proof builds what ProveSession would, from one height to another.
func (l *ledger) proof(t testing.TB, id uint64, from, to int64) sessionProof {
	t.Helper()
	c := New(l, testChain, nil)
	p := sessionProof{Version: canon.Version}
	var err error
	p.Record, p.Proof, err = c.proven(t.Context(), marketStore, sessionKey(id), to-1)
	check(t, err)
	p.Root, err = encodeBlock(l.blocks[from])
	check(t, err)
	if from < to {
		last, err := encodeBlock(l.blocks[to])
		check(t, err)
		p.Path = [][]byte{last}
	}
	return p
}

func TestVerifiesFromAnyHeight(t *testing.T) {
	l := newLedger(t, 1, 0)
	c := New(tipRPC{l}, testChain, nil)
	for from := int64(1); from <= testTip; from++ {
		data, err := c.ProveSession(t.Context(), testID, from)
		check(t, err)
		got, err := VerifySession(l.trust(from), data, testNow)
		if err != nil {
			t.Fatalf("from %d: %v", from, err)
		}
		if got.Session.ID != testID || !bytes.Equal(got.Record, canon.MustMarshal(testSession(testID))) ||
			got.Height != testTip-1 || !got.Time.Equal(testStart.Add(testTip*time.Second)) {
			t.Fatalf("from %d: %+v", from, got)
		}
	}
	if _, err := c.ProveSession(t.Context(), 99, 1); !errors.Is(err, ErrNotFound) {
		t.Fatalf("absent session: %v", err)
	}
}

// tipRPC commits its newest block after the first question for it.
type tipRPC struct{ *ledger }

var asked = map[*ledger]int{}

func (r tipRPC) ABCIInfo(context.Context) (*ctypes.ResultABCIInfo, error) {
	asked[r.ledger]++
	height := int64(testTip - asked[r.ledger]%2) // first the one before, then the newest
	return &ctypes.ResultABCIInfo{Response: abci.ResponseInfo{LastBlockHeight: height}}, nil
}

// reseal changes a light block and encodes it again.
func reseal(t testing.TB, data []byte, change func(*cmtproto.LightBlock)) []byte {
	t.Helper()
	var p cmtproto.LightBlock
	check(t, p.Unmarshal(data))
	change(&p)
	out, err := p.Marshal()
	check(t, err)
	return out
}

// padded adds a field that protobuf ignores, of n bytes.
func padded(data []byte, n int) []byte {
	head := binary.AppendUvarint([]byte{15<<3 | 2}, uint64(n))
	return append(append(bytes.Clone(data), head...), make([]byte, n)...)
}

func repeat(data []byte, n int) (all [][]byte) {
	for range n {
		all = append(all, data)
	}
	return all
}

func TestRefusals(t *testing.T) {
	l, other := newLedger(t, 1, 0), newLedger(t, 2, 0)
	trust := l.trust(2)
	good := func() sessionProof { return l.proof(t, testID, 2, 4) }
	if _, err := VerifySession(trust, canon.MustMarshal(good()), testNow); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	block := func(l *ledger, h int64) []byte {
		data, err := encodeBlock(l.blocks[h])
		check(t, err)
		return data
	}
	ops := func(p sessionProof, change func(*cmtcrypto.ProofOps)) []byte {
		var o cmtcrypto.ProofOps
		check(t, o.Unmarshal(p.Proof))
		change(&o)
		out, err := o.Marshal()
		check(t, err)
		return out
	}
	absent := cmttypes.NewCommitSigAbsent()
	richer := testSession(testID)
	richer.Escrow = escrow.Lock(1000)
	for name, row := range map[string]struct {
		change func(*sessionProof)
		want   error
	}{
		"chain of one's own":       {func(p *sessionProof) { *p = other.proof(t, testID, 2, 4) }, ErrRoot},
		"header of another chain":  {func(p *sessionProof) { p.Path = other.proof(t, testID, 2, 4).Path }, ErrHeader},
		"other height of the root": {func(p *sessionProof) { p.Root = block(l, 3) }, ErrRoot},
		"altered root": {func(p *sessionProof) {
			p.Root = reseal(t, p.Root, func(b *cmtproto.LightBlock) { b.SignedHeader.Header.AppHash = tmhash.Sum(nil) })
		}, ErrRoot},
		"validators that the root does not name": {func(p *sessionProof) {
			p.Root = reseal(t, p.Root, func(b *cmtproto.LightBlock) {
				set, err := other.validators(2).ToProto()
				check(t, err)
				b.ValidatorSet = set
			})
		}, ErrRoot},
		"altered header": {func(p *sessionProof) {
			p.Path[0] = reseal(t, p.Path[0], func(b *cmtproto.LightBlock) { b.SignedHeader.Header.AppHash = tmhash.Sum(nil) })
		}, ErrHeader},
		"too few signatures": {func(p *sessionProof) { p.Path[0] = block(newLedger(t, 1, 2), 4) }, ErrHeader},
		"a forged signature": {func(p *sessionProof) {
			p.Path[0] = reseal(t, p.Path[0], func(b *cmtproto.LightBlock) { b.SignedHeader.Commit.Signatures[0].Signature[5] ^= 1 })
		}, ErrHeader},
		"too far without a path": {func(p *sessionProof) { p.Path[0] = block(l, 9) }, ErrHeader},
		"path that goes back":    {func(p *sessionProof) { p.Path = append(p.Path, block(l, 3)) }, ErrHeader},
		"altered record":         {func(p *sessionProof) { p.Record = canon.MustMarshal(richer) }, ErrState},
		"another key": {func(p *sessionProof) {
			p.Record = canon.MustMarshal(testSession(testID + 1))
		}, ErrState},
		"another store": {func(p *sessionProof) {
			r, err := l.state.Query(&storetypes.RequestQuery{Path: "/registry/key", Data: sessionKey(testID), Height: 1, Prove: true})
			check(t, err)
			p.Proof, err = r.ProofOps.Marshal()
			check(t, err)
		}, ErrState},
		"inner tree alone": {func(p *sessionProof) {
			p.Proof = ops(*p, func(o *cmtcrypto.ProofOps) { o.Ops = o.Ops[:1] })
		}, ErrState},
		"no proof":          {func(p *sessionProof) { p.Proof = nil }, ErrState},
		"garbled proof":     {func(p *sessionProof) { p.Proof[len(p.Proof)/2] ^= 1 }, ErrState},
		"no record":         {func(p *sessionProof) { p.Record = nil }, ErrMalformed},
		"no header":         {func(p *sessionProof) { p.Path[0] = nil }, ErrMalformed},
		"version":           {func(p *sessionProof) { p.Version++ }, ErrMalformed},
		"long path":         {func(p *sessionProof) { p.Path = repeat(p.Path[0], maxPath+1) }, ErrMalformed},
		"large header":      {func(p *sessionProof) { p.Path[0] = padded(p.Path[0], maxLightBlock) }, ErrMalformed},
		"large state proof": {func(p *sessionProof) { p.Proof = padded(p.Proof, maxOps) }, ErrMalformed},
		"large whole":       {func(p *sessionProof) { p.Path = repeat(padded(p.Path[0], maxLightBlock/2), 40) }, ErrMalformed},
		"large record": {func(p *sessionProof) {
			long := testSession(testID)
			long.Consumer = strings.Repeat("c", maxRecord)
			p.Record = canon.MustMarshal(long)
		}, ErrMalformed},
		"power beyond 63 bits": {func(p *sessionProof) {
			p.Path[0] = reseal(t, p.Path[0], func(b *cmtproto.LightBlock) {
				for _, v := range b.ValidatorSet.Validators {
					v.VotingPower = 1 << 62
				}
			})
		}, ErrMalformed},
		"many signers": {func(p *sessionProof) {
			p.Path[0] = reseal(t, p.Path[0], func(b *cmtproto.LightBlock) {
				for len(b.SignedHeader.Commit.Signatures) <= maxSigners {
					b.SignedHeader.Commit.Signatures = append(b.SignedHeader.Commit.Signatures, *absent.ToProto())
				}
			})
		}, ErrMalformed},
	} {
		p := good()
		row.change(&p)
		if got, err := VerifySession(trust, canon.MustMarshal(p), testNow); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, not %v", name, err, row.want)
		} else if got.Record != nil {
			t.Errorf("%s: refused, and yet a record", name)
		}
	}
	proof := canon.MustMarshal(good())
	if _, err := VerifySession(trust, append(proof, 0), testNow); !errors.Is(err, ErrMalformed) {
		t.Errorf("trailing byte: %v", err)
	}
	stale := l.blocks[2].Time.Add(TrustingPeriod)
	if _, err := VerifySession(trust, proof, stale); !errors.Is(err, ErrStale) {
		t.Errorf("stale root: %v", err)
	}
	if _, err := VerifySession(trust, proof, stale.Add(-time.Nanosecond)); err != nil {
		t.Errorf("root that is not stale yet: %v", err)
	}
	if _, err := VerifySession(trust, proof, l.blocks[2].Time.Add(-ClockDrift)); !errors.Is(err, ErrBehind) {
		t.Errorf("header from the future: %v", err)
	}
	renamed := trust
	renamed.ChainID = "light-2"
	var elsewhere *OtherLedgerError
	if _, err := VerifySession(renamed, proof, testNow); !errors.Is(err, ErrRoot) || !errors.As(err, &elsewhere) || elsewhere.Trusted != "light-2" {
		t.Errorf("another name: %v", err)
	}
	// A stale root is stale even if it proves the state itself.
	if _, err := VerifySession(l.trust(4), canon.MustMarshal(l.proof(t, testID, 4, 4)), stale.Add(time.Hour)); !errors.Is(err, ErrStale) {
		t.Errorf("stale root without a path: %v", err)
	}
}

func FuzzVerifySession(f *testing.F) {
	l := newLedger(f, 1, 0)
	trust := l.trust(2)
	good := l.proof(f, testID, 2, 4)
	f.Add(good.Root, good.Path[0], good.Proof, good.Record)
	f.Add(good.Root, good.Root, []byte{}, good.Record)
	f.Fuzz(func(t *testing.T, root, block, ops, record []byte) {
		p := sessionProof{Version: canon.Version, Root: root, Path: [][]byte{block}, Proof: ops, Record: record}
		got, err := VerifySession(trust, canon.MustMarshal(p), testNow)
		if err == nil && !bytes.Equal(got.Record, canon.MustMarshal(testSession(got.Session.ID))) {
			t.Fatalf("accepted a record that the ledger never had: %x", record)
		}
		// What an honest root leads to is decoded too.
		_, _ = decodeBlock(block)
		_ = verifyRecord(p, testID, l.hash)
		_, _ = VerifySession(trust, record, testNow)
	})
}
