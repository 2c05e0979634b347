package node

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cometbft/cometbft/p2p"
	cmttypes "github.com/cometbft/cometbft/types"

	"daulat/core/invite"
	"daulat/ledger/app"
	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link"
	"daulat/ui/control"
)

// nodeFile keeps how a home's ledger node runs.
const nodeFile = "node.json"

// nodeSettings are what a testnet's founder set for one validator.
type nodeSettings struct {
	Peers         []string      `json:"peers"`          // ID@HOST:PORT
	P2P           string        `json:"p2p,omitempty"`  // IP:PORT where other nodes reach it; empty for loopback
	Link          string        `json:"link,omitempty"` // IP:PORT where other peers do
	BlockTime     time.Duration `json:"block_time_ns"`
	SnapshotEvery uint64        `json:"snapshot_every"`
}

// ledgerNode is a home that runs a ledger node and nothing else.
type ledgerNode struct {
	tenant
	listen    string       // multiaddr of the peer, if the user named it
	founded   string       // that which the ledger's founder named; empty for the peer's own choice
	peer      *link.Node   // through which others reach it
	tip       int64        // of the ledger that it follows, when it asked
	trust     client.Trust // where it follows one
	validator *validator.Validator
}

// Node runs a ledger node until ctx ends. ready is called once it serves, which
// may be before it has a block.
func (Runtime) Node(ctx context.Context, o control.NodeOptions, say control.Progress, ready func(control.Node)) error {
	at, err := linkAddr(o.Link)
	if err != nil {
		return err
	}
	if o.P2P != "" {
		if _, err := netip.ParseAddrPort(o.P2P); err != nil {
			return control.WrongInput{Err: fmt.Errorf("--p2p %q is not of the form IP:PORT", o.P2P)}
		}
	}
	return inHome(ctx, o.Home, say, func(home Home) error {
		if err := home.vacant(at); err != nil {
			return err
		}
		if o.P2P != "" {
			if err := vacantPort(o.P2P); err != nil {
				return err
			}
		}
		n := &ledgerNode{tenant: tenant{home: home, say: say, ask: o.Passphrase}, listen: at}
		return errors.Join(n.run(ctx, o, ready), n.close())
	})
}

func (n *ledgerNode) run(ctx context.Context, o control.NodeOptions, ready func(control.Node)) error {
	if err := n.open(); err != nil {
		return err
	}
	peers, err := n.home.peersOf(o.Invite)
	if err != nil {
		return err
	}
	if err := n.openCaller(link.Config{Named: peers}); err != nil {
		return err
	}
	var s nodeSettings
	if err := loadJSON(n.home.path(nodeFile), &s); err != nil {
		return err
	}
	c := validator.Config{Home: n.home.path("chain"), Logger: n.log, TimeoutCommit: s.BlockTime, SnapshotEvery: s.SnapshotEvery, Peers: s.Peers, Sole: o.Sole}
	if at := cmp.Or(o.P2P, s.P2P); at != "" {
		c.P2P = "tcp://" + at
	}
	if n.listen, err = n.home.linkAt(n.listen, n.say); err != nil {
		return err
	}
	if n.founded, err = linkAddr(s.Link); err != nil {
		return err
	}
	guest, err := n.home.isGuest()
	if err != nil {
		return err
	}
	if o.Invite != "" || guest {
		if err := n.follow(ctx, o.Invite, &c); err != nil {
			return err
		}
	} else if !validator.Exists(c.Home) {
		return control.WrongInput{Err: errors.New("this home follows no ledger yet: daulat node needs an INVITE")}
	}
	if err := n.start(ctx, c); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return ofUpgrade(err)
	}
	if err := n.openPeer(); err != nil {
		return err
	}
	end, err := n.home.serve(serving{Ledgers: []string{n.validator.RPCAddress()}, Chain: n.validator.ChainID(), Account: operatorKey, Peers: n.peer.Addrs()})
	if err != nil {
		return err
	}
	n.onClose(end)
	ready(control.Node{Home: n.home.dir, Chain: n.validator.ChainID(), Genesis: n.validator.GenesisHash(), Ledger: n.validator.RPCAddress(),
		REST: n.validator.RESTAddress(), GRPC: n.validator.GRPCAddress(), P2P: n.validator.Peer(), Link: n.peer.Addrs()})
	if ended, err := n.stay(ctx); ended {
		return err
	}
	due := ofUpgrade(n.validator.Err())
	if errors.As(due, new(control.UpgradeDue)) {
		n.say(fmt.Sprintf("an upgrade is due: staying for %s, so that the other nodes get the votes for the last block", lastVotes))
		select {
		case <-ctx.Done():
		case <-time.After(lastVotes):
		}
	}
	return due
}

