package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"time"

	"daulat/compute/executor/inference"
	"daulat/compute/provider"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/data/blob"
	"daulat/data/transfer"
	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link"
	"daulat/link/session"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
	"daulat/ui/control"
	"daulat/ui/web"
)

// What a network of one machine starts with.
const (
	walletFunds  = 1_000_000_000_000 // udlt
	inputPrice   = 200               // udlt per 1,000 tokens
	outputPrice  = 1_000             // udlt per 1,000 tokens
	offerSlots   = 8                 // sessions
	closeWindow  = 10                // seconds
	tokenSpend   = 100_000_000       // udlt a day
	tokenAtATime = 8                 // requests
	stopTimeout  = 20 * time.Second
)

// up is a running network of one machine.
type up struct {
	home    Home
	say     control.Progress
	log     *slog.Logger
	closers []func() error // run in the opposite order

	store     *blob.Store
	shelf     *Shelf
	served    ModelEntry
	library   *inference.Library
	keyring   *client.Keyring
	validator *validator.Validator
	wallet    account
	seller    account
	peer      *link.Node
	asks      *session.Journal
	consumer  *consumer.Client
	gateway   *gateway.Gateway
	listener  net.Listener
	ready     control.Ready
}

// Up runs a whole network until ctx ends.
func (Runtime) Up(ctx context.Context, o control.UpOptions, p control.Progress, ready func(control.Ready)) error {
	home, err := OpenHome(o.Home)
	if err != nil {
		return err
	}
	release, err := home.Lock()
	if err != nil {
		return err
	}
	defer release()
	u := &up{home: home, say: p}
	err = u.start(ctx, o)
	if err == nil {
		ready(u.ready)
		err = u.gateway.Serve(ctx, u.listener)
	}
	return errors.Join(err, u.close())
}

