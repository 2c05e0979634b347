package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"daulat/core/job"
	"daulat/ledger/client"
	"daulat/ui/control"
)

// coinPoll is how often a provider without an account looks whether it has one.
const coinPoll = 300 * time.Millisecond

// earnPoll is how often a provider looks what it made.
const earnPoll = 3 * time.Second

// Provide sells answers on a ledger that runs elsewhere, until ctx ends. ready is
// called once it serves.
func (Runtime) Provide(ctx context.Context, o control.ProvideOptions, say control.Progress, ready func(control.Providing)) error {
	home, err := OpenHome(o.Home)
	if err != nil {
		return err
	}
	release, err := home.Lock()
	if err != nil {
		return err
	}
	defer release()
	s := &seller{home: home, say: say, ask: o.Passphrase}
	return errors.Join(s.provide(ctx, o, ready), s.close())
}

func (s *seller) provide(ctx context.Context, o control.ProvideOptions, ready func(control.Providing)) error {
	if err := s.open(); err != nil {
		return err
	}
	if err := s.openModel(ctx, func() (ModelEntry, error) { return s.shelf.Find(o.Model) }); err != nil {
		return err
	}
	if err := s.join(ctx, o.Ledger); err != nil || ctx.Err() != nil {
		return err
	}
	if err := s.openPeer(ctx); err != nil {
		return err
	}
	price := job.Price{Input: o.InputPrice, Output: o.OutputPrice}
	p, err := s.openProvider(ctx, price)
	if err != nil {
		return err
	}
	ready(control.Providing{Account: s.ledger.Account(), Model: s.served.Name, ModelID: s.served.ID.String(), Price: control.Price(price)})
	s.watchEarnings(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err = p.Retire(last)
	return errors.Join(err, s.sayLast(last))
}

// watchEarnings says what the provider makes whenever it changes, until ctx ends.
func (s *seller) watchEarnings(ctx context.Context) {
	tick := time.NewTicker(earnPoll)
	defer tick.Stop()
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e, err := s.earnings(ctx)
		if err != nil {
			s.log.Warn("no earnings to show", "error", err)
			continue
		}
		if now := earned(e); e.Open+e.Withheld+e.Released > 0 && now != said {
			said = now
			s.say(now)
		}
	}
}

// sayLast says what the provider made, and until when the ledger withholds it.
func (s *seller) sayLast(ctx context.Context) error {
	e, err := s.earnings(ctx)
	if err != nil {
		return err
	}
	settled, err := s.ledger.Sessions(ctx, e.Address, job.SessionSettled)
	if err != nil {
		return err
	}
	var until uint64
	for _, session := range settled {
		if session.Provider == e.Address {
			until = max(until, session.Clock)
		}
	}
	text := earned(e)
	if e.Withheld > 0 && until > 0 {
		text += ", which the ledger releases by itself until " + time.Unix(int64(until), 0).Format(time.DateTime)
	}
	s.say(text)
	return nil
}

func earned(e control.Earnings) string {
	return fmt.Sprintf("earned %d udlt: %d in open sessions, %d released, %d withheld", e.Open+e.Withheld+e.Released, e.Open, e.Released, e.Withheld)
}

// join opens the provider's account on a ledger elsewhere, and waits until the
// account is there: a ledger knows an account from its first coin on.
func (s *seller) join(ctx context.Context, address string) error {
	rpc, err := client.Dial(address)
	if err != nil {
		return err
	}
	status, err := rpc.Status(ctx)
	if err != nil {
		return fmt.Errorf("reach the ledger at %s: %w", address, err)
	}
	key, err := s.keyring.Account("provider")
	if err != nil {
		return err
	}
	s.ledger = account{client.New(rpc, status.NodeInfo.Network, key)}
	tick := time.NewTicker(coinPoll)
	defer tick.Stop()
	for said := false; ; {
		coins, err := s.ledger.Balance(ctx, key.Account())
		if err != nil || coins > 0 {
			return err
		}
		if !said {
			said = true
			s.say("waiting for a first coin: daulat wallet send " + key.Account() + " 1")
		}
		select {
		case <-ctx.Done():
			return nil // the user ended it
		case <-tick.C:
		}
	}
}
