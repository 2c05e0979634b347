package validator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"daulat/ledger/client"
	"daulat/ledger/validator"
)

// several is a ledger of several validators whose homes were never started.
type several struct {
	doc   *cmttypes.GenesisDoc
	homes []string
	peers []string
}

// operated is the account of a validator.
func operated(t *testing.T, i int) string { return key(t, byte(0x20+i)).Account() }

func found(t *testing.T, n int) several {
	t.Helper()
	return foundAhead(t, n, 0)
}

// foundAhead founds on a machine whose clock is ahead of this one's, which is to those
// here as if theirs were behind.
func foundAhead(t *testing.T, n int, ahead time.Duration) several {
	t.Helper()
	var s several
	var founders []validator.Founder
	for i := range n {
		home := t.TempDir()
		k, err := validator.MakeKeys(home)
		if err != nil {
			t.Fatal(err)
		}
		s.homes = append(s.homes, home)
		founders = append(founders, validator.Founder{Account: operated(t, i), Keys: k})
	}
	addresses, err := validator.ReserveP2P(s.homes...)
	if err != nil {
		t.Fatal(err)
	}
	g := genesis(t)
	if s.doc, err = validator.NewGenesis(g, founders); err != nil {
		t.Fatal(err)
	}
	s.doc.GenesisTime = s.doc.GenesisTime.Add(ahead)
	for i, home := range s.homes {
		if err := validator.Adopt(home, s.doc); err != nil {
			t.Fatal(err)
		}
		s.peers = append(s.peers, founders[i].Keys.Node+"@"+addresses[i])
	}
	return s
}

// snapshotEvery leaves a snapshot the ten seconds or so that a newcomer needs to
// find it and get it, at some ten blocks a second.
const snapshotEvery = 60

// config is of a node that knows all others.
func (s several) config(home string) validator.Config {
	c := validator.Config{Home: home, ChainID: chain, TimeoutCommit: 50 * time.Millisecond, SnapshotEvery: snapshotEvery}
	for i, p := range s.peers {
		if s.homes[i] != home {
			c.Peers = append(c.Peers, p)
		}
	}
	return c
}

func (s several) start(t *testing.T, c validator.Config) *validator.Validator {
	t.Helper()
	v, err := validator.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, v) })
	return v
}

// all starts every validator.
func (s several) all(t *testing.T) (running []*validator.Validator) {
	t.Helper()
	for _, home := range s.homes {
		running = append(running, s.start(t, s.config(home)))
	}
	return running
}

