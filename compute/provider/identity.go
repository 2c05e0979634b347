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
	p.display.mu.Lock()
	p.display.again = true
	p.display.mu.Unlock()
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
