package gateway

import (
	"errors"
	"fmt"
	"slices"
)

// Usage is a token's limits, and what it spent of them today.
type Usage struct {
	Name       string
	DailySpend uint64 // udlt per UTC day
	Concurrent int    // requests
	Spent      uint64 // udlt since the day began, open reservations included
}

// ErrTokenTaken says that a token has the name or the secret of another one.
var ErrTokenTaken = errors.New("there is a token of that name or secret already")

// Add takes a token from now on. One that has the name of a revoked one goes on
// with what that spent today.
func (g *Gateway) Add(t Token) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, err := newAccount(t, g.Ledger)
	if err != nil {
		return err
	}
	same := func(b *account) bool { return b.Name == a.Name || b.Hash == a.Hash }
	if slices.ContainsFunc(g.accounts, same) {
		return fmt.Errorf("%w: %q", ErrTokenTaken, t.Name)
	}
	g.accounts = append(slices.Clone(g.accounts), a) // others still read the old list
	return nil
}

// Remove revokes a token: it opens nothing from now on, and its answers in
// progress are cancelled. It reports whether there was such a token.
func (g *Gateway) Remove(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.accounts, func(a *account) bool { return a.Name == name })
	if i < 0 {
		return false
	}
	a := g.accounts[i]
	g.accounts = slices.Delete(slices.Clone(g.accounts), i, i+1)
	a.mu.Lock() // what it is writing down comes first
	defer a.mu.Unlock()
	a.revoke()
	return true
}

// Usage lists all tokens, oldest first.
func (g *Gateway) Usage() []Usage {
	today := g.Now().Unix() / secondsPerDay
	var all []Usage
	for _, a := range g.all() {
		all = append(all, a.usage(today))
	}
	return all
}

func (a *account) usage(today int64) Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := Usage{Name: a.Name, DailySpend: a.DailySpend, Concurrent: a.Concurrent}
	if a.spend.Day >= today { // a clock set back does not open a new day
		u.Spent = a.spend.Spent
	}
	return u
}

// all is the accounts as they are now; the list never changes.
func (g *Gateway) all() []*account {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.accounts
}
