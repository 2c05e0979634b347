package node

import (
	"context"
	"time"

	"daulat/core/artifact"
	"daulat/link/session"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
	"daulat/ui/control"
	"daulat/ui/web"
)

// Earned implements control.Selling.
func (s *seller) Earned(ctx context.Context, days int) ([]control.EarnedDay, error) {
	if s.sales == nil {
		return nil, control.WrongInput{Err: errNothingSold}
	}
	return perDay(s.sales, time.Now(), days)
}

// Rest implements control.Selling.
func (s *seller) Rest(ctx context.Context, rest bool) error { return s.rest(ctx, rest) }

// offering is what the provider offers while it works.
func (s *seller) offering() (all []control.Sold) {
	for _, o := range s.provider.OnOffer() {
		e := ModelEntry{Name: s.served.Name, ID: o.Model}
		if artifact.IsDeclared(o.Model) {
			e.Name = offeredName(o)
		}
		all = append(all, control.Sold{Model: e.Name, ModelID: e.ID.String(), Label: label(e), Price: control.Price(o.Price)})
	}
	return all
}

// pageToken is whoever has the address of a seller's page, and can't ask there.
const pageToken = "page"

// openControl takes the commands of this home's command line, and shows the page of
// one that only sells. Its token is neither the commands' nor the API's: it lets its
// bearer see what is earned, until this process ends.
func (u *up) openControl(ctx context.Context) error {
	trust, err := u.trustRoot(ctx, u.ledger)
	if err != nil {
		return err
	}
	spent, err := openSpending(u.home.path(spentFile))
	if err != nil {
		return err
	}
	token, err := randomHex(32)
	if err != nil {
		return err
	}
	if u.running.Secret, err = randomHex(32); err != nil {
		return err
	}
	address, hosts := u.reached("the page")
	u.gateway, err = gateway.New(gateway.Config{Ledger: spent, Log: u.log, Hosts: hosts,
		Tokens: []gateway.Token{{Name: pageToken, Secret: token, Concurrent: 1, Owner: true}}})
	if err != nil {
		return err
	}
	base := "http://" + address
	u.ready = u.readyAt(base, token, trust)
	ops := operations{u, trust}
	if err := u.announceHere(base, control.SellingHandler(u.running.Secret, ops), web.SellingHandler(page{ops}, u.gateway.Owner)); err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx)) // while what ends is settled, too
	ended := make(chan error, 1)
	go func() { ended <- u.gateway.Serve(serving, u.listener) }()
	u.onClose(func() error {
		stop()
		return <-ended
	})
	return nil
}

// openAsked opens what a home that sells knows as one that asks: which jobs it
// ordered, and whom it would choose.
func (u *up) openAsked() (err error) {
	if u.asks, err = session.OpenJournal(u.home.path(asksFile)); err != nil {
		return err
	}
	u.onClose(u.asks.Close)
	u.wallet, u.declared = u.ledger, newCatalogue(u.store, u.ledger)
	u.consumer = consumer.New(consumer.Config{Ledger: u.wallet, Link: u.caller, Journal: u.asks, Log: u.log, Keeper: knownProviders(u.home.path("providers.json")),
		Auditor: auditor{u.library, modelSource{u.shelf, u.wallet, u.caller}}})
	return nil
}
