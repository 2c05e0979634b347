// Package validator runs a ledger node inside the calling process: CometBFT,
// the application and their databases, with one call to start and one to stop.
//
// Guarantees: a home is initialised once and never overwritten; a node that was
// stopped, or killed, resumes from its home where the last block left it; all
// listeners are on loopback unless told otherwise; warnings and errors reach
// data/node.log; a halt is never silent: [Validator.Halted] tells the process,
// and calls that wait for a block get the cause.
//
// Three servers take questions without a token: CometBFT's RPC, REST (JSON over
// HTTP) and gRPC. All they give is public: blocks, state, the transactions that
// wait, which version runs and which peers it knows. All they take is signed
// transactions, and evidence against validators. They hold no keys and change no
// settings. A web page reaches none of them: RPC and REST refuse foreign host
// names (DNS rebinding) and origins, and RPC has no WebSocket; gRPC speaks a
// protocol that browsers do not. Every size, time and number is bounded.
//
// A ledger has one validator, or several that find each other by their peers'
// addresses: a node is one if the ledger says so of its key, and otherwise a full
// node that checks and keeps every block. A home without state gets it from a
// snapshot of its peers, which the light client checks, or block by block.
//
// Start at [Init], or [NewGenesis] and [Adopt], then [Start]. A home holds config (genesis and keys) and
// data (databases and log).
package validator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	cmtconfig "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	"github.com/cometbft/cometbft/rpc/client/local"
	cmttypes "github.com/cometbft/cometbft/types"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/server"
	cmtlog "github.com/cosmos/cosmos-sdk/server/log"
	pruningtypes "github.com/cosmos/cosmos-sdk/store/v2/pruning/types"
	snapshottypes "github.com/cosmos/cosmos-sdk/store/v2/snapshots/types"

	"daulat/ledger/app"
	"daulat/ledger/client"
)

// BlockTime is the pause between two blocks unless a Config says otherwise.
const BlockTime = 500 * time.Millisecond

// Config says how a node runs. Only Home is required.
type Config struct {
	Home          string
	ChainID       string        // if set, it must be the genesis's
	TimeoutCommit time.Duration // pause between blocks; default BlockTime
	RPC           string        // address to listen on, such as tcp://127.0.0.1:26657; default a free port of 127.0.0.1, kept from start to start
	GRPC          string        // the same for gRPC
	REST          string        // the same for REST
	Hosts         []string      // names by which others call this machine; localhost and addresses need no mention
	P2P           string        // where peers reach the node; default a free port of 127.0.0.1, kept as RPC's is
	Peers         []string      // nodes to stay connected with, as ID@HOST:PORT; none on a ledger of one validator
	Sync          *StateSync    // where a home without state gets it; nil: block by block
	Sole          bool          // no other home signs with the validator's key, though one did lately
	SnapshotEvery uint64        // blocks between two snapshots for others; default SnapshotEvery
	PlainShare    uint64        // one in so many parts of its blocks is for what are not the network's own messages; default app.PlainShare
	Logger        *slog.Logger  // gets what the log file gets; may be nil

	now func() time.Time // time.Now
}

// Limits of what a node keeps and accepts.
const (
	keepStates    = 10_000               // versions of the state that queries can name
	pruneInterval = 100                  // blocks
	queryGas      = 50_000_000           // of one query by a stranger
	firstBlock    = 5 * time.Millisecond // between two looks for it
)

// Validator is a running node.
type Validator struct {
	node     *node.Node
	app      *app.App
	home     string
	rpc      *local.Local
	servers  servers
	halt     halt
	hunt     *hunt // nil unless this start looks for a snapshot
	genesis  string
	stopping atomic.Bool
	stop     sync.Once
	stopped  error
	snapper  snapper
	seeker   seeker
	release  closers // what the node does not close itself
}

// Start runs the node whose home was initialised, and returns when it takes
// queries and transactions: a new block is there. A node with peers may have to
// wait for them, and returns before; [Validator.WaitBlock] waits. ctx bounds the
// start alone.
func Start(ctx context.Context, c Config) (*Validator, error) {
	if c.TimeoutCommit == 0 {
		c.TimeoutCommit = BlockTime
	}
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = SnapshotEvery
	}
	if c.now == nil {
		c.now = time.Now
	}
	v := &Validator{home: c.Home, halt: halt{done: make(chan struct{})}}
	if err := v.start(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("start ledger node: %w", err), v.Stop())
	}
	return v, nil
}

