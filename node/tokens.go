package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"daulat/platform/gateway"
	"daulat/ui/control"
)

const (
	homeToken = "home" // the owner's, which the keyring holds
	maxTokens = 256
)

// keptToken is what the home keeps of a token: not its secret.
type keptToken struct {
	control.TokenTerms
	Hash string `json:"sha256"` // of the secret
}

// tokens are the API tokens besides the home's own, in a file of the home and in
// the gateway that takes them.
type tokens struct {
	path    string
	gateway *gateway.Gateway
	mu      sync.Mutex
	kept    []keptToken
}

func openTokens(path string, g *gateway.Gateway) (*tokens, error) {
	t := &tokens{path: path, gateway: g}
	if err := loadJSON(path, &t.kept); err != nil {
		return nil, err
	}
	for _, k := range t.kept {
		if err := t.admit(k); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return t, nil
}

// admit has the gateway take a token.
func (t *tokens) admit(k keptToken) error {
	if err := k.Check(); err != nil {
		return err
	}
	token := gateway.Token{Name: k.Name, DailySpend: k.Daily, Concurrent: k.AtOnce}
	if hash, err := hex.DecodeString(k.Hash); err != nil || copy(token.Hash[:], hash) != len(token.Hash) {
		return fmt.Errorf("token %s: %q is no SHA-256", k.Name, k.Hash)
	}
	err := t.gateway.Add(token)
	if errors.Is(err, gateway.ErrTokenTaken) {
		return control.WrongInput{Err: fmt.Errorf("there is a token %s already: revoke it first, or take another name", k.Name)}
	}
	return err
}

// add makes a token, which holds once it is on disk.
func (t *tokens) add(terms control.TokenTerms) (control.NewToken, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) >= maxTokens {
		return control.NewToken{}, fmt.Errorf("a home has at most %d tokens", maxTokens)
	}
	random, err := randomHex(32)
	if err != nil {
		return control.NewToken{}, err
	}
	secret := "dlt-" + random
	hash := gateway.HashSecret(secret)
	k := keptToken{terms, hex.EncodeToString(hash[:])}
	if err := t.admit(k); err != nil {
		return control.NewToken{}, err
	}
	kept := append(slices.Clone(t.kept), k)
	if err := saveJSON(t.path, kept); err != nil {
		t.gateway.Remove(k.Name)
		return control.NewToken{}, err
	}
	t.kept = kept
	return control.NewToken{TokenTerms: terms, Token: secret}, nil
}

// revoke ends a token, on disk first: it must not come back with a restart.
func (t *tokens) revoke(name string) error {
	if name == homeToken {
		return control.WrongInput{Err: errors.New("the home's own token stays: the page and daulat ask have no other")}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.kept, func(k keptToken) bool { return k.Name == name })
	if i < 0 {
		return fmt.Errorf("no token is called %q", name)
	}
	kept := slices.Delete(slices.Clone(t.kept), i, i+1)
	if err := saveJSON(t.path, kept); err != nil {
		return err
	}
	t.kept = kept
	t.gateway.Remove(name)
	return nil
}

// NewToken implements control.Operations.
func (o operations) NewToken(_ context.Context, terms control.TokenTerms) (control.NewToken, error) {
	return o.tokens.add(terms)
}

// Tokens implements control.Operations.
func (o operations) Tokens(context.Context) ([]control.Token, error) {
	all := []control.Token{}
	for _, u := range o.gateway.Usage() {
		all = append(all, control.Token{TokenTerms: control.TokenTerms{Name: u.Name, Daily: u.DailySpend, AtOnce: u.Concurrent}, Spent: u.Spent})
	}
	return all, nil
}

// RevokeToken implements control.Operations.
func (o operations) RevokeToken(_ context.Context, name string) error { return o.tokens.revoke(name) }