// stay says how far the node came, until it halts or ctx ends or the ledger turns
// out to be another one; then the node has ended.
func (n *ledgerNode) stay(ctx context.Context) (ended bool, err error) {
	tick := time.NewTicker(arrivalPoll)
	defer tick.Stop()
	foreign, way := n.foreign(ctx), arrival{tip: n.tip, spoke: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case err := <-foreign:
			return true, err
		case <-n.validator.Halted():
			return false, nil
		case now := <-tick.C:
			if way.here {
				continue
			}
			status, err := n.validator.RPC().Status(ctx)
			if err != nil {
				continue // it halts, or ctx ends
			}
			if news := way.at(now, status.SyncInfo.LatestBlockHeight, status.SyncInfo.CatchingUp); news != "" {
				n.say(news)
			}
		}
	}
}

// A node that gets blocks looks how far it is, and says so now and then.
const (
	arrivalPoll   = 300 * time.Millisecond
	arrivalSpeaks = 10 * time.Second
)

// arrival is a node's way to the ledger's end.
type arrival struct {
	tip   int64     // that peers proved at the start
	spoke time.Time // last
	here  bool
}

// at is what there is to say of a node at a height, if anything: that it is at the
// end is its own word, which counts from the proven tip on.
func (a *arrival) at(now time.Time, height int64, catchingUp bool) string {
	switch {
	case a.here || height == 0:
		return ""
	case !catchingUp && height >= a.tip:
		a.here = true
		return fmt.Sprintf("the ledger is here, at block %d", height)
	case now.Sub(a.spoke) < arrivalSpeaks:
		return ""
	}
	a.spoke = now
	if height < a.tip {
		return fmt.Sprintf("getting the ledger: at block %d of %d", height, a.tip)
	}
	return fmt.Sprintf("getting the ledger: at block %d, and more were made meanwhile", height)
}

// foreign tells if the node follows another ledger than the trusted one.
func (n *ledgerNode) foreign(ctx context.Context) <-chan error {
	found := make(chan error, 1)
	if n.trust.Height == 0 { // its own ledger
		return found
	}
	go func() {
		if err := n.validator.Holds(ctx, n.trust); errors.Is(err, validator.ErrForeignBlock) {
			found <- err
		}
	}()
	return found
}

// start starts the node, and waits until a snapshot gave it a state, or starts it
// once more, to get all blocks, if no peer has one that can be used.
func (n *ledgerNode) start(ctx context.Context, c validator.Config) (err error) {
	n.say("starting the ledger node")
	if n.validator, err = validator.Start(ctx, c); err != nil {
		return err
	}
	n.onClose(func() error { return n.validator.Stop() })
	if n.validator.Forgot() {
		n.say(fmt.Sprintf("what this home's validator signed is lost: it signs again when %d blocks are without its signature (should the ledger stand still: --sole)", validator.ForgetsFor))
		if c.Sync == nil {
			n.say("getting all blocks of the ledger, from the first: daulat node INVITE, with an invite of another validator's home, begins with a snapshot")
		}
	}
	if n.validator.Hunts() {
		n.say(fmt.Sprintf("getting a snapshot of the ledger, which is at block %d", n.tip))
	}
	if err := n.validator.WaitState(ctx); !errors.Is(err, validator.ErrNoSnapshot) {
		return err
	}
	if err := n.validator.Stop(); err != nil {
		return err
	}
	n.say(fmt.Sprintf("%s: getting all of its %d blocks instead", validator.ErrNoSnapshot, n.tip))
	c.Sync = nil
	again, err := validator.Start(ctx, c)
	if err == nil {
		n.validator = again
	}
	return err
}

