package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/match"
)

// What the ledger shows of a provider follows what is the case: which of its models
// are there, by which key and where it is reached, and nothing while the machine
// rests or after it retired. announce brings the one to the other: in each round,
// and at once when something has changed. From time to time it looks whether the
// ledger shows it still: a copy of the home may have taken the offers back.

// display is what the ledger was told, and what it is not to be told now.
type display struct {
	mu      sync.Mutex              // held while the ledger is told
	offers  []Offer                 // of what is there now
	seen    atomic.Pointer[[]Offer] // the same, for who does not wait for the ledger
	shown   map[canon.CID]bool      // offers that this run made (true) or took back
	addrs   []string                // that were announced
	at      time.Time               // when
	moved   time.Time               // since when others are the case; zero: they are not
	lonely  time.Time               // since when there are none; zero: there are
	looked  time.Time               // when the ledger was last told, or asked what it shows
	turn    int                     // of the offers, whose is to be asked for
	again   bool                    // another key is to be announced
	retired bool
	changes allowance // of offers that come
	waiting bool      // some of them do until there is more
}

func newDisplay(offers []Offer) *display {
	d := &display{offers: offers, shown: map[canon.CID]bool{}, changes: allowance{left: maxChanges}}
	d.seen.Store(&offers)
	return d
}

// OnOffer is what the provider offers while it works.
func (p *Provider) OnOffer() []Offer { return slices.Clone(*p.display.seen.Load()) }

// announce tells the ledger what it does not show yet. If no key is in force that
// waits until one takes over; nobody is matched until then.
func (p *Provider) announce(ctx context.Context) error {
	d := p.display
	d.mu.Lock()
	defer d.mu.Unlock()
	addrs, now := p.addresses(), time.Now()
	on := p.onOffer(addrs, now)
	if err := p.withdraw(ctx, on); err != nil || len(on) == 0 {
		if err != nil && !d.lonely.IsZero() {
			d.lonely = now // the ledger is gone too, and may come back with who relays
		}
		return err
	}
	lost := false
	if !d.due(on, addrs, now) {
		var err error
		if lost, err = p.lost(ctx, on, now); err != nil || !lost {
			return err
		}
	}
	err := ErrNotInForce
	for _, i := range p.identities() {
		if err = p.register(ctx, i.Key, on, addrs); !errors.Is(err, ErrNotInForce) {
			break
		}
	}
	if errors.Is(err, ErrNotInForce) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, o := range on {
		d.shown[o.Model] = true
	}
	if lost {
		p.Log.Warn("the ledger showed no offer of this provider: announced again")
	}
	d.addrs, d.at, d.looked, d.again = addrs, now, now, false
	return nil
}

const (
	// lookEvery is the pause between two looks, and so between two announcements of
	// what was taken back: two processes that don't agree cost the ledger no more.
	lookEvery    = time.Minute
	lookPatience = 10 * time.Second // payments wait meanwhile
)

// lost reports, from time to time, that the ledger shows an offer no more. It asks for
// one of them, each time for the next.
func (p *Provider) lost(ctx context.Context, on []Offer, now time.Time) (bool, error) {
	d := p.display
	if now.Sub(d.looked) < lookEvery {
		return false, nil
	}
	d.looked = now
	d.turn++
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	shown, err := p.Ledger.Offered(ctx, on[d.turn%len(on)].Model)
	if err != nil {
		return false, fmt.Errorf("look for the offers on the ledger: %w", err)
	}
	return !shown, nil
}

// onOffer is what the ledger shall show of a provider that is reached there: an offer
// that nobody can reach costs askers time, and the provider its good name.
func (p *Provider) onOffer(addrs []string, now time.Time) (on []Offer) {
	if p.display.retired || p.shift.resting() || p.display.unreached(addrs, now) {
		return nil
	}
	return p.display.offers
}

// unreachedFor is how long nobody may reach a provider that was reached before, which
// gets another address or relay meanwhile, and keeps its offers.
const unreachedFor = 30 * time.Second

// unreached reports whether nobody can reach the provider, not even in a moment.
func (d *display) unreached(addrs []string, now time.Time) bool {
	switch {
	case len(addrs) > 0:
		d.lonely = time.Time{}
		return false
	case d.lonely.IsZero():
		d.lonely = now
	}
	return len(d.addrs) == 0 || now.Sub(d.lonely) >= unreachedFor
}

// Reached reports whether others can reach the provider, as far as it knows.
func (p *Provider) Reached() bool { return len(p.addresses()) > 0 }

// withdraw takes back what is not on offer, an earlier run's too, and forgets what
// is not there any more.
func (p *Provider) withdraw(ctx context.Context, on []Offer) error {
	d := p.display
	known := slices.Collect(maps.Keys(d.shown))
	for _, o := range d.offers {
		known = append(known, o.Model)
	}
	for _, model := range known {
		if shown, told := d.shown[model]; (shown || !told) && !offers(on, model) {
			if err := p.Ledger.WithdrawOffer(ctx, model); err != nil {
				return err
			}
			d.shown[model] = false
		}
		if !offers(d.offers, model) {
			delete(d.shown, model)
		}
	}
	return nil
}

func offers(all []Offer, model canon.CID) bool {
	return slices.ContainsFunc(all, func(o Offer) bool { return o.Model == model })
}