func (v *Validator) start(ctx context.Context, c Config) error {
	doc, err := cmttypes.GenesisDocFromFile(genesisFile(c.Home))
	if err != nil {
		return err
	}
	if c.ChainID != "" && c.ChainID != doc.ChainID {
		return fmt.Errorf("the home belongs to ledger %q, not %q", doc.ChainID, c.ChainID)
	}
	if v.genesis, err = client.GenesisHash(doc); err != nil {
		return err
	}
	if err := errors.Join(forgetHalfSynced(c.Home), renew(c)); err != nil {
		return err
	}
	var search *hunt
	if c.Sync != nil {
		search = newHunt(c.Sync.Rounds)
	}
	logger, err := openLog(filepath.Join(c.Home, "data", "node.log"), c.Logger, quiet{stopping: &v.stopping, halt: &v.halt, hunt: search}, &v.release)
	if err != nil {
		return err
	}
	db, err := dbm.NewDB("application", dbm.PebbleDBBackend, filepath.Join(c.Home, "data"))
	if err != nil {
		return err
	}
	db = stateDB{DB: db, close: sync.OnceValue(db.Close)}
	v.release.add(db.Close)
	retain := uint64(client.TrustingPeriod / c.TimeoutCommit)
	snapshots, err := openSnapshots(c.Home, &v.release)
	if err != nil {
		return err
	}
	v.app, err = app.New(logger, db, c.Home, baseapp.SetChainID(doc.ChainID),
		baseapp.SetPruning(pruningtypes.NewCustomPruningOptions(keepStates, pruneInterval)),
		baseapp.SetIAVLSyncPruning(true), // nothing prunes behind a closed database
		baseapp.SetMinRetainBlocks(retain),
		baseapp.SetSnapshot(snapshots, snapshottypes.NewSnapshotOptions(0, keepSnapshots)), // snapper takes them
		baseapp.SetQueryGasLimit(queryGas))
	if err != nil {
		return err
	}
	v.app.SetPlainShare(cmp.Or(c.PlainShare, app.PlainShare))
	if err := v.app.CheckUpgrade(); err != nil {
		return err
	}
	if err := client.Behind(doc.GenesisTime, c.now()); err != nil {
		return err
	}
	last := v.app.LastBlockHeight()
	if c.P2P, err = keptAddress(c.P2P, c.Home, "p2p-address"); err != nil {
		return err
	}
	cfg := cometConfig(c)
	if search != nil && last == 0 {
		v.hunt = search
		if err := c.Sync.begin(c.Home, cfg); err != nil {
			return err
		}
	}
	if err := v.startNode(ctx, c, cfg, doc, cmtlog.CometLoggerWrapper{Logger: logger}); err != nil {
		return err
	}
	if err := v.servers.start(c, v, logger); err != nil {
		return err
	}
	v.snapper.start(v, c, logger)
	v.seeker.start(v, c, logger)
	if len(c.Peers) > 0 {
		return nil
	}
	return v.WaitBlock(ctx, last+1)
}

func (v *Validator) startNode(ctx context.Context, c Config, cfg *cmtconfig.Config, doc *cmttypes.GenesisDoc, logger cmtlog.CometLoggerWrapper) error {
	key, err := p2p.LoadNodeKey(cfg.NodeKeyFile())
	if err != nil {
		return err
	}
	pv, err := loadSigner(cfg)
	if err != nil {
		return err
	}
	var options []node.Option
	if v.hunt != nil {
		p, err := newProver(ctx, doc.ChainID, c.Sync, cfg.StateSync.RPCServers, cfg.StateSync.TrustHashBytes(), logger)
		if err != nil {
			return err
		}
		options = append(options, node.StateProvider(p))
	}
	signs := &signer{FilePV: pv, sole: c.Sole, refuse: v.halt.end}
	if hasForgotten(c.Home) {
		signs.forgot = filepath.Join(c.Home, "config", forgot)
	}
	v.node, err = node.NewNodeWithContext(ctx, cfg, signs, key,
		proxy.NewLocalClientCreator(server.NewCometABCIWrapper(v.app)),
		func() (*cmttypes.GenesisDoc, error) { return doc, nil }, v.release.database,
		node.DefaultMetricsProvider(cfg.Instrumentation), logger, options...)
	if err != nil {
		return err
	}
	signs.commits = v.node.BlockStore()
	if last := v.node.BlockStore().LoadBlockMeta(v.app.LastBlockHeight()); last != nil { // not after a snapshot
		v.app.Resume(last.Header.Time)
	}
	if err := v.behind(c.now()); err != nil {
		return err
	}
	v.rpc = local.New(v.node)
	v.app.OnUpgrade(func(due error) bool {
		v.halt.end(due)
		return v.node.ConsensusReactor().WaitSync()
	})
	if err := v.startFounded(); err != nil {
		return err
	}
	return v.halt.watch(v.node, &v.stopping)
}

// startFounded starts the node of a ledger that is founded, though it be later by this
// machine's clock: CometBFT would sleep until then, and answer nobody.
func (v *Validator) startFounded() error {
	doc := v.node.GenesisDoc()
	founded := doc.GenesisTime
	doc.GenesisTime = time.Time{} // read by nothing else before the node has started
	defer func() { doc.GenesisTime = founded }()
	return v.node.Start()
}

// behind is a client.ErrBehind if the newest block is of a time that this machine's clock
// is too far from. No block that follows would be taken then.
func (v *Validator) behind(now time.Time) error {
	last := v.node.BlockStore().LoadBlockMeta(v.node.BlockStore().Height())
	if last == nil {
		return nil
	}
	return client.Behind(last.Header.Time, now)
}

