package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/ledger/client"
	"daulat/ledger/registry"
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
	validator *validator.Validator // nil for a guest
	wallet    account
	declared  *catalogue // models of others' servers
	asks      *session.Journal
	consumer  *consumer.Client
	gateway   *gateway.Gateway
	choice    control.Choice
	tokens    *tokens
	keys      sync.Mutex // held while keys change
	listener  net.Listener
	ready     control.Ready
	running   running
	lying     sync.Mutex   // held while a liar is shown
	met       atomic.Int64 // when another command found this process last, in Unix nanoseconds
}

// Up runs a whole network until ctx ends.
func (Runtime) Up(ctx context.Context, o control.UpOptions, p control.Progress, ready func(control.Ready)) error {
	occupy := func(h Home) (func(), error) { return h.occupy(ctx, p) }
	return runUp(ctx, occupy, o, p, func(u *up) { ready(u.ready) })
}

func runUp(ctx context.Context, lock func(Home) (func(), error), o control.UpOptions, p control.Progress, ready func(*up)) error {
	o.ChallengeWindow = cmp.Or(o.ChallengeWindow, control.DefaultChallengeWindow)
	if o.ChallengeWindow > job.MaxWindow {
		return fmt.Errorf("the challenge window must be 1 to %d seconds, not %d", uint64(job.MaxWindow), o.ChallengeWindow)
	}
	o.KeyDelay = cmp.Or(o.KeyDelay, control.DefaultKeyDelay)
	if o.KeyDelay > registry.MaxKeyDelay {
		return fmt.Errorf("the key delay must be 1 to %d seconds, not %d", registry.MaxKeyDelay, o.KeyDelay)
	}
	if err := checkChoice(gateway.Choice(o.Choice)); err != nil {
		return control.WrongInput{Err: err}
	}
	at, err := linkAddr(o.Link)
	if err != nil {
		return err
	}
	return inHomeAs(lock, o.Home, func(home Home) error {
		defer context.AfterFunc(ctx, func() { p("stopping: what is open is settled") })()
		u := &up{seller: seller{tenant: tenant{home: home, say: p, ask: o.Passphrase}, listen: at}}
		err := home.vacant(at)
		if err == nil {
			err = u.start(ctx, o)
		}
		if err == nil {
			ready(u)
			err = u.serve(ctx)
		}
		return u.told(ended(err, u.close()))
	})
}

func (u *up) start(ctx context.Context, o control.UpOptions) (err error) {
	// First of all: nothing is founded or loaded for a port that is taken.
	if err := u.openListener(o); err != nil {
		return err
	}
	if err := u.open(); err != nil {
		return err
	}
	guest, err := u.home.isGuest()
	if err != nil {
		return err
	}
	if guest || o.Network != "" {
		return u.startGuest(ctx, o)
	}
	if exists(u.home.path(foundedFile)) {
		return control.WrongInput{Err: errOfTestnet}
	}
	choose := func() (ModelEntry, error) { return u.chooseModel(ctx, o) }
	if err := u.openModel(ctx, choose); err != nil {
		return err
	}
	if err := u.openLedger(ctx, o); err != nil {
		return err
	}
	if err := u.openPeer(ctx); err != nil {
		return err
	}
	if err := u.openCaller(u.besidePeer()); err != nil {
		return err
	}
	u.openDoor()
	if _, err := u.openProvider(ctx, job.Price{Input: inputPrice, Output: outputPrice}); err != nil {
		return err
	}
	if err := u.openConsumer(ctx); err != nil {
		return err
	}
	return u.openGateway(ctx, o)
}

func (u *up) openListener(o control.UpOptions) (err error) {
	if u.listener, err = listen(o, u.say); err == nil {
		u.onClose(func() error { _ = u.listener.Close(); return nil }) // Serve has closed it already
	}
	return err
}

// besidePeer is how the peer that asks reaches others, if the one that sells
// listens where the user wanted it to: what strangers say is dialed there too.
func (u *up) besidePeer() link.Config {
	if u.listen == "" {
		return link.Config{}
	}
	c := link.Config{Own: u.peer.Addrs()}
	if !strings.HasPrefix(u.listen, "/ip4/0.0.0.0/") && !strings.HasPrefix(u.listen, "/ip6/::/") {
		c.Named = []string{u.listen}
	}
	return c
}

// startGuest asks on the network of others, and founds nothing.
func (u *up) startGuest(ctx context.Context, o control.UpOptions) (err error) {
	if err := u.openGuest(o.Network); err != nil {
		return err
	}
	v, err := u.visit(ctx, o.Network)
	if err != nil {
		return err
	}
	u.wallet = account{v.client}
	u.declared = newCatalogue(u.store, u.wallet)
	u.openLibrary()
	if u.served, err = u.chooseToAsk(ctx, o.Model); err != nil {
		return err
	}
	if err := u.enter(ctx, v); err != nil {
		return err
	}
	if exists(u.home.path(salesFile)) { // for what it earned
		if err := u.openSales(); err != nil {
			return err
		}
	}
	if err := u.openConsumer(ctx); err != nil {
		return err
	}
	return u.openGateway(ctx, o)
}

// chooseToAsk finds the model that a guest asks unless it says otherwise: one that
// is declared too, of which nothing is fetched.
func (u *up) chooseToAsk(ctx context.Context, name string) (ModelEntry, error) {
	if name == "" {
		var err error
		if name, err = (modelSource{u.shelf, u.wallet, u.caller}).commonest(ctx, true); err != nil {
			return ModelEntry{}, err
		}
	}
	if e, err := u.shelf.Find(name); err == nil {
		return e, nil
	}
	e, err := u.declared.find(ctx, name)
	if err == nil || !errors.Is(err, ErrNoModel) {
		return e, err
	}
	chosen, failed := u.chooseOf(ctx, u.wallet, name)
	if errors.Is(failed, ErrNoModel) {
		return chosen, err // which says what is on offer
	}
	return chosen, failed
}

