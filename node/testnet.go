package node

import (
	"context"
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
	name  string
	home  string
	cmd   *exec.Cmd
	leash io.Closer // its standard input: the child ends when this process does
	node  control.Node
	told  chan error // once: whether node is set
	ended chan struct{}
	err   error // once it ended
}

// await returns when the validator serves.
func (c *child) await(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-c.told:
		if err == nil {
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
	return inHome(dir, func(home Home) error {
		t := &testnet{home: home, say: say}
		homes, err := t.open(o)
		if err != nil {
			return err
		}
		return errors.Join(t.run(ctx, homes, o, ready), t.stop())
	})
}

// open returns the homes of all validators, and founds their ledger if there is none.
func (t *testnet) open(o control.TestnetOptions) (homes []string, err error) {
	if t.keyring, err = t.home.openKeyring(); err != nil {
		return nil, err
	}
	if homes, err = t.homes(); err != nil || len(homes) > 0 {
		return homes, err
	}
	t.say(fmt.Sprintf("founding a new ledger with %d validators", o.Validators))
	return t.found(o)
}

// openKeyring opens the keys of a home, whose passphrase lies in it.
func (h Home) openKeyring() (*client.Keyring, error) {
	passphrase, _, err := h.passphrase(nil)
	if err != nil {
		return nil, err
	}
	return client.OpenKeyring(h.path("keyring"), passphrase)
}

// foundedFile is written once all homes are whole, and lists them.
const foundedFile = "testnet.json"

func (t *testnet) homes() (homes []string, err error) {
	return homes, loadJSON(t.home.path(foundedFile), &homes)
}

// found makes keys and homes of all validators, one genesis, and the wallet that
// has the coins.
func (t *testnet) found(o control.TestnetOptions) (homes []string, err error) {
	wallet, err := t.keyring.Account("wallet")
	if err != nil {
		return nil, err
	}
	var founders []validator.Founder
	var chains []string
	for i := range o.Validators {
		dir := t.home.path(fmt.Sprintf("validator-%d", i+1))
		if err := os.RemoveAll(dir); err != nil { // half made
			return nil, err
		}
		home, err := OpenHome(dir)
		if err != nil {
			return nil, err
		}
		keyring, err := home.openKeyring()
		if err != nil {
			return nil, err
		}
		operator, err := keyring.Account(operatorKey)
		if err != nil {
			return nil, err
		}
		keys, err := validator.MakeKeys(home.path("chain"))
		if err != nil {
			return nil, err
		}
		homes, chains = append(homes, dir), append(chains, home.path("chain"))
		founders = append(founders, validator.Founder{Account: operator.Account(), Keys: keys})
	}
	suffix, err := randomHex(4)
	if err != nil {
		return nil, err
	}
	doc, err := validator.NewGenesis(validator.Genesis{ChainID: "daulat-" + suffix, CloseWindow: closeWindow, ChallengeWindow: o.ChallengeWindow,
		Accounts: []validator.Funding{{Address: wallet.Account(), Amount: walletFunds}}}, founders)
	if err != nil {
		return nil, err
	}
	addresses, err := validator.ReserveP2P(chains...)
	if err != nil {
		return nil, err
	}
	for i, chain := range chains {
		s := nodeSettings{BlockTime: o.BlockTime, SnapshotEvery: o.SnapshotEvery}
		for j, f := range founders {
			if j != i {
				s.Peers = append(s.Peers, f.Keys.Node+"@"+addresses[j])
			}
		}
		if err := saveJSON(filepath.Join(homes[i], nodeFile), s); err != nil {
			return nil, err
		}
		if err := validator.Adopt(chain, doc); err != nil {
			return nil, err
		}
	}
	return homes, saveJSON(t.home.path(foundedFile), homes)
}

func (t *testnet) run(ctx context.Context, homes []string, o control.TestnetOptions, ready func(control.Testnet)) error {
	t.say(fmt.Sprintf("starting %d validators", len(homes)))
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
	key, err := t.keyring.Account("wallet")
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
	// A node that was started again checks transactions against no time before its
	// next block.
	if _, err := wallet.WaitBlock(ctx, height); err != nil {
		return err
	}
	trust, err := wallet.Trust(ctx)
	if err != nil {
		return err
	}
	out := control.Testnet{Home: t.home.dir, Chain: first.Chain, Trust: trust.String(), Invites: []string{}}
	var peers []string
	for _, c := range t.running {
		out.Validators = append(out.Validators, control.TestnetValidator{Node: c.node, PID: c.cmd.Process.Pid, Restart: "daulat node --home " + c.home})
		peers = append(peers, c.node.Link[:min(1, len(c.node.Link))]...)
	}
	if o.Invites > 0 {
		t.say("making invites")
	}
	for range o.Invites {
		made, err := makeInvite(ctx, wallet, trust, peers[:min(len(peers), invite.MaxPeers)], control.InviteTerms{Grant: testnetGrant, Life: testnetLife})
		if err != nil {
			return err
		}
		out.Invites = append(out.Invites, made.Line)
	}
	ready(out)
	return t.watch(ctx)
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
		_ = c.cmd.Process.Signal(os.Interrupt) // it may end meanwhile
		kill := time.AfterFunc(stopValidator, func() { _ = c.cmd.Process.Kill() })
		<-c.ended
		kill.Stop()
		if c.err != nil {
			failed = append(failed, fmt.Errorf("%s: %w: see %s", c.name, c.err, c.log()))
		}
	}
	return errors.Join(failed...)
}
