package provider

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"daulat/core/canon"
	"daulat/core/match"
)

// What the ledger shows of a provider follows what is the case: which of its models
// are there, by which key and where it is reached, and nothing while the machine
// rests or after it retired. announce brings the one to the other: in each round,
// and at once when something has changed.

// display is what the ledger was told, and what it is not to be told now.
type display struct {
	mu      sync.Mutex         // held while the ledger is told
	shown   map[canon.CID]bool // offers that this run made (true) or took back
	addrs   []string           // that were announced
	at      time.Time          // when
	moved   time.Time          // since when others are the case; zero: they are not
	again   bool               // another key is to be announced
	absent  map[canon.CID]bool // models that are not there now
	retired bool
}

func newDisplay() *display {
	return &display{shown: map[canon.CID]bool{}, absent: map[canon.CID]bool{}}
}

// announce tells the ledger what it does not show yet. If no key is in force that
// waits until one takes over; nobody is matched until then.
func (p *Provider) announce(ctx context.Context) error {
	d := p.display
	d.mu.Lock()
	defer d.mu.Unlock()
	on := p.onOffer()
	if err := p.withdraw(ctx, on); err != nil || len(on) == 0 {
		return err
	}
	all, addrs, now := p.identities(), p.addresses(), time.Now()
	if !d.due(on, addrs, now) {
		return nil
	}
	err := ErrNotInForce
	for _, i := range all {
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
	d.addrs, d.at, d.again = addrs, now, false
	return nil
}

// onOffer is what the ledger shall show.
func (p *Provider) onOffer() (on []Offer) {
	if p.display.retired || p.shift.resting() {
		return nil
	}
	for _, o := range p.Offers {
		if !p.display.absent[o.Model] {
			on = append(on, o)
		}
	}
	return on
}

// withdraw takes back what is not on offer, an earlier run's too.
func (p *Provider) withdraw(ctx context.Context, on []Offer) error {
	for _, o := range p.Offers {
		shown, told := p.display.shown[o.Model]
		if told && !shown || slices.ContainsFunc(on, func(other Offer) bool { return other.Model == o.Model }) {
			continue
		}
		if err := p.Ledger.WithdrawOffer(ctx, o.Model); err != nil {
			return err
		}
		p.display.shown[o.Model] = false
	}
	return nil
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

// Present takes the offers back of models that are not there now, and makes those
// again that are: a server of models may come and go. It returns what changed.
func (p *Provider) Present(ctx context.Context, there func(canon.CID) bool) (gone, back []canon.CID, err error) {
	d := p.display
	d.mu.Lock()
	for _, o := range p.Offers {
		if d.retired {
			break
		}
		switch {
		case !d.absent[o.Model] && !there(o.Model):
			gone = append(gone, o.Model)
		case d.absent[o.Model] && there(o.Model):
			back = append(back, o.Model)
		}
		d.absent[o.Model] = !there(o.Model)
	}
	d.mu.Unlock()
	if len(gone)+len(back) == 0 {
		return nil, nil, nil
	}
	return gone, back, p.announce(ctx)
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