// openDoor lets guests reach the ledger through this home's peer.
func (u *up) openDoor() {
	u.onClose(openDoor(u.peer, u.validator, u.wallet.Client))
}

func (u *up) chooseModel(ctx context.Context, o control.UpOptions) (ModelEntry, error) {
	switch {
	case o.Model != "":
		if e, err := u.shelf.Find(o.Model); err == nil {
			return e, nil
		}
		if isURL(o.Model) {
			return u.shelf.Pull(ctx, o.Model, o.SHA256, nameOf(o.Model), unknownLicence, u.say)
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
	wallet, err := u.keyring.Account(walletKey)
	if err != nil {
		return err
	}
	seller, err := u.keyring.Account(providerKey)
	if err != nil {
		return err
	}
	chain := u.home.path("chain")
	if !validator.Exists(chain) {
		u.say("founding a new ledger")
		if err := found(chain, wallet.Account(), seller.Account(), o); err != nil {
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
	u.declared = newCatalogue(u.store, u.wallet)
	return nil
}

func found(dir, wallet, seller string, o control.UpOptions) error {
	suffix, err := randomHex(4)
	if err != nil {
		return err
	}
	return validator.Init(dir, validator.Genesis{
		ChainID:          "daulat-" + suffix,
		Accounts:         []validator.Funding{{Address: wallet, Amount: walletFunds}, {Address: seller}},
		ValidatorAccount: wallet,
		CloseWindow:      closeWindow,
		ChallengeWindow:  o.ChallengeWindow,
		KeyDelay:         o.KeyDelay,
	})
}

// asksFile is the journal of what a home asked.
const asksFile = "consumer.db"

func (u *up) openConsumer(ctx context.Context) error {
	journal, err := session.OpenJournal(u.home.path(asksFile))
	if err != nil {
		return err
	}
	u.asks = journal
	u.onClose(journal.Close)
	key, err := u.key("session")
	if err != nil {
		return err
	}
	u.consumer = consumer.New(consumer.Config{Ledger: u.wallet, Link: u.caller, Key: key, Journal: journal, Log: u.log,
		Keeper:  knownProviders(u.home.path("providers.json")),
		Auditor: auditor{u.library, modelSource{u.shelf, u.wallet, u.caller}}})
	u.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return u.consumer.CloseAll(ctx)
	})
	return u.consumer.Recover(ctx)
}

func (u *up) openGateway(ctx context.Context, o control.UpOptions) error {
	spent, err := openSpending(u.home.path(spentFile))
	if err != nil {
		return err
	}
	secret, err := u.apiToken()
	if err != nil {
		return err
	}
	address, hosts := u.reached("the page and the API")
	u.choice = o.Choice
	u.gateway, err = gateway.New(gateway.Config{Backend: backend{u.shelf, u.consumer, u.declared, gateway.Choice(o.Choice)}, Ledger: spent, Log: u.log, Hosts: hosts,
		Tokens: []gateway.Token{{Name: homeToken, Secret: secret, DailySpend: tokenSpend, Concurrent: tokenAtATime, Owner: true}}})
	if err != nil {
		return err
	}
	if u.tokens, err = openTokens(u.home.path("tokens.json"), u.gateway); err != nil {
		return err
	}
	trust, err := u.trustRoot(ctx, u.wallet)
	if err != nil {
		return err
	}
	base := "http://" + address
	u.ready = u.readyAt(base, secret, trust)
	u.ready.API, u.ready.Token = base+"/v1", secret
	if u.validator != nil {
		u.ready.Ledger, u.ready.REST, u.ready.GRPC = u.validator.RPCAddress(), u.validator.RESTAddress(), u.validator.GRPCAddress()
	}
	if u.running.Secret, err = randomHex(32); err != nil {
		return err
	}
	ops := operations{u, trust}
	return u.announceHere(base, control.Handler(u.running.Secret, ops), web.Handler(page{ops}, u.gateway.Owner))
}

// readyAt is what its user is told who opens the page with the token.
func (u *up) readyAt(base, token string, trust client.Trust) control.Ready {
	return control.Ready{Page: base + "/#token=" + token, Trust: trust.String(), Model: u.served.Name, ModelID: u.served.ID.String()}
}

// announceHere adds commands and page to the gateway, and says in the home where they
// are.
func (u *up) announceHere(base string, commands, page http.Handler) error {
	u.running.Base = base
	u.gateway.Handle(control.Prefix, u.gateway.Attend(commands))
	u.gateway.Handle("/", page)
	if err := saveJSON(u.home.path(runningFile), u.running); err != nil {
		return err
	}
	u.onClose(func() error { return os.Remove(u.home.path(runningFile)) })
	return nil
}

// reached is where this machine reaches the listener, and by which host names others
// do, of which its user is told.
func (u *up) reached(what string) (here string, others []string) {
	here, others = reach(u.listener.Addr())
	if len(others) > 0 {
		u.say("others on the network can reach " + what + ", unencrypted, at " + strings.Join(others, " and ") + "; it takes their token")
	}
	return here, others
}

// apiToken is the bearer token of this home, made once.
func (u *up) apiToken() (string, error) {
	seed, err := u.keyring.Secret("api")
	if err != nil {
		return "", err
	}
	return "dlt-" + canon.Digest("daulat/api-token", seed).String(), nil
}
