package node

import (
	"sync"

	"daulat/platform/gateway"
)

// spentFile is what each token of a home spent.
const spentFile = "spent.json"

// spending keeps what each token spent, in a file of the home.
type spending struct {
	path string
	mu   sync.Mutex
	all  map[string]gateway.Spend
}

var _ gateway.Ledger = (*spending)(nil)

func openSpending(path string) (*spending, error) {
	s := &spending{path: path, all: map[string]gateway.Spend{}}
	return s, loadJSON(path, &s.all)
}

// Load implements gateway.Ledger.
func (s *spending) Load(token string) (gateway.Spend, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[token], nil
}

// Save implements gateway.Ledger.
func (s *spending) Save(token string, spend gateway.Spend) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[token] = spend
	return saveJSON(s.path, s.all)
}