// lastVotes is for how long a node that stands still at an upgrade's height goes on
// passing votes on: whoever is one step behind would get them from nobody else.
const lastVotes = 5 * time.Second

// ofUpgrade marks the one end that asks for another program.
func ofUpgrade(err error) error {
	if errors.Is(err, app.ErrUpgradeDue) {
		return control.UpgradeDue{Err: err}
	}
	return err
}

// openPeer opens the peer through which others reach this node.
func (n *ledgerNode) openPeer() error {
	key, err := n.key(identityName)
	if err != nil {
		return err
	}
	if n.peer, err = n.home.openLink(identity{identityName, key}.file(), cmp.Or(n.listen, n.founded), link.Config{Key: key}); err != nil {
		return err
	}
	n.onClose(n.peer.Close)
	if err := n.home.keepLink(n.listen, n.peer); err != nil {
		return err
	}
	operator, err := n.keyring.Account(operatorKey)
	if err != nil {
		return err
	}
	n.onClose(openDoor(n.peer, n.validator, client.New(n.validator.RPC(), n.validator.ChainID(), operator)))
	return nil
}

// follow sets c to the ledger of an invite, or of the one that the home follows,
// through the peers that the invite names. They are not trusted: the genesis has
// the invite's hash, and the state is proved from the invite's header.
func (n *ledgerNode) follow(ctx context.Context, line string, c *validator.Config) error {
	network, joins, err := n.way(line, len(c.Peers) > 0)
	if err != nil {
		return err
	}
	trust, err := client.ParseTrust(network.known.Trust)
	if err != nil {
		return err
	}
	n.trust = trust
	n.say("reaching the network " + trust.ChainID)
	c.Sync = &validator.StateSync{Trust: trust}
	var tip int64
	var failed []string
	var silent []error
	var lagging error
	for i, addrs := range network.paths {
		height, err := n.tryReach(ctx, addrs, trust, c, i+1 < len(network.paths))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, client.ErrBehind) {
			return err
		}
		if errors.Is(err, client.ErrLagging) {
			lagging = err
		}
		if err != nil {
			failed = append(failed, fmt.Sprintf("%s: %s", addrs[0], err))
			if client.Silent(err) {
				silent = append(silent, err)
			}
			n.log.Warn("a peer of the network is left out", "peer", addrs[0], "error", err)
		}
		tip = max(tip, height)
	}
	if len(silent) == len(network.paths) {
		return noPeer(trust.ChainID, errors.Join(silent...))
	}
	if len(failed) == len(network.paths) && lagging != nil { // says more than who else did not help
		return lagging
	}
	if len(failed) == len(network.paths) {
		return fmt.Errorf("none of the network's %d peers helps: %s", len(failed), strings.Join(failed, "; "))
	}
	n.chooseSync(tip, c)
	if !joins {
		return nil
	}
	return network.save()
}

// way is the network of the line, or the one that the home joined. A validator that
// founded the ledger of the line with others joins nothing: the line leads it to a
// snapshot, should it have lost its data.
func (n *ledgerNode) way(line string, among bool) (w *network, joins bool, err error) {
	l, wrong := invite.ParseLine(line)
	own, founder, err := validator.Founded(n.home.path("chain"))
	if err != nil {
		return nil, false, err
	}
	if wrong == nil && among && founder && own == l.Genesis.String() {
		return &network{home: n.home, peer: n.caller, say: n.say, paths: link.ByPeer(l.Peers), known: guestOf{Trust: trustOf(l).String()}}, false, nil
	}
	w, _, err = openNetwork(n.home, n.caller, line, n.say)
	return w, true, err
}

// reachPatience is for how long a peer may take to prove its ledger if there are
// others.
const reachPatience = 20 * time.Second

