package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link"
	"daulat/ui/control"
)

// A testnet is a ledger of several validators, each a process of its own in a
// home of its own. The home around them holds the wallet that founded it.

// What a testnet starts with.
const (
	MaxValidators = 16 // processes of one machine
	testnetGrant  = 1_000_000
	testnetLife   = 7 * 24 * time.Hour
	stopValidator = 30 * time.Second
)

type testnet struct {
	home    Home
	say     control.Progress
	keyring *client.Keyring
	running []*child
}

// A child is the process of one validator.
type child struct {
	name   string
	home   string
	cmd    *exec.Cmd
	leash  io.Closer // its standard input: the child ends when this process does
	node   control.Node
	told   chan error // once: whether node is set
	ended  chan struct{}
	err    error // once it ended
	serves bool  // it did, once
}

// await returns when the validator serves.
func (c *child) await(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-c.told:
		if err == nil {
			c.serves = true
			return nil
		}
		<-c.ended
		said, _ := os.ReadFile(c.log()) // the error says enough without
		return fmt.Errorf("%s did not start (%s): %s", c.name, reason(c.err), clip(said))
	}
}

// log is where the child's progress and last words are.
func (c *child) log() string { return filepath.Join(c.home, "stderr.log") }

// Testnet runs several validators until ctx ends. One that is killed stays so;
// its home can be started by hand.
func (Runtime) Testnet(ctx context.Context, o control.TestnetOptions, say control.Progress, ready func(control.Testnet)) error {
	if o.Validators < 1 || o.Validators > MaxValidators {
		return control.WrongInput{Err: fmt.Errorf("a testnet has 1 to %d validators, not %d", MaxValidators, o.Validators)}
	}
	dir, err := filepath.Abs(o.Home)
	if err != nil {
		return err
	}
	if _, err := parseMachines(o.Machines); err != nil { // before a home is made
		return control.WrongInput{Err: err}
	}
	return inHome(ctx, dir, say, func(home Home) error {
		t := &testnet{home: home, say: say}
		homes, err := t.open()
		if err != nil {
			return err
		}
		_, onMachines, err := home.fleet()
		if err == nil && !onMachines && len(homes) == 0 {
			err = home.mayFound()
		}
		switch {
		case err != nil:
			return err
		case onMachines || len(homes) == 0 && len(o.Machines) > 0:
			return t.foundFor(ctx, o, ready)
		case len(o.Machines) > 0:
			return control.WrongInput{Err: errors.New("this home has a ledger on this machine already: another one needs another --home")}
		case len(homes) == 0:
			if homes, err = t.foundHere(o); err != nil {
				return err
			}
		}
		return errors.Join(t.run(ctx, homes, o, ready), t.stop())
	})
}

// mayFound refuses a testnet to a home that has a ledger already, its own or that of
// others.
func (h Home) mayFound() error {
	var known guestOf
	if err := loadJSON(h.path(networkFile), &known); err != nil {
		return err
	}
	if known.Trust != "" || validator.Exists(h.path("chain")) {
		return control.WrongInput{Err: errors.New("this home has a ledger already, its own or a friend's: a testnet needs another --home")}
	}
	return nil
}

// open opens the wallet's keys, and returns the homes of the validators that run
// here; none if there is no such ledger yet.
func (t *testnet) open() (homes []string, err error) {
	if t.keyring, err = t.home.openKeyring(); err != nil {
		return nil, err
	}
	return homes, loadJSON(t.home.path(foundedFile), &homes)
}

// foundHere founds a ledger whose validators are processes of this machine.
func (t *testnet) foundHere(o control.TestnetOptions) (homes []string, err error) {
	t.say("founding a new ledger with " + control.Count(o.Validators, "validator"))
	f, err := t.found(o, make([]seat, o.Validators))
	for _, v := range f.Machines {
		homes = append(homes, v.Home)
	}
	if err != nil {
		return nil, err
	}
	return homes, saveJSON(t.home.path(foundedFile), homes)
}

// openKeyring opens the keys of a home, whose passphrase lies in it.
func (h Home) openKeyring() (*client.Keyring, error) {
	passphrase, _, err := h.passphrase(nil)
	if err != nil {
		return nil, err
	}
	return client.OpenKeyring(h.path("keyring"), passphrase)
}

// foundedFile is written once all homes of a ledger on this machine are whole, and
// lists them.
const foundedFile = "testnet.json"

var errOfTestnet = errors.New("this home is a testnet's, which daulat testnet runs: ask and sell from another --home, by an invite to it")

// member is a validator whose home is being made.
type member struct {
	home     Home
	at       seat   // without an address: somewhere on loopback
	identity string // peer ID of its link
	validator.Founder
}

