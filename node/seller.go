package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"daulat/compute/executor/inference"
	"daulat/compute/manners"
	"daulat/compute/provider"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/data/transfer"
	"daulat/ledger/client"
	"daulat/link"
	"daulat/link/session"
)

// seller is what a home needs to sell answers, on a ledger of its own or of
// others. Its parts open in the order of the methods.
type seller struct {
	tenant
	served   ModelEntry
	servers  servers // whose models are sold in place of served
	library  *inference.Library
	ledger   account
	listen   string // multiaddr of the peer; empty for its own choice
	peer     *link.Node
	identity identity   // of the peer
	more     []identity // others that are served
	sales    *session.Journal
	provider *provider.Provider
	manners  *manners.Watcher
	throttle *manners.Throttle // nil for all of the machine
	unbound  bool              // sayUnbound has spoken
}

// openModel loads the model that choose puts on the shelf.
func (s *seller) openModel(ctx context.Context, choose func() (ModelEntry, error)) (err error) {
	if s.served, err = choose(); err != nil {
		return err
	}
	if err := s.fits(ctx); err != nil {
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

// salesFile is the journal of what a home sold.
const salesFile = "provider.db"

func (s *seller) openSales() (err error) {
	if s.sales, err = session.OpenJournal(s.home.path(salesFile)); err == nil {
		s.onClose(s.sales.Close)
	}
	return err
}

// openPeer opens the journal of what was sold and the peer that proves the
// identity key in force.
func (s *seller) openPeer(ctx context.Context) (err error) {
	if err := s.openSales(); err != nil {
		return err
	}
	all, err := s.identities()
	if err != nil {
		return err
	}
	var known client.Provider
	err = s.waiting(ctx, s.height, func(ctx context.Context) (err error) {
		known, err = s.ledger.Provider(ctx, s.ledger.Account())
		return err
	})
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
	if s.listen, err = s.home.linkAt(s.listen, s.say); err != nil {
		return err
	}
	if s.peer, err = s.link(s.identity, s.listen); err != nil {
		return err
	}
	return s.home.keepLink(s.listen, s.peer)
}

// link opens the link of an identity, on an address of its own choice for an
// empty one, and serves the home's blobs on it.
func (s *seller) link(i identity, listen string) (*link.Node, error) {
	c := link.Config{}
	if s.network != nil {
		c = guestLink(s.network.known.Peers)
		if !link.Local(c.Named) {
			c.Relays = c.Named
		}
	}
	c.Key = i.key
	peer, err := s.home.openLink(i.file(), listen, c)
	if err != nil {
		return nil, err
	}
	s.onClose(peer.Close)
	transfer.Serve(peer, s.store, transfer.ServeOptions{})
	return peer, nil
}

// placeWait bounds how long a provider waits for relays before it goes on with the
// addresses that it has; later ones are announced when they come.
const placeWait = 10 * time.Second

// reachable waits until the peer knows where others reach it.
func (s *seller) reachable(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, placeWait)
	defer cancel()
	if err := s.peer.Placed(wait); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if len(s.peer.Addrs()) == 0 {
		s.say(unreached)
	}
	return nil
}

// unreached is why a provider rests whatever its owner wishes.
const unreached = "nobody can reach this machine: no peer that its invite names relays for it, as none is on or all their places are taken; it is tried again and again"

// watchReach tells the user when others can reach the provider no more, and again,
// until ctx ends.
func (s *seller) watchReach(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for before := s.provider.Reached(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := s.provider.Reached()
		switch {
		case now && !before:
			s.say("others reach this machine")
		case before && !now:
			s.say(unreached)
		}
		before = now
	}
}

// openProvider registers the account and serves the model at the price.
func (s *seller) openProvider(ctx context.Context, price job.Price) (*provider.Provider, error) {
	if err := s.reachable(ctx); err != nil {
		return nil, err
	}
	s.say("registering the provider and its offer")
	var more []provider.Identity
	for _, i := range s.more {
		peer, err := s.link(i, "")
		if err != nil {
			return nil, err
		}
		more = append(more, provider.Identity{Key: i.key, Link: peer})
	}
	offers, err := s.offers(ctx, price)
	if err != nil {
		return nil, err
	}
	if s.manners == nil {
		s.manners = manners.NewWatcher(manners.Rules{}, nil) // for the owner's word alone
	}
	why, err := s.manners.Look(ctx)
	if err != nil {
		return nil, err
	}
	err = s.waiting(ctx, s.height, func(ctx context.Context) (err error) {
		if err = s.sweep(ctx, offers); err != nil {
			return err
		}
		s.provider, err = provider.Open(ctx, provider.Config{Ledger: s.ledger, Link: s.peer, Key: s.identity.key, More: more, Journal: s.sales,
			Models: s.models(), Offers: offers, Resting: why != "", Parallel: s.servers.parallel(), Log: s.log})
		return err
	})
	if err != nil {
		return nil, err
	}
	s.onClose(func() error { s.provider.Close(); return nil })
	return s.provider, nil
}

// sweep takes back what an earlier run offered, if it was killed, and this one does
// not: a server of models may have changed since.
func (s *seller) sweep(ctx context.Context, offers []provider.Offer) error {
	all, err := s.ledger.Offers(ctx, canon.CID{})
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.Provider != s.ledger.Account() || slices.ContainsFunc(offers, func(now provider.Offer) bool { return now.Model == o.Model }) {
			continue
		}
		if err := s.ledger.WithdrawOffer(ctx, o.Model); err != nil {
			return err
		}
	}
	return nil
}

// offers are what is served, as it is sold.
func (s *seller) offers(ctx context.Context, price job.Price) ([]provider.Offer, error) {
	if declared := s.servers.offers(price); len(declared) > 0 {
		return declared, nil
	}
	manifest, err := s.shelf.ManifestBytes(ctx, s.served.ID)
	return []provider.Offer{{Model: s.served.ID, Manifest: manifest, Executor: inference.NativeSemantics,
		Assurance: job.Sampled, Price: price, Slots: offerSlots}}, err
}
