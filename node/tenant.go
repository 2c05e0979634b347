package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"daulat/core/canon"
	"daulat/data/blob"
	"daulat/ledger/client"
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

// enter opens an account of the home on the network that the home joined, or joins
// with the invite in line.
func (t *tenant) enter(ctx context.Context, name, line string) (account, error) {
	key, err := t.keyring.Account(name)
	if err != nil {
		return account{}, err
	}
	n, l, err := openNetwork(t.home, t.caller, line, t.say)
	if err != nil {
		return account{}, err
	}
	c, err := n.client(key)
	if err != nil {
		return account{}, err
	}
	if err := n.enter(ctx, c, l); err != nil {
		return account{}, err
	}
	t.network = n
	t.onClose(n.save)
	return account{c}, nil
}

func (t *tenant) key(name string) (canon.PrivateKey, error) {
	seed, err := t.keyring.Secret(name)
	if err != nil {
		return canon.PrivateKey{}, err
	}
	return canon.KeyFromSeed(seed)
}