// found makes keys and homes of all validators, one genesis, and the wallet that
// has the coins.
func (t *testnet) found(o control.TestnetOptions, machines []seat) (f fleet, err error) {
	wallet, err := t.keyring.Account(walletKey)
	if err != nil {
		return f, err
	}
	var members []member
	var founders []validator.Founder
	for i, at := range machines {
		m, err := newMember(t.home.path(fmt.Sprintf("validator-%d", i+1)), at)
		if err != nil {
			return f, err
		}
		members, founders = append(members, m), append(founders, m.Founder)
	}
	suffix, err := randomHex(4)
	if err != nil {
		return f, err
	}
	doc, err := validator.NewGenesis(validator.Genesis{ChainID: "daulat-" + suffix, CloseWindow: closeWindow, ChallengeWindow: o.ChallengeWindow, VotingPeriod: o.VotingPeriod,
		Accounts: []validator.Funding{{Address: wallet.Account(), Amount: walletFunds}}}, founders)
	if err != nil {
		return f, err
	}
	f.Chain, f.Validators = doc.ChainID, hex.EncodeToString(validator.FoundersHash(founders))
	if f.Genesis, err = client.GenesisHash(doc); err != nil {
		return f, err
	}
	addresses, err := reserve(members)
	if err != nil {
		return f, err
	}
	for i, m := range members {
		if err := m.settle(o, i, addresses); err != nil {
			return f, err
		}
		if err := validator.Adopt(m.home.path("chain"), doc); err != nil {
			return f, err
		}
		v := control.TestnetValidator{Node: control.Node{Home: m.home.dir, Chain: f.Chain, Genesis: f.Genesis, P2P: addresses[i]}, Restart: "daulat node --home " + m.home.dir}
		if m.at.Link.IsValid() {
			at, err := link.ListenAddr(m.at.Link.String())
			if err != nil {
				return f, err
			}
			v.Link = []string{at + "/p2p/" + m.identity}
		}
		f.Machines = append(f.Machines, v)
	}
	if !machines[0].P2P.IsValid() {
		return f, nil
	}
	return f, saveJSON(t.home.path(machinesFile), f)
}

// newMember makes a home with its keys, in the place of one that was half made.
func newMember(dir string, at seat) (m member, err error) {
	m.at = at
	if err := os.RemoveAll(dir); err != nil {
		return m, err
	}
	if m.home, err = OpenHome(dir); err != nil {
		return m, err
	}
	keyring, err := m.home.openKeyring()
	if err != nil {
		return m, err
	}
	operator, err := keyring.Account(operatorKey)
	if err != nil {
		return m, err
	}
	m.Account = operator.Account()
	key, err := (&tenant{keyring: keyring}).key(identityName)
	if err != nil {
		return m, err
	}
	m.identity = link.PeerID(key.Public())
	m.Keys, err = validator.MakeKeys(m.home.path("chain"))
	return m, err
}

// reserve is where the members reach each other, as ID@HOST:PORT.
func reserve(members []member) (addresses []string, err error) {
	var here []string // homes of those that may listen anywhere on loopback
	for _, m := range members {
		if !m.at.P2P.IsValid() {
			here = append(here, m.home.path("chain"))
		}
	}
	free, err := validator.ReserveP2P(here...)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		at := ""
		if m.at.P2P.IsValid() {
			at = m.at.P2P.String()
		} else {
			at, free = free[0], free[1:]
		}
		addresses = append(addresses, m.Keys.Node+"@"+at)
	}
	return addresses, nil
}

// settle keeps how the node of a member runs.
func (m member) settle(o control.TestnetOptions, own int, addresses []string) error {
	s := nodeSettings{BlockTime: o.BlockTime, SnapshotEvery: o.SnapshotEvery}
	if m.at.P2P.IsValid() {
		s.P2P, s.Link = m.at.P2P.String(), m.at.Link.String()
	}
	s.Peers = slices.Delete(slices.Clone(addresses), own, own+1)
	return saveJSON(m.home.path(nodeFile), s)
}

// starting says how many validators there are, if the user may have thought of others.
func starting(there, asked int) string {
	text := "starting " + control.Count(there, "validator")
	if there != asked {
		text += ": as many as this home's ledger was founded with, which --validators does not change"
	}
	return text
}

