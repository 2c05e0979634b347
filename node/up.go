package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
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

	unknownLicence = "LicenseRef-unknown" // SPDX's way to say so
)

// up is a running network of one machine.
type up struct {
	seller
	validator *validator.Validator
	wallet    account
	asks      *session.Journal
	consumer  *consumer.Client
	gateway   *gateway.Gateway
	listener  net.Listener
	ready     control.Ready
}

// Up runs a whole network until ctx ends.
func (Runtime) Up(ctx context.Context, o control.UpOptions, p control.Progress, ready func(control.Ready)) error {
	if o.ChallengeWindow == 0 || o.ChallengeWindow > job.MaxWindow {
		return fmt.Errorf("the challenge window must be 1 to %d seconds, not %d", uint64(job.MaxWindow), o.ChallengeWindow)
	}
	home, err := OpenHome(o.Home)
	if err != nil {
		return err
	}
	release, err := home.Lock()
	if err != nil {
		return err
	}
	defer release()
	u := &up{seller: seller{home: home, say: p, ask: o.Passphrase}}
	err = u.start(ctx, o)
	if err == nil {
		ready(u.ready)
		err = u.serve(ctx)
	}
	return ended(err, u.close())
}

func (u *up) start(ctx context.Context, o control.UpOptions) error {
	if err := u.open(); err != nil {
		return err
	}
	choose := func() (ModelEntry, error) { return u.chooseModel(ctx, o) }
	if err := u.openModel(ctx, choose); err != nil {
		return err
	}
	if err := u.openLedger(ctx, o); err != nil {
		return err
	}
	if err := u.openPeer(); err != nil {
		return err
	}
	if _, err := u.openProvider(ctx, job.Price{Input: inputPrice, Output: outputPrice}); err != nil {
		return err
	}
	if err := u.openConsumer(ctx); err != nil {
		return err
	}
	return u.openGateway(ctx, o)
}

func (u *up) chooseModel(ctx context.Context, o control.UpOptions) (ModelEntry, error) {
	switch {
	case o.Model != "":
		if e, err := u.shelf.Find(o.Model); err == nil {
			return e, nil
		}
		if isURL(o.Model) {
			return u.shelf.Pull(ctx, o.Model, "", nameOf(o.Model), unknownLicence, u.say)
		}
		return u.shelf.Import(ctx, o.Model, nameOf(o.Model), unknownLicence)
	case o.Noise:
		return importNoise(ctx, u.shelf)
	}
	if e, err := u.shelf.Find(DefaultModel); err == nil {
		return e, nil
	}
	file, err := fetchDefault(ctx, u.say)
	if err != nil {
		u.say(fmt.Sprintf("no model can be had (%v); going on with random weights: answers are noise", err))
		return importNoise(ctx, u.shelf)
	}
	return u.shelf.Import(ctx, file, DefaultModel, DefaultModelLicence)
}

// openLedger starts the validator, on a new ledger if the home has none.
func (u *up) openLedger(ctx context.Context, o control.UpOptions) error {
	wallet, err := u.keyring.Account("wallet")
	if err != nil {
		return err
	}
	seller, err := u.keyring.Account("provider")
	if err != nil {
		return err
	}
	chain := u.home.path("chain")
	if !validator.Exists(chain) {
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
	u.ledger = account{client.New(u.validator.RPC(), u.validator.ChainID(), seller)}
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

func (u *up) openConsumer(ctx context.Context) error {
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
	u.consumer = consumer.New(consumer.Config{Ledger: u.wallet, Link: caller, Key: key, Journal: journal, Log: u.log,
		Auditor: auditor{u.library, u.shelf, u.wallet, caller}})
	u.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return u.consumer.CloseAll(ctx)
	})
	return u.consumer.Recover(ctx)
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
	trust, err := u.trustRoot(ctx)
	if err != nil {
		return err
	}
	if u.listener, err = listen(o.Listen); err != nil {
		return err
	}
	u.onClose(func() error { _ = u.listener.Close(); return nil }) // Serve has closed it already
	base := "http://" + u.listener.Addr().String()
	u.ready = control.Ready{API: base + "/v1", Page: base + "/#token=" + secret, Token: secret, Trust: trust.String(),
		Model: u.served.Name, ModelID: u.served.ID.String(), Ledger: u.validator.RPCAddress(), REST: u.validator.RESTAddress(), GRPC: u.validator.GRPCAddress()}
	ops := operations{u, trust}
	u.gateway.Handle(control.Prefix, u.gateway.Guard(control.Handler(ops)))
	u.gateway.Handle("/", web.Handler(page{ops}, u.gateway.Guard))
	if err := saveJSON(u.home.path(readyFile), u.ready); err != nil {
		return err
	}
	u.onClose(func() error { return os.Remove(u.home.path(readyFile)) })
	return nil
}

// keptTrust is the trust line that this home gave out last, and when.
type keptTrust struct {
	Line string    `json:"line"`
	Made time.Time `json:"made"`
}

// trustRoot is the header that this home's receipts are proved from. It stays
// the same from start to start, so that a line given to others goes on being
// good, and is replaced long before it is too old to be trusted.
func (u *up) trustRoot(ctx context.Context) (client.Trust, error) {
	path := u.home.path("trust.json")
	var kept keptTrust
	if err := loadJSON(path, &kept); err != nil {
		return client.Trust{}, err
	}
	if time.Since(kept.Made) < client.TrustingPeriod/2 {
		return client.ParseTrust(kept.Line)
	}
	fresh, err := u.wallet.Trust(ctx)
	if err != nil {
		return fresh, err
	}
	return fresh, saveJSON(path, keptTrust{Line: fresh.String(), Made: time.Now().UTC()})
}

// apiToken is the bearer token of this home, made once.
func (u *up) apiToken() (string, error) {
	seed, err := u.keyring.Secret("api")
	if err != nil {
		return "", err
	}
	return "dlt-" + canon.Digest("daulat/api-token", seed).String(), nil
}
