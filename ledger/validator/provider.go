package validator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	cmtdb "github.com/cometbft/cometbft-db"
	cmtlog "github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/light"
	"github.com/cometbft/cometbft/light/provider"
	lighthttp "github.com/cometbft/cometbft/light/provider/http"
	lightrpc "github.com/cometbft/cometbft/light/rpc"
	lightdb "github.com/cometbft/cometbft/light/store/db"
	cmtstate "github.com/cometbft/cometbft/proto/tendermint/state"
	rpchttp "github.com/cometbft/cometbft/rpc/client/http"
	sm "github.com/cometbft/cometbft/state"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"

	"daulat/ledger/client"
)

// proofTimeout is how long the sources of a state sync may take to show the trusted
// header.
const proofTimeout = 10 * time.Second

// prover tells a state sync what the state of a snapshot has to be. CometBFT's own
// has the same light client, which takes no header that is more than ten seconds ahead
// of this machine's clock.
type prover struct {
	mu      sync.Mutex // a light client has one caller
	light   *light.Client
	sources map[provider.Provider]*rpchttp.HTTP
}

func newProver(ctx context.Context, chain string, s *StateSync, servers []string, trusted []byte, l cmtlog.Logger) (*prover, error) {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	p := &prover{sources: map[provider.Provider]*rpchttp.HTTP{}}
	var all []provider.Provider
	for _, server := range servers {
		rpc, err := rpchttp.New(server, "/websocket")
		if err != nil {
			return nil, err
		}
		source := lighthttp.NewWithClient(chain, rpc)
		p.sources[source], all = rpc, append(all, source)
	}
	options := light.TrustOptions{Period: client.TrustingPeriod, Height: s.Trust.Height, Hash: trusted}
	var err error
	if p.light, err = light.NewClient(ctx, chain, options, all[0], all[1:], lightdb.New(cmtdb.NewMemDB(), ""), light.Logger(l), light.MaxRetryAttempts(5)); err != nil {
		return nil, fmt.Errorf("prove the state from the trusted header: %w", err)
	}
	return p, nil
}

// block is the verified one of a height. Its time is held against a clock that is as
// much ahead of this machine's as the ledger's may be: the light client's own setting
// for that is also how long it waits for a source that is behind.
func (p *prover) block(ctx context.Context, height uint64) (*cmttypes.LightBlock, error) {
	return p.light.VerifyLightBlockAtHeight(ctx, int64(height), time.Now().Add(client.ClockDrift))
}

// AppHash implements statesync.StateProvider. The header of the next block has the
// root, and that of the one after is needed for State: a snapshot is taken up once
// both are there.
func (p *prover) AppHash(ctx context.Context, height uint64) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, err := p.block(ctx, height+1)
	if err == nil {
		_, err = p.block(ctx, height+2)
	}
	if err != nil {
		return nil, err
	}
	return next.AppHash, nil
}

// Commit implements statesync.StateProvider.
func (p *prover) Commit(ctx context.Context, height uint64) (*cmttypes.Commit, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := p.block(ctx, height)
	if err != nil {
		return nil, err
	}
	return b.Commit, nil
}

// State implements statesync.StateProvider: what the headers of a block and the two
// after it say.
func (p *prover) State(ctx context.Context, height uint64) (sm.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var last, next, second *cmttypes.LightBlock
	for i, b := range []**cmttypes.LightBlock{&last, &next, &second} {
		var err error
		if *b, err = p.block(ctx, height+uint64(i)); err != nil {
			return sm.State{}, err
		}
	}
	params, err := p.params(ctx, next.Height)
	if err != nil {
		return sm.State{}, err
	}
	return sm.State{
		ChainID: p.light.ChainID(), InitialHeight: 1, Version: cmtstate.Version{Consensus: next.Version, Software: version.TMCoreSemVer},
		LastBlockHeight: last.Height, LastBlockID: last.Commit.BlockID, LastBlockTime: last.Time, LastValidators: last.ValidatorSet,
		Validators: next.ValidatorSet, AppHash: next.AppHash, LastResultsHash: next.LastResultsHash,
		NextValidators: second.ValidatorSet, LastHeightValidatorsChanged: second.Height,
		ConsensusParams: params, LastHeightConsensusParamsChanged: next.Height,
	}, nil
}

// params are the rules of blocks from a verified height on, as its header has them.
func (p *prover) params(ctx context.Context, height int64) (none cmttypes.ConsensusParams, err error) {
	rpc := p.sources[p.light.Primary()]
	if rpc == nil {
		return none, errors.New("the state sync has lost its source")
	}
	r, err := lightrpc.NewClient(rpc, p.light).ConsensusParams(ctx, &height)
	if err != nil {
		return none, fmt.Errorf("ask for the rules of blocks: %w", err)
	}
	return r.ConsensusParams, nil
}