// reach waits until each of the nodes has the block.
func reach(t *testing.T, height int64, nodes ...*validator.Validator) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for _, v := range nodes {
		all.Go(func() {
			if err := v.WaitBlock(ctx, height); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// agree wants the same state of all nodes after the block before height.
func agree(t *testing.T, height int64, nodes ...*validator.Validator) {
	t.Helper()
	var roots []string
	for _, v := range nodes {
		header, err := v.RPC().Commit(t.Context(), &height)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, fmt.Sprintf("%X of block %X", header.AppHash, header.Hash()))
	}
	if slices.Sort(roots); roots[0] != roots[len(roots)-1] {
		t.Fatalf("states at height %d: %q", height, roots)
	}
}

// Four validators agree, and a node that starts from nothing gets the state from
// a snapshot of theirs and goes on with them. All have a clock that is behind.
func TestSeveralValidatorsAndStateSync(t *testing.T) {
	s := foundAhead(t, 4, 5*time.Minute)
	nodes := s.all(t)
	reach(t, 3, nodes...)
	alice := as(t, nodes[0], aliceSeed)
	trust := must[client.Trust](t)(alice.Trust(t.Context()))
	to := key(t, strangerSeed).Account()
	if err := alice.Send(t.Context(), to, 7); err != nil {
		t.Fatal(err)
	}
	reach(t, snapshotEvery+2, nodes...)

	home := t.TempDir()
	if err := validator.Adopt(home, s.doc); err != nil {
		t.Fatal(err)
	}
	c := s.config(home)
	c.Sync = &validator.StateSync{Trust: trust, RPC: []string{nodes[0].RPCAddress(), nodes[1].RPCAddress()}}
	if err := validator.Proves(t.Context(), s.doc.ChainID, c.Sync, uint64(trust.Height)+5); err != nil { // else the sync would begin again and again
		t.Fatal(err)
	}
	late := s.start(t, c)
	now := height(t, alice)
	reach(t, now+20, late)
	nodes = append(nodes, late)
	reach(t, now+20, nodes...)
	agree(t, now+19, nodes...)
	if got := balance(t, as(t, late, bobSeed), to); got != 7 {
		t.Fatalf("the synced node says %d udlt", got)
	}
	early := int64(2)
	if b, err := late.RPC().Block(t.Context(), &early); err == nil && b.Block != nil {
		t.Fatal("the node has early blocks: it did not start from a snapshot")
	}
	stop(t, late)
	late = s.start(t, c) // it goes on from its own state
	reach(t, now+25, late)
}

// Whoever signs two blocks of one height is out, and loses stake.
func TestDoubleSigningIsSlashed(t *testing.T) {
	s := found(t, 4)
	nodes := s.all(t)
	reach(t, 3, nodes...)
	twice := privval.LoadFilePVEmptyState(filepath.Join(s.homes[3], "config", "priv_validator_key.json"), "")
	at := height(t, as(t, nodes[0], aliceSeed)) - 1
	evidence := conflict(t, nodes[0], twice, at)
	if _, err := nodes[0].RPC().BroadcastEvidence(t.Context(), evidence); err != nil {
		t.Fatal(err)
	}
	consensus := sdk.ConsAddress(twice.GetAddress()).String()
	for next := at; ; next++ {
		reach(t, next, nodes[1])
		var info slashingtypes.QuerySigningInfoResponse
		inquire(t, nodes[1], "/cosmos.slashing.v1beta1.Query/SigningInfo", &slashingtypes.QuerySigningInfoRequest{ConsAddress: consensus}, &info)
		if info.ValSigningInfo.Tombstoned {
			break
		}
		if next > at+200 {
			t.Fatal("evidence of two signatures changed nothing in 200 blocks")
		}
	}
	var answer stakingtypes.QueryValidatorResponse
	account := must[sdk.AccAddress](t)(sdk.AccAddressFromBech32(operated(t, 3)))
	inquire(t, nodes[1], "/cosmos.staking.v1beta1.Query/Validator", &stakingtypes.QueryValidatorRequest{ValidatorAddr: sdk.ValAddress(account).String()}, &answer)
	if want := int64(validator.DefaultStake / 100 * 95); !answer.Validator.Jailed || answer.Validator.Tokens.Int64() != want {
		t.Fatalf("jailed %t with a stake of %s, not %d", answer.Validator.Jailed, answer.Validator.Tokens, want)
	}
	goesOn := height(t, as(t, nodes[0], aliceSeed)) + 5
	reach(t, goesOn, nodes[:3]...)
	agree(t, goesOn-1, nodes[:3]...)
}

// A home whose record of what its key signed is older than the ledger's last blocks,
// as that of a copy or a backup is, signs nothing and says why, unless its owner
// vouches for it.
func TestCopiedHomeSignsNothing(t *testing.T) {
	s := found(t, 4)
	state := filepath.Join(s.homes[3], "data", "priv_validator_state.json")
	old := must[[]byte](t)(os.ReadFile(state))
	nodes := s.all(t)
	reach(t, 5, nodes...)
	stop(t, nodes[3])
	newer := must[[]byte](t)(os.ReadFile(state))
	if err := os.WriteFile(state, old, 0o600); err != nil {
		t.Fatal(err)
	}
	copied := s.start(t, s.config(s.homes[3]))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := copied.WaitBlock(ctx, height(t, as(t, nodes[0], aliceSeed))+20)
	if !errors.Is(err, validator.ErrSignedElsewhere) || !errors.Is(copied.Err(), validator.ErrSignedElsewhere) || !strings.Contains(err.Error(), "this home's last one is of block 0") {
		t.Fatalf("it went on: %v", err)
	}
	stop(t, copied)
	if after := must[[]byte](t)(os.ReadFile(state)); !bytes.Equal(after, old) || bytes.Equal(newer, old) {
		t.Fatalf("it signed: %s, after %s", after, old)
	}
	c := s.config(s.homes[3])
	c.Sole = true
	vouched := s.start(t, c)
	key := privval.LoadFilePVEmptyState(filepath.Join(s.homes[3], "config", "priv_validator_key.json"), "").GetAddress()
	from := height(t, as(t, nodes[0], aliceSeed))
	for at := from + 1; ; at++ {
		reach(t, at+1, nodes[0], vouched)
		commit, err := nodes[0].RPC().Commit(t.Context(), &at)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(commit.Commit.Signatures, func(s cmttypes.CommitSig) bool { return bytes.Equal(s.ValidatorAddress, key) }) {
			return
		}
		if at > from+100 {
			t.Fatal("it does not sign, though its owner vouches for it")
		}
	}
}

// A node that was started again takes transactions before its next block, though
// that waits for others.
func TestTransactionsBeforeTheNextBlock(t *testing.T) {
	s := found(t, 3)
	nodes := s.all(t)
	reach(t, 3, nodes...)
	for _, v := range nodes {
		stop(t, v)
	}
	v := s.start(t, s.config(s.homes[0]))
	s.start(t, s.config(s.homes[1])) // two of three don't agree on a block
	for catching := true; catching; {
		status, err := v.RPC().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		catching = status.SyncInfo.CatchingUp
	}
	to, sent := key(t, strangerSeed).Account(), make(chan error, 1)
	go func() { sent <- as(t, v, aliceSeed).Send(t.Context(), to, 7) }()
	for waits := 0; waits == 0; {
		select {
		case err := <-sent:
			t.Fatalf("it was not kept for the next block: %v", err)
		default:
			r, err := v.RPC().NumUnconfirmedTxs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			waits = r.Total
		}
	}
	s.start(t, s.config(s.homes[2]))
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if got := balance(t, as(t, v, bobSeed), to); got != 7 {
		t.Fatalf("the transaction moved %d udlt", got)
	}
}

// inquire asks a node for its last state.
func inquire(t *testing.T, v *validator.Validator, path string, question interface{ Marshal() ([]byte, error) }, answer interface{ Unmarshal([]byte) error }) {
	t.Helper()
	data := must[[]byte](t)(question.Marshal())
	r, err := v.RPC().ABCIQuery(t.Context(), path, data)
	if err == nil && !r.Response.IsOK() {
		err = errors.New(r.Response.Log)
	}
	if err == nil {
		err = answer.Unmarshal(r.Response.Value)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// conflict is two votes of one validator for one height and round.
func conflict(t *testing.T, v *validator.Validator, signer *privval.FilePV, height int64) *cmttypes.DuplicateVoteEvidence {
	t.Helper()
	c := v.RPC()
	set, err := c.Validators(t.Context(), &height, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := c.Block(t.Context(), &height)
	if err != nil {
		t.Fatal(err)
	}
	index := slices.IndexFunc(set.Validators, func(x *cmttypes.Validator) bool { return x.Address.String() == signer.GetAddress().String() })
	vote := func(seed byte) *cmttypes.Vote {
		hash := make([]byte, 32)
		hash[0] = seed
		x := &cmttypes.Vote{Type: cmtproto.PrecommitType, Height: height, BlockID: cmttypes.BlockID{Hash: hash,
			PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: hash}}, Timestamp: block.Block.Time,
			ValidatorAddress: signer.GetAddress(), ValidatorIndex: int32(index)}
		signature, err := signer.Key.PrivKey.Sign(cmttypes.VoteSignBytes(chain, x.ToProto()))
		if err != nil {
			t.Fatal(err)
		}
		x.Signature = signature
		return x
	}
	e, err := cmttypes.NewDuplicateVoteEvidence(vote(1), vote(2), block.Block.Time, cmttypes.NewValidatorSet(set.Validators))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A state sync that was interrupted leaves no state, and what the key signed stays.
func TestHalfSyncedHomeIsEmptied(t *testing.T) {
	home := t.TempDir()
	if err := validator.Init(home, genesis(t)); err != nil {
		t.Fatal(err)
	}
	stop(t, start(t, home))
	signed, err := os.ReadFile(filepath.Join(home, "data", "priv_validator_state.json"))
	if err != nil {
		t.Fatal(err)
	}
	half := func(name string) bool {
		_, err := os.Stat(filepath.Join(home, "data", name))
		return err == nil
	}
	if err := validator.ForgetHalfSynced(home); err != nil || !half("application.db") || !half("state.db") {
		t.Fatalf("a home that synced lost its state: %v", err)
	}
	if err := os.WriteFile(filepath.Join(home, "config", validator.Syncing), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := validator.ForgetHalfSynced(home); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"application.db", "state.db", "blockstore.db", "cs.wal", "snapshots"} {
		if half(name) {
			t.Errorf("%s of an interrupted sync stays", name)
		}
	}
	if after, err := os.ReadFile(filepath.Join(home, "data", "priv_validator_state.json")); err != nil || string(after) != string(signed) {
		t.Errorf("what the key signed is forgotten: %v", err)
	}
}
