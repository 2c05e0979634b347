package validator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	cmtconfig "github.com/cometbft/cometbft/config"
	dbm "github.com/cosmos/cosmos-db"

	"daulat/ledger/app"
	"daulat/ledger/client"
)

// gossipSleep is the pause of those who pass votes on. With the library's 100 ms,
// several validators would be slower than BlockTime plus a tenth of a second.
const gossipSleep = 20 * time.Millisecond

// discovery is how long snapshots of several peers are collected, the least that
// the library allows.
const discovery = 5 * time.Second

func cometConfig(c Config) *cmtconfig.Config {
	cfg := cmtconfig.DefaultConfig()
	cfg.SetRoot(c.Home)
	cfg.DBBackend = string(dbm.PebbleDBBackend)
	cfg.Consensus.TimeoutCommit = c.TimeoutCommit
	cfg.Consensus.PeerGossipSleepDuration = gossipSleep
	cfg.RPC.ListenAddress = "" // servers does it, with checks that CometBFT lacks
	cfg.Moniker = "daulat"     // the default is the machine's name, which everybody could read
	cfg.Mempool.MaxTxBytes = app.MaxTxBytes
	cfg.Mempool.Size, cfg.Mempool.MaxTxsBytes = app.MaxWaiting, app.MaxWaitingBytes
	cfg.TxIndex.Indexer = "null" // clients read the blocks themselves
	if c.P2P != "" {
		cfg.P2P.ListenAddress = c.P2P
	}
	cfg.Consensus.BlockTimeTolerance = client.ClockDrift // a minute in the library: whose clock is more behind could follow no ledger
	cfg.P2P.PersistentPeers = strings.Join(c.Peers, ",")
	cfg.P2P.AddrBookStrict = false  // private addresses are fine
	cfg.P2P.AllowDuplicateIP = true // several nodes of one machine, or behind one router
	cfg.P2P.PexReactor = false      // peers are told, not found
	return cfg
}

// keptAddress is the P2P address of the configuration, or that of the last start,
// or a free one, which is then kept: others have it among their peers. The node
// listens by itself, so this only sees that the port is free.
func keptAddress(configured, home, name string) (string, error) {
	if configured != "" && !strings.HasSuffix(configured, ":0") {
		return configured, nil
	}
	file := filepath.Join(home, "config", name)
	kept, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if len(kept) > 0 {
		if l, err := net.Listen("tcp", string(kept)); err == nil {
			return "tcp://" + string(kept), l.Close()
		}
	}
	address, err := freePort()
	if err != nil {
		return "", err
	}
	return "tcp://" + address, os.WriteFile(file, []byte(address), 0o600)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// ReserveP2P chooses the P2P address of homes that never started, all at once and
// so that no two have the same, and returns them in order: peers have to know it
// before.
func ReserveP2P(homes ...string) (addresses []string, err error) {
	var open []net.Listener
	defer func() {
		for _, l := range open {
			err = errors.Join(err, l.Close())
		}
	}()
	for _, home := range homes {
		if err := makeHome(home); err != nil {
			return nil, err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		open = append(open, l)
		addresses = append(addresses, l.Addr().String())
		if err := os.WriteFile(filepath.Join(home, "config", "p2p-address"), []byte(l.Addr().String()), 0o600); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}

// StateSync is how a home without state gets that of a recent block: peers send
// a snapshot, and the light client, which starts from Trust, proves its root.
type StateSync struct {
	Trust  client.Trust
	RPC    []string // addresses of at least one node, such as http://127.0.0.1:26657
	Rounds int      // of looking for a snapshot until it is given up; default huntRounds
}

// syncing marks a home that began a state sync: a half restored state is no state.
const syncing = "syncing"

func (s *StateSync) begin(home string, cfg *cmtconfig.Config) error {
	if len(s.RPC) == 0 {
		return errors.New("state sync needs the RPC address of a node")
	}
	servers := s.RPC
	if len(servers) == 1 { // the library wants a witness; with one node to ask there is none
		servers = []string{servers[0], servers[0]}
	}
	cfg.StateSync.Enable = true
	cfg.StateSync.RPCServers = servers
	cfg.StateSync.TrustHeight, cfg.StateSync.TrustHash = s.Trust.Height, s.Trust.Hash
	cfg.StateSync.TrustPeriod = client.TrustingPeriod
	cfg.StateSync.DiscoveryTime = discovery
	cfg.StateSync.TempDir = filepath.Join(home, "data")
	return os.WriteFile(filepath.Join(home, "config", syncing), nil, 0o600)
}

// synced notes that the state is whole: the next start goes on from it.
func (v *Validator) synced() error {
	err := os.Remove(filepath.Join(v.home, "config", syncing))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// forgetHalfSynced removes what an interrupted state sync left, and nothing of
// what the key signed.
func forgetHalfSynced(home string) error {
	if _, err := os.Stat(filepath.Join(home, "config", syncing)); err != nil {
		return nil // there was none
	}
	for _, name := range []string{"application.db", "blockstore.db", "state.db", "evidence.db", "cs.wal", "snapshots"} {
		if err := os.RemoveAll(filepath.Join(home, "data", name)); err != nil {
			return fmt.Errorf("remove what an interrupted sync left: %w", err)
		}
	}
	return os.Remove(filepath.Join(home, "config", syncing))
}

// await ends when ctx does, or after d.
func await(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
