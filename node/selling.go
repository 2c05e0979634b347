package node

import (
	"context"
	"net"
	"net/http"
	"os"
	"time"

	"daulat/link/session"
	"daulat/platform/consumer"
	"daulat/ui/control"
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

// How long a command line may take.
const (
	commandHeader = 5 * time.Second
	commandBody   = time.Minute
)

// openControl takes the commands of this home's command line, on a port of
// loopback that nothing else is served at.
func (u *up) openControl(ctx context.Context) error {
	trust, err := u.trustRoot(ctx, u.ledger)
	if err != nil {
		return err
	}
	u.ready = control.Ready{Trust: trust.String(), Model: u.served.Name, ModelID: u.served.ID.String()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r := running{Base: "http://" + l.Addr().String()}
	if r.Secret, err = randomHex(32); err != nil {
		return err
	}
	server := &http.Server{Handler: control.SellingHandler(r.Secret, operations{u, trust}), ReadHeaderTimeout: commandHeader, ReadTimeout: commandBody, WriteTimeout: commandBody}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // until it is closed
	}()
	u.onClose(func() error {
		err := server.Close()
		<-ended
		return err
	})
	if err := saveJSON(u.home.path(runningFile), r); err != nil {
		return err
	}
	u.onClose(func() error { return os.Remove(u.home.path(runningFile)) })
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
