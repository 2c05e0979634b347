package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"cosmossdk.io/log/v2"
	cmttypes "github.com/cometbft/cometbft/types"
	dbm "github.com/cosmos/cosmos-db"

	"daulat/bench/costless"
	"daulat/compute/executor/inference"
	"daulat/compute/provider"
	"daulat/core/canon"
	"daulat/core/job"
	registrypb "daulat/gen/registry"
	"daulat/ledger/app"
	"daulat/ledger/client"
	"daulat/ledger/registry"
	"daulat/ledger/validator"
	"daulat/link"
	"daulat/link/session"
	"daulat/test/child"
)

const (
	chainID  = "bench-match"
	funds    = 1_000_000_000_000
	slots    = 8
	history  = 3 // answers that each honest provider sold before
	pace     = 5 * time.Millisecond
	nowhere  = "/ip4/127.0.0.1/tcp/1" // where nobody listens
	lifetime = 6 * 3600
)

var (
	honestPrice    = job.Price{Input: 200, Output: 1_000}
	vanishingPrice = job.Price{Input: 1, Output: 1}
)

// seller is a provider of the ledger's genesis.
type seller struct {
	account *client.AccountKey
	key     canon.PrivateKey
	link    *link.Node // nil for one that vanishes
	addrs   []string
	price   job.Price
}

// world is the ledger and all who are on it.
type world struct {
	options
	dir     string
	sellers []seller // the honest ones first
	asker   *client.AccountKey
	homes   []*client.AccountKey // that have asked nothing yet
	shelf   costless.Shelf
	data    []byte // the model's manifest
	crowd   *child.Process
	node    *validator.Validator
	log     *slog.Logger
	closers []func() error
}

func (w *world) onClose(f func() error) { w.closers = append(w.closers, f) }

func (w *world) close() (err error) {
	for i := len(w.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, w.closers[i]())
	}
	return err
}

// found draws all accounts and keys, has the machines listen, and writes the ledger's genesis.
func found(ctx context.Context, o options) (w *world, err error) {
	w = &world{options: o, log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "bench-match-*"); err != nil {
		return nil, err
	}
	w.onClose(func() error { return os.RemoveAll(w.dir) })
	words, data, id, err := costless.Load()
	if err != nil {
		return nil, err
	}
	w.data, w.shelf.ID = data, id
	if w.shelf.Engine, err = costless.New(words, pace); err != nil {
		return nil, err
	}
	if w.crowd, err = startCrowd(); err != nil {
		return nil, err
	}
	w.onClose(w.crowd.Stop)
	for i := range o.offers {
		if err := w.addSeller(i < o.honest); err != nil {
			return nil, err
		}
	}
	if w.asker, err = newAccount(); err != nil {
		return nil, err
	}
	for range o.orders {
		a, err := newAccount()
		if err != nil {
			return nil, err
		}
		w.homes = append(w.homes, a)
	}
	return w, w.writeGenesis()
}

func newAccount() (*client.AccountKey, error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	return client.NewAccountKey(secret)
}

func (w *world) addSeller(honest bool) (err error) {
	s := seller{price: vanishingPrice, addrs: []string{nowhere}}
	if s.account, err = newAccount(); err != nil {
		return err
	}
	seed := make([]byte, 32)
	rand.Read(seed)
	if s.key, err = canon.KeyFromSeed(seed); err != nil {
		return err
	}
	switch {
	case honest:
		s.price = honestPrice
		if s.link, err = link.Open(link.Config{Key: s.key}); err != nil {
			return err
		}
		w.onClose(s.link.Close)
		s.addrs = s.link.Addrs()
	case !w.absent:
		if err := w.crowd.Ask(seed, &s.addrs); err != nil {
			return fmt.Errorf("start a machine that vanishes: %w", err)
		}
	}
	w.sellers = append(w.sellers, s)
	return nil
}

func (w *world) chain() string { return filepath.Join(w.dir, "chain") }

func (w *world) writeGenesis() error {
	g := validator.Genesis{ChainID: chainID, ValidatorAccount: w.asker.Account(), CloseWindow: 10, ChallengeWindow: 20,
		Accounts: []validator.Funding{{Address: w.asker.Account(), Amount: funds}}}
	for _, h := range w.homes {
		g.Accounts = append(g.Accounts, validator.Funding{Address: h.Account(), Amount: funds})
	}
	for _, s := range w.sellers {
		g.Accounts = append(g.Accounts, validator.Funding{Address: s.account.Account(), Amount: 1})
	}
	if err := validator.Init(w.chain(), g); err != nil {
		return err
	}
	a, err := app.New(log.NewNopLogger(), dbm.NewMemDB(), w.dir)
	if err != nil {
		return err
	}
	defer a.Close() // holds nothing but memory
	file := filepath.Join(w.chain(), "config", "genesis.json")
	doc, err := cmttypes.GenesisDocFromFile(file)
	if err != nil {
		return err
	}
	var state app.Genesis
	if err := json.Unmarshal(doc.AppState, &state); err != nil {
		return err
	}
	var r registrypb.GenesisState
	if err := a.Codec().UnmarshalJSON(state[registry.Name], &r); err != nil {
		return err
	}
	for _, s := range w.sellers {
		r.Providers = append(r.Providers, registrypb.Provider{Account: s.account.Account(), Key: s.key.Public().String(), Addresses: s.addrs})
		r.Offers = append(r.Offers, registrypb.Offer{Provider: s.account.Account(), Model: w.shelf.ID.String(), Executor: inference.NativeSemantics,
			InputPrice: s.price.Input, OutputPrice: s.price.Output, Assurance: uint64(job.Sampled), Slots: slots})
	}
	state[registry.Name] = a.Codec().MustMarshalJSON(&r)
	if doc.AppState, err = json.Marshal(state); err != nil {
		return err
	}
	return doc.SaveAs(file)
}

// start runs the ledger and the honest providers.
func (w *world) start(ctx context.Context) (err error) {
	if w.node, err = validator.Start(ctx, validator.Config{Home: w.chain()}); err != nil {
		return err
	}
	w.onClose(w.node.Stop)
	for i, s := range w.sellers[:w.honest] {
		journal, err := session.OpenJournal(filepath.Join(w.dir, fmt.Sprintf("provider-%d.db", i)))
		if err != nil {
			return err
		}
		w.onClose(journal.Close)
		p, err := provider.Open(ctx, provider.Config{Ledger: ledger{w.client(s.account)}, Link: s.link, Key: s.key, Journal: journal, Models: w.shelf, Log: w.log,
			Offers: []provider.Offer{{Model: w.shelf.ID, Manifest: w.data, Executor: inference.NativeSemantics, Assurance: job.Sampled, Price: s.price, Slots: slots}}})
		if err != nil {
			return err
		}
		w.onClose(func() error { p.Close(); return nil })
	}
	return nil
}

func (w *world) client(a *client.AccountKey) *client.Client {
	return client.New(w.node.RPC(), chainID, a)
}

// ledger is a provider's.
type ledger struct{ *client.Client }

var _ provider.Ledger = ledger{}
