package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/link"
	"daulat/link/session"
)

// Identity is a key that signs receipts, and the link that proves it. A session
// keeps the key with which it opened, so a provider whose key is rotated has
// several for a while, and serves on all of them.
type Identity struct {
	Key  canon.PrivateKey
	Link *link.Node
}

// ErrNotInForce says that a key does not stand for the account, yet or any more.
var ErrNotInForce = errors.New("the identity key is not in force")

// Accept takes one more identity: what was opened with its key is served from
// now on, and its addresses are announced, so that the key can take over later
// without a restart.
func (p *Provider) Accept(ctx context.Context, i Identity) error {
	p.mu.Lock()
	p.known = append(p.known[:len(p.known):len(p.known)], i)
	p.mu.Unlock()
	i.Link.Handle(session.Protocol, p.serve)
	return p.announce(ctx)
}

// announce shows the ledger what is on offer, and where, by the key in force. If
// none is, it is announced when one takes over; nobody is matched until then.
func (p *Provider) announce(ctx context.Context) error {
	all, addrs := p.identities(), p.addresses()
	err := ErrNotInForce
	for _, i := range all {
		if err = p.register(ctx, i.Key, addrs); !errors.Is(err, ErrNotInForce) {
			break
		}
	}
	silent := errors.Is(err, ErrNotInForce)
	p.mu.Lock()
	p.silent = silent
	if err == nil {
		p.shown, p.shownAt = addrs, time.Now()
	}
	p.mu.Unlock()
	if silent {
		return nil
	}
	return err
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

// announceMoved announces where the provider is reached, if that has changed since
// it was announced last. An address that comes counts at once; one that goes may be
// a relay that is back in a moment.
func (p *Provider) announceMoved(ctx context.Context) error {
	p.retiring.Lock() // no offer comes back after the last was taken back
	defer p.retiring.Unlock()
	if p.retired {
		return nil
	}
	addrs, now := p.addresses(), time.Now()
	p.mu.Lock()
	if moves(p.shown, addrs) == 0 {
		p.movedAt = time.Time{}
	} else if p.movedAt.IsZero() {
		p.movedAt = now
	}
	due := !p.silent && moveDue(p.shown, addrs, now.Sub(p.movedAt), now.Sub(p.shownAt)) // announceLate sees to the silent
	p.mu.Unlock()
	if !due {
		return nil
	}
	p.Log.Info("announcing where this provider is reached", "addresses", addrs)
	return p.announce(ctx)
}

// moveDue decides whether addresses that have differed from those on the ledger
// for some time are announced, some time after the last announcement.
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

// announceLate announces what could not be announced before.
func (p *Provider) announceLate(ctx context.Context) error {
	p.mu.Lock()
	silent := p.silent
	p.mu.Unlock()
	if !silent {
		return nil
	}
	return p.announce(ctx)
}

// identities is what is known now; the list never changes.
func (p *Provider) identities() []Identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known
}

func (p *Provider) has(key canon.PublicKey) bool {
	_, ok := p.identity(key)
	return ok
}

func (p *Provider) identity(key canon.PublicKey) (Identity, bool) {
	for _, i := range p.identities() {
		if i.Key.Public() == key {
			return i, true
		}
	}
	return Identity{}, false
}

// sign signs with the key with which the session opened.
func (p *Provider) sign(s job.Session, r receipt.Receipt) (canon.Signature, error) {
	i, ok := p.identity(s.ProviderKey)
	if !ok {
		return canon.Signature{}, fmt.Errorf("session %d opened with identity key %s, which is not here", s.ID, s.ProviderKey)
	}
	return i.Key.Sign(receipt.DomainReceipt, r), nil
}
