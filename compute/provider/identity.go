package provider

import (
	"context"
	"errors"
	"fmt"

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
// none is, it is announced when one takes over; nobody is matched until then. Nor
// is anything announced while the machine rests, or after it retired.
func (p *Provider) announce(ctx context.Context) error {
	p.offering.Lock()
	defer p.offering.Unlock()
	return p.announceHeld(ctx)
}

func (p *Provider) announceHeld(ctx context.Context) error {
	if p.retired {
		return nil
	}
	if p.shift.resting() {
		p.later(true)
		return nil
	}
	all := p.identities()
	var addrs []string
	for _, i := range all {
		addrs = append(addrs, i.Link.Addrs()...)
	}
	p.hidden = false
	err := ErrNotInForce
	for _, i := range all {
		if err = p.register(ctx, i.Key, addrs); !errors.Is(err, ErrNotInForce) {
			break
		}
	}
	silent := errors.Is(err, ErrNotInForce)
	p.later(silent)
	if silent {
		return nil
	}
	return err
}

// later notes whether something is to be announced yet.
func (p *Provider) later(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = silent
}

// announceLate announces what could not be announced before.
func (p *Provider) announceLate(ctx context.Context) error {
	p.mu.Lock()
	silent := p.silent
	p.mu.Unlock()
	if !silent || p.shift.resting() {
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