func (t *testnet) run(ctx context.Context, homes []string, o control.TestnetOptions, ready func(control.Testnet)) error {
	t.say(starting(len(homes), o.Validators))
	for _, home := range homes {
		if err := t.launch(home); err != nil {
			return err
		}
	}
	for _, c := range t.running {
		if err := c.await(ctx); err != nil {
			return err
		}
	}
	t.say("waiting until they agree on a block")
	first := t.running[0].node
	key, err := t.keyring.Account(walletKey)
	if err != nil {
		return err
	}
	rpc, err := client.Dial(first.Ledger)
	if err != nil {
		return err
	}
	wallet := account{client.New(rpc, first.Chain, key)}
	height, _, err := wallet.Status(ctx)
	if err != nil {
		return err
	}
	if _, err := wallet.WaitBlock(ctx, height); err != nil {
		return err
	}
	if err := caughtUp(ctx, rpc); err != nil {
		return err
	}
	trust, err := wallet.Trust(ctx)
	if err != nil {
		return err
	}
	out := control.Testnet{Home: t.home.dir, Chain: first.Chain, Trust: trust.String()}
	var ledgers, peers []string
	for _, c := range t.running {
		ledgers = append(ledgers, c.node.Ledger)
		out.Validators = append(out.Validators, control.TestnetValidator{Node: c.node, PID: c.cmd.Process.Pid, Restart: "daulat node --home " + c.home})
		peers = append(peers, c.node.Link[:min(1, len(c.node.Link))]...)
	}
	peers = peers[:min(len(peers), invite.MaxPeers)]
	if out.Invites, err = t.invites(ctx, wallet, trust, peers, o.Invites); err != nil {
		return err
	}
	end, err := t.home.serve(serving{Ledgers: ledgers, Chain: first.Chain, Account: walletKey, Peers: peers})
	if err != nil {
		return err
	}
	ready(out)
	return errors.Join(t.watch(ctx), end())
}

// caughtUp returns once a node takes transactions: it may have got its first blocks
// from the others.
func caughtUp(ctx context.Context, rpc client.RPC) error {
	tick := time.NewTicker(arrivalPoll)
	defer tick.Stop()
	for {
		s, err := rpc.Status(ctx)
		if err != nil || !s.SyncInfo.CatchingUp {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// invites makes n lines that lead through the peers.
func (t *testnet) invites(ctx context.Context, wallet account, trust client.Trust, peers []string, n int) ([]string, error) {
	lines := []string{}
	if n > 0 {
		t.say("making invites")
	}
	for range n {
		made, err := makeInvite(ctx, wallet, trust, peers, control.InviteTerms{Grant: testnetGrant, Life: testnetLife})
		if err != nil {
			return nil, err
		}
		lines = append(lines, made.Line)
	}
	return lines, nil
}

// launch starts the validator of a home as a process of its own.
func (t *testnet) launch(home string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	c := &child{name: filepath.Base(home), home: home, told: make(chan error, 1), ended: make(chan struct{})}
	c.cmd = exec.Command(program, "node", "--home", home, "--json", "--until-eof")
	c.cmd.SysProcAttr = ownGroup() // Ctrl-C is this process's to handle
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	c.cmd.Stderr = log
	if c.leash, err = c.cmd.StdinPipe(); err != nil {
		return err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	c.cmd.Stdout = in
	err = c.cmd.Start()
	in.Close()
	if err != nil {
		return errors.Join(err, out.Close())
	}
	t.running = append(t.running, c)
	go func() {
		c.told <- json.NewDecoder(out).Decode(&c.node)
		out.Close()
	}()
	go func() {
		defer close(c.ended)
		c.err = c.cmd.Wait()
	}()
	return nil
}

func (t *testnet) watch(ctx context.Context) error {
	gone := make(chan *child)
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, c := range t.running {
		all.Go(func() {
			select {
			case <-c.ended:
				select {
				case gone <- c:
				case <-ctx.Done():
				}
			case <-ctx.Done():
			}
		})
	}
	for left := len(t.running); left > 0; left-- {
		select {
		case <-ctx.Done():
			return nil
		case c := <-gone:
			t.say(fmt.Sprintf("%s ended (%v); to start it again: daulat node --home %s", c.name, reason(c.err), c.home))
		}
	}
	return errors.New("all validators ended")
}

func reason(err error) string {
	if err == nil {
		return "in order"
	}
	return err.Error()
}

// stop ends all validators, the last first, and waits for them.
func (t *testnet) stop() error {
	if len(t.running) > 0 {
		t.say("stopping the validators")
	}
	var failed []error
	for _, c := range slices.Backward(t.running) {
		select {
		case <-c.ended:
			continue // which was said
		default:
		}
		_ = c.leash.Close() // which ends it however far it came; it may end meanwhile
		kill := time.AfterFunc(stopValidator, func() { _ = c.cmd.Process.Kill() })
		<-c.ended
		kill.Stop()
		if c.err != nil && c.serves { // else it ended in its start, as it should
			failed = append(failed, fmt.Errorf("%s: %w: see %s", c.name, c.err, c.log()))
		}
	}
	return errors.Join(failed...)
}
