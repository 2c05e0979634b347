package node

import (
	"context"
	"errors"
	"log/slog"

	"daulat/compute/executor/inference"
	"daulat/compute/provider"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/data/blob"
	"daulat/data/transfer"
	"daulat/ledger/client"
	"daulat/link"
	"daulat/link/session"
	"daulat/ui/control"
)

// seller is what a home needs to sell answers, on a ledger of its own or of
// others. Its parts open in the order of the methods.
type seller struct {
	home    Home
	say     control.Progress
	ask     func(fresh bool) (string, error) // for the passphrase; may be nil
	log     *slog.Logger
	closers []func() error // run in the opposite order

	passphrase string // where it comes from
	store      *blob.Store
	shelf      *Shelf
	keyring    *client.Keyring
	served     ModelEntry
	library    *inference.Library
	network    *network // of others; nil on a ledger of its own
	ledger     account
	peer       *link.Node
	sales      *session.Journal
}

func (s *seller) onClose(f func() error) { s.closers = append(s.closers, f) }

func (s *seller) close() error {
	var failed []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		failed = append(failed, s.closers[i]())
	}
	return errors.Join(failed...)
}

// open opens what lies in the home: log, blobs, shelf and keys.
func (s *seller) open() error {
	log, closeLog, err := openLog(s.home)
	if err != nil {
		return err
	}
	s.log = log
	s.onClose(closeLog)
	if s.store, err = blob.Open(s.home.path("blobs")); err != nil {
		return err
	}
	if s.shelf, err = OpenShelf(s.home, s.store, nil); err != nil {
		return err
	}
	passphrase, source, err := s.home.passphrase(s.ask)
	if err != nil {
		return err
	}
	s.passphrase = source
	s.keyring, err = client.OpenKeyring(s.home.path("keyring"), passphrase)
	return err
}

// openModel loads the model that choose puts on the shelf.
func (s *seller) openModel(ctx context.Context, choose func() (ModelEntry, error)) (err error) {
	if s.served, err = choose(); err != nil {
		return err
	}
	s.openLibrary()
	s.say("loading " + s.served.Name)
	_, err = s.library.Model(ctx, s.served.ID)
	return err
}

// openLibrary is for models that are loaded when they are needed.
func (s *seller) openLibrary() {
	s.library = inference.NewLibrary(inference.Native{}, s.shelf)
	s.onClose(s.library.Close)
}

// openPeer opens the link, on an address of its own choice for an empty one, and
// serves the home's blobs on it.
func (s *seller) openPeer(listen string) error {
	key, err := s.key("identity")
	if err != nil {
		return err
	}
	if s.peer, err = s.home.openLink(key, listen); err != nil {
		return err
	}
	s.onClose(s.peer.Close)
	transfer.Serve(s.peer, s.store, transfer.ServeOptions{})
	return nil
}

// enter opens an account of the home on the network that the home joined, or joins
// with the invite in line.
func (s *seller) enter(ctx context.Context, peer *link.Node, name, line string) (account, error) {
	key, err := s.keyring.Account(name)
	if err != nil {
		return account{}, err
	}
	n, l, err := openNetwork(s.home, peer, line, s.say)
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
	s.network = n
	s.onClose(n.save)
	return account{c}, nil
}

func (s *seller) key(name string) (canon.PrivateKey, error) {
	seed, err := s.keyring.Secret(name)
	if err != nil {
		return canon.PrivateKey{}, err
	}
	return canon.KeyFromSeed(seed)
}

// openProvider registers the account and serves the model at the price.
func (s *seller) openProvider(ctx context.Context, price job.Price) (*provider.Provider, error) {
	s.say("registering the provider and its offer")
	journal, err := session.OpenJournal(s.home.path("provider.db"))
	if err != nil {
		return nil, err
	}
	s.sales = journal
	s.onClose(journal.Close)
	key, err := s.key("identity")
	if err != nil {
		return nil, err
	}
	manifest, err := s.shelf.ManifestBytes(ctx, s.served.ID)
	if err != nil {
		return nil, err
	}
	p, err := provider.Open(ctx, provider.Config{Ledger: s.ledger, Link: s.peer, Key: key, Journal: journal, Models: s.library, Log: s.log,
		Offers: []provider.Offer{{Model: s.served.ID, Manifest: manifest, Executor: inference.NativeSemantics,
			Assurance: job.Sampled, Price: price, Slots: offerSlots}}})
	if err != nil {
		return nil, err
	}
	s.onClose(func() error { p.Close(); return nil })
	return p, nil
}