func (n *ledgerNode) tryReach(ctx context.Context, addrs []string, trust client.Trust, c *validator.Config, others bool) (int64, error) {
	if others {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, reachPatience)
		defer cancel()
	}
	return n.reach(ctx, addrs, trust, c)
}

// ErrGenesis says that a peer showed the genesis of another ledger.
var ErrGenesis = errors.New("it shows a genesis that is not the invite's")

// reach opens the ways to one peer's node, and returns the proven height of its
// ledger. The first peer that has the genesis gives it. One that lies is found here,
// as the state sync stops when one of its sources contradicts the others.
func (n *ledgerNode) reach(ctx context.Context, addrs []string, trust client.Trust, c *validator.Config) (height int64, err error) {
	rpc, err := ledgerAt(n.caller, addrs)
	if err != nil {
		return 0, err
	}
	doc, err := genesisOf(ctx, rpc, trust)
	if err != nil {
		return 0, err
	}
	status, err := rpc.Status(ctx)
	if err != nil {
		return 0, err
	}
	id := status.NodeInfo.DefaultNodeID
	if raw, err := hex.DecodeString(string(id)); err != nil || len(raw) != p2p.IDByteLength {
		return 0, errors.New("it does not say which ledger node it has")
	}
	height, unproven := client.NewVerified(rpc, trust, nil, nil).Tip(ctx)
	if client.Lied(unproven) || errors.Is(unproven, client.ErrBehind) {
		return 0, unproven
	}
	if errors.Is(unproven, client.ErrLagging) && !validator.Exists(c.Home) { // a fresh home gets a state that is proven
		return 0, unproven
	}
	if !validator.Exists(c.Home) {
		if err := validator.Adopt(c.Home, doc); err != nil {
			return 0, err
		}
	}
	calls, at, err := reachFrom(n.caller, addrs, ledgerProtocol)
	if err != nil {
		return 0, err
	}
	blocks, to, err := reachFrom(n.caller, addrs, nodeProtocol)
	if err != nil {
		return 0, errors.Join(err, calls.close())
	}
	n.onClose(calls.close)
	n.onClose(blocks.close)
	if unproven == nil { // else it gives blocks at the most, as it lacks the trusted header
		c.Sync.RPC = append(c.Sync.RPC, "http://"+at)
	}
	if !slices.ContainsFunc(c.Peers, func(known string) bool { return strings.HasPrefix(known, string(id)+"@") }) {
		c.Peers = append(c.Peers, string(id)+"@"+to)
	}
	return height, nil
}

// genesisOf is the genesis that a node shows, if it is the trusted one.
func genesisOf(ctx context.Context, rpc client.RPC, trust client.Trust) (*cmttypes.GenesisDoc, error) {
	r, err := rpc.Genesis(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the genesis: %w", err)
	}
	hash, err := client.GenesisHash(r.Genesis)
	if err != nil {
		return nil, err
	}
	if hash != trust.GenesisHash {
		return nil, ErrGenesis
	}
	return r.Genesis, nil
}

// chooseSync drops the state sync if block by block is as good: the ledger is
// young, so it may have no snapshot.
func (n *ledgerNode) chooseSync(tip int64, c *validator.Config) {
	if tip == 0 { // proven by nobody: it must be a home that has blocks already
		return
	}
	if n.tip = tip; tip < youngLedger {
		c.Sync = nil
		n.say("getting the ledger's " + control.Count(tip, "block"))
	}
}

// youngLedger is the height below which the blocks come as fast as a snapshot
// does, and a snapshot may be missing.
const youngLedger = validator.SnapshotEvery * 3 / 2

// openDoor lets guests reach the ledger, and nodes that follow it the node,
// through a home's peer. carrier redeems their invites.
func openDoor(peer *link.Node, v *validator.Validator, carrier *client.Client) (close func() error) {
	peer.Handle(doorProtocol, newDoor(carrier).serve)
	v.ServeRPC(peer.Listen(ledgerProtocol, maxGuests))
	return serveNode(peer, v.Peer()).close
}
