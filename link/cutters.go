package link

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
)

// A relay that counts wrongly, or pretends to, ends each circuit long before its
// limit. It answers as fast as any other, so nothing but what it did before tells.
const (
	cutMemory = time.Minute
	cutDelay  = 2 * time.Second // by which such a relay comes after others
)

// cutters are the relays through which a connection in use ended lately, whoever
// ended it: an honest one among them loses a few seconds, where there is another.
type cutters struct {
	mu sync.Mutex
	at map[peer.ID]time.Time
}

// note takes in that a connection at an address ended.
func (c *cutters) note(at multiaddr.Multiaddr) {
	_, relay, ok := splitCircuit(at)
	if !ok || relay == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for id, last := range c.at {
		if now.Sub(last) > cutMemory {
			delete(c.at, id)
		}
	}
	c.at[relay] = now
}

// cut reports whether an address leads through one of them.
func (c *cutters) cut(at multiaddr.Multiaddr) bool {
	_, relay, ok := splitCircuit(at)
	if !ok || relay == "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	last, known := c.at[relay]
	return known && time.Since(last) <= cutMemory
}

// rank implements network.DialRanker: they are dialed after all others.
func (c *cutters) rank(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	ranked := swarm.DefaultDialRanker(addrs)
	if !slices.ContainsFunc(ranked, func(a network.AddrDelay) bool { return isCircuit(a.Addr) && !c.cut(a.Addr) }) {
		return ranked
	}
	for i := range ranked {
		if c.cut(ranked[i].Addr) {
			ranked[i].Delay += cutDelay
		}
	}
	return ranked
}
