package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/data/blob"
	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link"
	"daulat/ui/control"
)

// tenant is the process that works in a home: what lies there, opened, and the way
// to the network that the home joined, if it did.
type tenant struct {
	home    Home
	say     control.Progress
	ask     func(fresh bool) (string, error) // for the passphrase; may be nil
	log     *slog.Logger
	mu      sync.Mutex     // guards closers
	closers []func() error // run in the opposite order

	passphrase string // where it comes from
	store      *blob.Store
	shelf      *Shelf
	keyring    *client.Keyring
	caller     *link.Node
	network    *network // of others; nil on a ledger of its own
}

func (t *tenant) onClose(f func() error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closers = append(t.closers, f)
}

func (t *tenant) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var failed []error
	for i := len(t.closers) - 1; i >= 0; i-- {
		failed = append(failed, t.closers[i]())
	}
	return errors.Join(failed...)
}

// open opens what lies in the home: log, blobs, shelf and keys.
func (t *tenant) open() error {
	log, closeLog, err := openLog(t.home)
	if err != nil {
		return err
	}
	t.log = log
	t.onClose(closeLog)
	if t.store, err = blob.Open(t.home.path("blobs")); err != nil {
		return err
	}
	if t.shelf, err = OpenShelf(t.home, t.store, nil); err != nil {
		return err
	}
	passphrase, source, err := t.home.passphrase(t.ask)
	if err != nil {
		return err
	}
	t.passphrase = source
	t.keyring, err = client.OpenKeyring(t.home.path("keyring"), passphrase)
	return err
}

// openCaller opens the peer that asks: as a peer can't call itself, it is one of
// its own.
func (t *tenant) openCaller(c link.Config) (err error) {
	if c.Key, err = t.key("session"); err != nil {
		return err
	}
	t.caller, err = link.Open(c)
	if err == nil {
		t.onClose(t.caller.Close)
	}
	return err
}

// openGuest opens the peer that asks on the network of the invite in line, or on
// the one that the home joined.
func (t *tenant) openGuest(line string) error {
	peers, err := t.home.peersOf(line)
	if err != nil {
		return err
	}
	return t.openCaller(guestLink(peers))
}

// enter joins the network that was reached, if the home has not yet. What can be
// wrong with anything else that the user gave is found before: an invite works once.
func (t *tenant) enter(ctx context.Context, v visit) error {
	return t.waiting(ctx, v.network.height, func(ctx context.Context) error {
		if err := v.network.enter(ctx, v.client, v.invite, v.known); err != nil {
			return err
		}
		t.onClose(v.network.save)
		return t.gather(ctx, v)
	})
}

// visit is a network that was reached and not joined yet.
type visit struct {
	network *network
	client  *client.Client
	invite  *invite.Line // that lets the account in; nil without one
	known   bool         // the ledger knows the account
}

// visit reaches the network that the home joined, or the one of the invite in
// line, and changes nothing there or in the home.
func (t *tenant) visit(ctx context.Context, line string) (v visit, err error) {
	if v.network, v.invite, err = openNetwork(t.home, t.caller, line, t.say); err != nil {
		return v, err
	}
	t.say("reaching the network " + v.network.chain())
	t.network = v.network
	err = t.waiting(ctx, v.network.height, func(ctx context.Context) (err error) {
		if v.client, err = t.openAccount(ctx, v.network); err == nil {
			v.known, err = v.network.admits(ctx, v.client, v.invite)
		}
		return err
	})
	return v, v.network.unreached(err)
}

// Names of the accounts in a keyring. The home of a ledger of its own has a wallet
// and a provider, who deal with each other. A guest's home has one account, which
// asks and sells: the wallet, or that of its ledger node.
const (
	walletKey   = "wallet"
	providerKey = "provider"
	operatorKey = "operator" // operates the validator, and carries the redemption of invites
)

// openAccount opens the one account of the home on a network of others: that of its
// ledger node, if it has one, or that with which an earlier program sold in it, or
// the wallet. The ledger may know another of them than the first: that is it then.
func (t *tenant) openAccount(ctx context.Context, n *network) (*client.Client, error) {
	last := walletKey
	names := []string{operatorKey, providerKey}
	if validator.Exists(t.home.path("chain")) {
		names, last = append(names, walletKey), operatorKey
	}
	for _, name := range names {
		known, err := t.knownAccount(ctx, n, name)
		if err != nil || known != nil {
			return known, err
		}
	}
	return t.accountOn(n, last)
}

// knownAccount is an account of the home, nil if it has none of the name or the
// ledger does not know it.
func (t *tenant) knownAccount(ctx context.Context, n *network, name string) (*client.Client, error) {
	if held, err := t.keyring.HoldsAccount(name); err != nil || !held {
		return nil, err
	}
	c, err := t.accountOn(n, name)
	if err != nil {
		return nil, err
	}
	if known, err := c.Registered(ctx); err != nil || !known {
		return nil, err
	}
	return c, nil
}

func (t *tenant) accountOn(n *network, name string) (*client.Client, error) {
	key, err := t.keyring.Account(name)
	if err != nil {
		return nil, err
	}
	return n.client(key)
}

// gather moves what an earlier program left in the wallet to the home's account.
func (t *tenant) gather(ctx context.Context, v visit) error {
	if held, err := t.keyring.HoldsAccount(walletKey); err != nil || !held {
		return err
	}
	wallet, err := t.accountOn(v.network, walletKey)
	to := v.client.Account()
	if err != nil || wallet.Account() == to {
		return err
	}
	coins, err := wallet.Balance(ctx, wallet.Account())
	if err != nil || coins == 0 {
		return err
	}
	t.say(fmt.Sprintf("a home has one account now: %d udlt go from %s to %s", coins, wallet.Account(), to))
	return wallet.Send(ctx, to, coins)
}

func (t *tenant) key(name string) (canon.PrivateKey, error) {
	seed, err := t.keyring.Secret(name)
	if err != nil {
		return canon.PrivateKey{}, err
	}
	return canon.KeyFromSeed(seed)
}

const trustFile = "trust.json"

// keptTrust is the trust line that this home gave out last, and when.
type keptTrust struct {
	Line string    `json:"line"`
	Made time.Time `json:"made"`
}

// trustRoot is the header that this home's receipts are proved from, on the ledger
// that it knows by an account. It stays the same from start to start, so that a
// line given to others goes on being good, and is replaced long before it is too
// old to be trusted.
func (t *tenant) trustRoot(ctx context.Context, ledger account) (client.Trust, error) {
	if t.network != nil {
		return t.network.trustRoot()
	}
	path := t.home.path(trustFile)
	var kept keptTrust
	if err := loadJSON(path, &kept); err != nil {
		return client.Trust{}, err
	}
	if time.Since(kept.Made) < client.TrustingPeriod/2 {
		return client.ParseTrust(kept.Line)
	}
	fresh, err := ledger.Trust(ctx)
	if err != nil {
		return fresh, err
	}
	return fresh, saveJSON(path, keptTrust{Line: fresh.String(), Made: time.Now().UTC()})
}