func (u *up) start(ctx context.Context, o control.UpOptions) error {
	log, closeLog, err := openLog(u.home)
	if err != nil {
		return err
	}
	u.log = log
	u.onClose(closeLog)
	for _, step := range []func(context.Context, control.UpOptions) error{
		u.openModel, u.openLedger, u.openPeer, u.openProvider, u.openConsumer, u.openGateway,
	} {
		if err := step(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (u *up) onClose(f func() error) { u.closers = append(u.closers, f) }

func (u *up) close() error {
	var failed []error
	for i := len(u.closers) - 1; i >= 0; i-- {
		failed = append(failed, u.closers[i]())
	}
	return errors.Join(failed...)
}

// openModel puts the model to be served on the shelf.
func (u *up) openModel(ctx context.Context, o control.UpOptions) (err error) {
	if u.store, err = blob.Open(u.home.path("blobs")); err != nil {
		return err
	}
	if u.shelf, err = OpenShelf(u.home, u.store, nil); err != nil {
		return err
	}
	if u.served, err = u.chooseModel(ctx, o); err != nil {
		return err
	}
	u.library = inference.NewLibrary(inference.Native{}, u.shelf)
	u.onClose(u.library.Close)
	u.say("loading " + u.served.Name)
	_, err = u.library.Model(ctx, u.served.ID)
	return err
}

func (u *up) chooseModel(ctx context.Context, o control.UpOptions) (ModelEntry, error) {
	switch {
	case o.Model != "":
		return u.shelf.Import(ctx, o.Model, nameOf(o.Model), "LicenseRef-unknown")
	case o.Noise:
		return u.noise(ctx)
	}
	if e, err := u.shelf.Find(DefaultModel); err == nil {
		return e, nil
	}
	file, err := fetchDefault(ctx, u.say)
	if err != nil {
		u.say(fmt.Sprintf("no model can be had (%v); going on with random weights: answers are noise", err))
		return u.noise(ctx)
	}
	return u.shelf.Import(ctx, file, DefaultModel, DefaultModelLicence)
}

func (u *up) noise(ctx context.Context) (ModelEntry, error) {
	dir, err := os.MkdirTemp("", "daulat-noise-*")
	if err != nil {
		return ModelEntry{}, err
	}
	defer os.RemoveAll(dir)
	file, err := noiseFile(dir)
	if err != nil {
		return ModelEntry{}, err
	}
	return u.shelf.Import(ctx, file, NoiseModel, NoiseModelLicence)
}

// openLedger starts the validator, on a new ledger if the home has none.
func (u *up) openLedger(ctx context.Context, o control.UpOptions) error {
	passphrase, err := u.home.passphrase()
	if err != nil {
		return err
	}
	if u.keyring, err = client.OpenKeyring(u.home.path("keyring"), passphrase); err != nil {
		return err
	}
	wallet, err := u.keyring.Account("wallet")
	if err != nil {
		return err
	}
	seller, err := u.keyring.Account("provider")
	if err != nil {
		return err
	}
	chain := u.home.path("chain")
	if _, err := os.Stat(chain); errors.Is(err, fs.ErrNotExist) {
		u.say("founding a new ledger")
		if err := found(chain, wallet.Account(), seller.Account(), o.ChallengeWindow); err != nil {
			return err
		}
	}
	u.say("starting the ledger")
	if u.validator, err = validator.Start(ctx, validator.Config{Home: chain, Logger: u.log}); err != nil {
		return err
	}
	u.onClose(u.validator.Stop)
	u.wallet = account{client.New(u.validator.RPC(), u.validator.ChainID(), wallet)}
	u.seller = account{client.New(u.validator.RPC(), u.validator.ChainID(), seller)}
	return nil
}

func found(dir, wallet, seller string, window uint64) error {
	suffix, err := randomHex(4)
	if err != nil {
		return err
	}
	return validator.Init(dir, validator.Genesis{
		ChainID:          "daulat-" + suffix,
		Accounts:         []validator.Funding{{Address: wallet, Amount: walletFunds}, {Address: seller}},
		ValidatorAccount: wallet,
		CloseWindow:      closeWindow,
		ChallengeWindow:  window,
	})
}

// openPeer opens the link and serves the home's blobs on it.
func (u *up) openPeer(context.Context, control.UpOptions) error {
	key, err := u.key("identity")
	if err != nil {
		return err
	}
	if u.peer, err = link.Open(link.Config{Key: key}); err != nil {
		return err
	}
	u.onClose(u.peer.Close)
	transfer.Serve(u.peer, u.store, transfer.ServeOptions{})
	return nil
}

func (u *up) key(name string) (canon.PrivateKey, error) {
	seed, err := u.keyring.Secret(name)
	if err != nil {
		return canon.PrivateKey{}, err
	}
	return canon.KeyFromSeed(seed)
}

func (u *up) openProvider(ctx context.Context, _ control.UpOptions) error {
	u.say("registering the provider and its offer")
	journal, err := session.OpenJournal(u.home.path("provider.db"))
	if err != nil {
		return err
	}
	u.onClose(journal.Close)
	key, err := u.key("identity")
	if err != nil {
		return err
	}
	manifest, err := u.shelf.ManifestBytes(ctx, u.served.ID)
	if err != nil {
		return err
	}
	p, err := provider.Open(ctx, provider.Config{Ledger: u.seller, Link: u.peer, Key: key, Journal: journal, Models: u.library, Log: u.log,
		Offers: []provider.Offer{{Model: u.served.ID, Manifest: manifest, Executor: inference.NativeSemantics,
			Assurance: job.Sampled, Price: job.Price{Input: inputPrice, Output: outputPrice}, Slots: offerSlots}}})
	if err != nil {
		return err
	}
	u.onClose(func() error { p.Close(); return nil })
	return nil
}

func (u *up) openConsumer(context.Context, control.UpOptions) error {
	journal, err := session.OpenJournal(u.home.path("consumer.db"))
	if err != nil {
		return err
	}
	u.asks = journal
	u.onClose(journal.Close)
	key, err := u.key("session")
	if err != nil {
		return err
	}
	caller, err := link.Open(link.Config{Key: key}) // a peer can't call itself, so the asker is one of its own
	if err != nil {
		return err
	}
	u.onClose(caller.Close)
	u.consumer = consumer.New(consumer.Config{Ledger: u.wallet, Link: caller, Key: key, Journal: journal, Log: u.log})
	u.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return u.consumer.CloseAll(ctx)
	})
	return nil
}

func (u *up) openGateway(ctx context.Context, o control.UpOptions) error {
	spent, err := openSpending(u.home.path("spent.json"))
	if err != nil {
		return err
	}
	secret, err := u.apiToken()
	if err != nil {
		return err
	}
	u.gateway, err = gateway.New(gateway.Config{Backend: backend{u.shelf, u.consumer}, Ledger: spent, Log: u.log,
		Tokens: []gateway.Token{{Name: "home", Secret: secret, DailySpend: tokenSpend, Concurrent: tokenAtATime}}})
	if err != nil {
		return err
	}
	trust, err := u.wallet.Trust(ctx)
	if err != nil {
		return err
	}
	if u.listener, err = listen(o.Listen); err != nil {
		return err
	}
	u.onClose(func() error { _ = u.listener.Close(); return nil }) // Serve has closed it already
	base := "http://" + u.listener.Addr().String()
	u.ready = control.Ready{API: base + "/v1", Page: base + "/#token=" + secret, Token: secret, Trust: trust.String(),
		Model: u.served.Name, ModelID: u.served.ID.String(), Ledger: u.validator.RPCAddress()}
	ops := operations{u, trust}
	u.gateway.Handle(control.Prefix, u.gateway.Guard(control.Handler(ops)))
	u.gateway.Handle("/", web.Handler(page{ops}, u.gateway.Guard))
	if err := saveJSON(u.home.path(readyFile), u.ready); err != nil {
		return err
	}
	u.onClose(func() error { return os.Remove(u.home.path(readyFile)) })
	return nil
}

// apiToken is the bearer token of this home, made once.
func (u *up) apiToken() (string, error) {
	seed, err := u.keyring.Secret("api")
	if err != nil {
		return "", err
	}
	return "dlt-" + canon.Digest("daulat/api-token", seed).String(), nil
}
