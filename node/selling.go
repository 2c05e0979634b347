package node

import (
	"context"
	"net"
	"net/http"
	"os"
	"time"

	"daulat/ledger/client"
	"daulat/ui/control"
)

// selling is what a home that only sells does for its command line.
type selling struct {
	*seller
	trust client.Trust
}

var _ control.Selling = selling{}

// Ready implements control.Selling.
func (s selling) Ready(context.Context) (control.Ready, error) {
	return control.Ready{Trust: s.trust.String(), Model: s.served.Name, ModelID: s.served.ID.String()}, nil
}

// Status implements control.Selling.
func (s selling) Status(ctx context.Context) (control.Status, error) {
	height, newest, err := s.ledger.Status(ctx)
	if err != nil {
		return control.Status{}, err
	}
	balance, err := s.ledger.Balance(ctx, s.ledger.Account())
	if err != nil {
		return control.Status{}, err
	}
	earned, err := s.earnings(ctx)
	return control.Status{Chain: s.ledger.ChainID(), Height: height, Newest: newest, Trust: s.trust.String(), Wallet: control.Account{Address: s.ledger.Account(), Balance: balance},
		Passphrase: s.passphrase, Provider: &earned, Links: s.peer.Addrs(), Resting: s.resting()}, err
}

// Send implements control.Selling.
func (s selling) Send(ctx context.Context, to string, amount uint64) error {
	return s.ledger.Send(ctx, to, amount)
}

// Earned implements control.Selling.
func (s *seller) Earned(ctx context.Context, days int) ([]control.EarnedDay, error) {
	if s.provider == nil {
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
func (s *seller) openControl(ctx context.Context) error {
	trust, err := s.trustRoot(ctx, s.ledger)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r := running{Base: "http://" + l.Addr().String()}
	if r.Secret, err = randomHex(32); err != nil {
		return err
	}
	server := &http.Server{Handler: control.SellingHandler(r.Secret, selling{s, trust}), ReadHeaderTimeout: commandHeader, ReadTimeout: commandBody, WriteTimeout: commandBody}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // until it is closed
	}()
	s.onClose(func() error {
		err := server.Close()
		<-ended
		return err
	})
	if err := saveJSON(s.home.path(runningFile), r); err != nil {
		return err
	}
	s.onClose(func() error { return os.Remove(s.home.path(runningFile)) })
	return nil
}