// register announces what is on offer by one key.
func (p *Provider) register(ctx context.Context, key canon.PrivateKey, on []Offer, addrs []string) error {
	claim := match.Claim{Chain: p.Ledger.ChainID(), Account: p.Ledger.Account()}
	a := match.Announcement{Key: key.Public(), Proof: key.Sign(match.DomainProvider, claim), Addresses: addrs}
	for _, o := range on {
		a.Manifests = append(a.Manifests, o.Manifest)
		a.Offers = append(a.Offers, match.Offer{Provider: p.Ledger.Account(), Key: a.Key, Model: o.Model,
			Executor: o.Executor, Price: o.Price, Assurance: o.Assurance, Slots: o.Slots})
	}
	return p.Ledger.Announce(ctx, a)
}

// Retire takes the provider's offers back for good, so that nobody is matched with
// a machine that is about to leave. Open sessions go on until Close. What could not
// be taken back is tried again until then.
func (p *Provider) Retire(ctx context.Context) error {
	p.display.mu.Lock()
	p.display.retired = true
	p.display.mu.Unlock()
	return p.announce(ctx)
}

// Present makes offers of the declared models that are there now, and takes those
// back of others: a server of models may come and go, and its models too. It
// returns what changed. What comes beyond the allowance waits for a later call.
func (p *Provider) Present(ctx context.Context, declared []Offer) (gone, came []Offer, err error) {
	for _, o := range declared {
		if _, err := artifact.DecodeDeclarationAs(o.Model, o.Manifest); err != nil {
			return nil, nil, err
		}
	}
	d := p.display
	d.mu.Lock()
	waited := d.waiting
	if !d.retired {
		gone, came = d.take(declared, time.Now())
	}
	waits := d.waiting && !waited
	d.mu.Unlock()
	if waits {
		p.Log.Warn("models come and go too often, or are too many: some are not offered yet")
	}
	if len(gone)+len(came) == 0 {
		return nil, nil, nil
	}
	return gone, came, p.announce(ctx)
}

// take has the declared models that are there now shown, but for what comes beyond
// the allowance.
func (d *display) take(declared []Offer, now time.Time) (gone, came []Offer) {
	d.changes.grow(now)
	d.waiting = false
	next := slices.DeleteFunc(slices.Clone(d.offers), func(o Offer) bool { return artifact.IsDeclared(o.Model) })
	for _, o := range declared {
		known := offers(d.offers, o.Model)
		switch {
		case offers(next, o.Model):
			continue
		case len(next) == maxOffers, !known && d.changes.left == 0:
			d.waiting = true
			continue
		case !known:
			d.changes.left--
			came = append(came, o)
		}
		next = append(next, o)
	}
	for _, o := range d.offers {
		if !offers(next, o.Model) {
			gone = append(gone, o)
		}
	}
	d.offers = next
	d.seen.Store(&next)
	return gone, came
}

const (
	maxOffers   = 64          // that the ledger takes of one provider
	maxChanges  = 64          // that may come at once
	changeEvery = time.Minute // until one more may
)

// allowance bounds how many offers come in the long run, and so how many messages
// the ledger gets: whatever a server says that it has, each time another thing.
type allowance struct {
	left int
	at   time.Time // until when it has grown
}

func (a *allowance) grow(now time.Time) {
	n := now.Sub(a.at) / changeEvery
	if a.left+int(min(n, maxChanges)) >= maxChanges {
		*a = allowance{maxChanges, now}
		return
	}
	a.left, a.at = a.left+int(n), a.at.Add(n*changeEvery)
}

// maxAddresses is how many the ledger takes of one provider.
const maxAddresses = 8

// addresses are where the provider is reached now, with the same number at most
// for each of its keys.
func (p *Provider) addresses() (addrs []string) {
	all := p.identities()
	for _, i := range all {
		of := i.Link.Addrs()
		addrs = append(addrs, of[:min(len(of), max(1, maxAddresses/len(all)))]...)
	}
	return addrs[:min(len(addrs), maxAddresses)]
}

const (
	announceEvery = 10 * time.Second // at the most, of where the provider is
	missingFor    = 5 * time.Second  // before an address that is gone is no longer shown
)

// due reports whether offers or addresses are to be announced now.
func (d *display) due(on []Offer, addrs []string, now time.Time) bool {
	if moves(d.addrs, addrs) == 0 {
		d.moved = time.Time{}
	} else if d.moved.IsZero() {
		d.moved = now
	}
	if d.again || slices.ContainsFunc(on, func(o Offer) bool { return !d.shown[o.Model] }) {
		return true
	}
	return moveDue(d.addrs, addrs, now.Sub(d.moved), now.Sub(d.at))
}

// moveDue decides whether addresses that have differed from those on the ledger
// for some time are announced, some time after the last announcement. An address
// that comes counts at once; one that goes may be a relay that is back in a moment.
func moveDue(shown, addrs []string, differed, since time.Duration) bool {
	if len(addrs) == 0 || since < announceEvery {
		return false
	}
	switch moves(shown, addrs) {
	case came:
		return true
	case went:
		return differed >= missingFor
	}
	return false
}

// What moves tells apart.
const (
	came = 1 + iota
	went
)

func moves(shown, addrs []string) int {
	beyond := func(a, b []string) bool {
		return slices.ContainsFunc(b, func(one string) bool { return !slices.Contains(a, one) })
	}
	switch {
	case beyond(shown, addrs):
		return came
	case beyond(addrs, shown):
		return went
	}
	return 0
}
