package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"

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
	mu      sync.Mutex     // guards closers
	closers []func() error // run in the opposite order

	passphrase string // where it comes from
	store      *blob.Store
	shelf      *Shelf
	keyring    *client.Keyring
	served     ModelEntry
	library    *inference.Library
	network    *network // of others; nil on a ledger of its own
	ledger     account
	caller     *link.Node
	listen     string // IP:PORT of the peer; empty for its own choice
	peer       *link.Node
	identity   identity   // of the peer
	more       []identity // others that are served
	sales      *session.Journal
	provider   *provider.Provider
}

func (s *seller) onClose(f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, f)
}

func (s *seller) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
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

// openCaller opens the peer that asks: as a peer can't call itself, it is one of
// its own.
func (s *seller) openCaller() error {
	key, err := s.key("session")
	if err != nil {
		return err
	}
	s.caller, err = link.Open(link.Config{Key: key})
	if err == nil {
		s.onClose(s.caller.Close)
	}
	return err
}

// openPeer opens the journal of what was sold and the peer that proves the
// identity key in force.
func (s *seller) openPeer(ctx context.Context) (err error) {
	if s.sales, err = session.OpenJournal(s.home.path("provider.db")); err != nil {
		return err
	}
	s.onClose(s.sales.Close)
	all, err := s.identities()
	if err != nil {
		return err
	}
	known, err := s.ledger.Provider(ctx, s.ledger.Account())
	if err != nil && !errors.Is(err, client.ErrNotFound) {
		return err
	}
	open, err := s.sales.Records(func(r session.Record) bool { return !over(r.Session.State) })
	if err != nil {
		return err
	}
	if s.identity, s.more, err = choose(all, known, open); err != nil {
		return err
	}
	s.peer, err = s.link(s.identity, s.listen)
	return err
}

// link opens the link of an identity, on an address of its own choice for an
// empty one, and serves the home's blobs on it.
func (s *seller) link(i identity, listen string) (*link.Node, error) {
	peer, err := s.home.openLink(i.file(), i.key, listen)
	if err != nil {
		return nil, err
	}
	s.onClose(peer.Close)
	transfer.Serve(peer, s.store, transfer.ServeOptions{})
	return peer, nil
}

// enter opens an account of the home on the network that the home joined, or joins
// with the invite in line.
func (s *seller) enter(ctx context.Context, name, line string) (account, error) {
	key, err := s.keyring.Account(name)
	if err != nil {
		return account{}, err
	}
	n, l, err := openNetwork(s.home, s.caller, line, s.say)
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
	var more []provider.Identity
	for _, i := range s.more {
		peer, err := s.link(i, "")
		if err != nil {
			return nil, err
		}
		more = append(more, provider.Identity{Key: i.key, Link: peer})
	}
	manifest, err := s.shelf.ManifestBytes(ctx, s.served.ID)
	if err != nil {
		return nil, err
	}
	s.provider, err = provider.Open(ctx, provider.Config{Ledger: s.ledger, Link: s.peer, Key: s.identity.key, More: more, Journal: s.sales, Models: s.library, Log: s.log,
		Offers: []provider.Offer{{Model: s.served.ID, Manifest: manifest, Executor: inference.NativeSemantics,
			Assurance: job.Sampled, Price: price, Slots: offerSlots}}})
	if err != nil {
		return nil, err
	}
	s.onClose(func() error { s.provider.Close(); return nil })
	return s.provider, nil
}