// ErrForeignBlock says that a ledger is another than the one that is trusted.
var ErrForeignBlock = errors.New("the blocks that peers gave are not those of the trusted ledger")

// Holds waits for the block of a trusted header, and returns ErrForeignBlock if it is
// another. Who gets all blocks from peers believes the first validators' signatures,
// whose keys may be worth nothing to their owners by now. A node that began with a
// later snapshot has no such block: the light client led from the header to its state.
func (v *Validator) Holds(ctx context.Context, trusted client.Trust) error {
	if err := v.WaitBlock(ctx, trusted.Height); err != nil {
		return err
	}
	meta := v.node.BlockStore().LoadBlockMeta(trusted.Height)
	if meta == nil || strings.EqualFold(meta.BlockID.Hash.String(), trusted.Hash) {
		return nil
	}
	return fmt.Errorf("%w: block %d is %s, and should be %s; this home's copy is worth nothing: join with a fresh one", ErrForeignBlock, trusted.Height,
		strings.ToLower(meta.BlockID.Hash.String()), trusted.Hash)
}

// WaitBlock returns when the block is committed. Before a ledger's first block,
// queries fail and transactions are checked against no time.
func (v *Validator) WaitBlock(ctx context.Context, height int64) error {
	tick := time.NewTicker(firstBlock)
	defer tick.Stop()
	for {
		at, err := v.Height(ctx)
		if err != nil || at >= height {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for block %d: %w", height, ctx.Err())
		case <-v.halt.done:
			return v.halt.cause
		case <-tick.C:
		}
	}
}

// Height is of the last block whose state the node has; 0 if there is none.
func (v *Validator) Height(ctx context.Context) (int64, error) {
	info, err := v.rpc.ABCIInfo(ctx)
	if err != nil {
		return 0, err
	}
	return info.Response.LastBlockHeight, nil
}

// Stop ends the servers, then the node, and closes its databases; the home can
// then be opened again. A second call does nothing.
func (v *Validator) Stop() error {
	v.stop.Do(func() {
		v.stopping.Store(true)
		v.servers.close()
		v.seeker.wait()
		if v.node != nil && v.node.IsRunning() {
			// What gets blocks from others ends before the peers do: CometBFT's block pool
			// panics over a peer that goes while its block is being checked.
			if r, ok := v.node.Switch().Reactor("BLOCKSYNC"); ok {
				_ = r.Stop() // it may be over
			}
			v.stopped = v.node.Stop()
			v.node.Wait()
		}
		v.servers.wait()
		v.snapper.wait()
		if v.app != nil {
			v.stopped = errors.Join(v.stopped, v.app.Close())
		}
		v.stopped = errors.Join(v.stopped, v.release.close())
	})
	return v.stopped
}

// RPC is the node without a socket in between. Once the ledger has halted it
// takes no transactions and tells no height, and says why.
func (v *Validator) RPC() rpcclient.Client { return mortal{v.rpc, &v.halt} }

// RPCAddress is where others reach the node, such as tcp://127.0.0.1:26657.
func (v *Validator) RPCAddress() string { return "tcp://" + v.servers.rpc }

// ServeRPC answers calls of RPC on one more listener, with the limits of the
// first, until the node stops. The listener limits its connections.
func (v *Validator) ServeRPC(l net.Listener) { v.servers.serveHTTP(l, v.servers.calling) }

// Peer is how others reach the node to exchange blocks: ID@HOST:PORT.
func (v *Validator) Peer() string {
	return string(v.node.NodeInfo().ID()) + "@" + strings.TrimPrefix(v.node.Config().P2P.ListenAddress, "tcp://")
}

// Peers are the IDs of the nodes that it is connected with.
func (v *Validator) Peers() (ids []string) {
	for _, p := range v.node.Switch().Peers().Copy() {
		ids = append(ids, string(p.ID()))
	}
	return ids
}

// GRPCAddress is where gRPC is served, without TLS, such as 127.0.0.1:9090.
func (v *Validator) GRPCAddress() string { return v.servers.grpc }

// RESTAddress is where JSON is served, such as http://127.0.0.1:1317.
func (v *Validator) RESTAddress() string { return "http://" + v.servers.rest }

// ChainID names the ledger.
func (v *Validator) ChainID() string { return v.node.GenesisDoc().ChainID }

// GenesisHash tells this ledger from every other, even of the same name:
// SHA-256 in hexadecimal, as in a client.Trust.
func (v *Validator) GenesisHash() string { return v.genesis }

func genesisFile(home string) string { return filepath.Join(home, "config", "genesis.json") }

// makeHome makes the folders of a home, closed to others: keys lie there.
func makeHome(home string) error {
	for _, folder := range []string{"config", "data"} {
		if err := os.MkdirAll(filepath.Join(home, folder), 0o700); err != nil {
			return err
		}
	}
	return nil
}
