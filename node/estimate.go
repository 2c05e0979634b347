package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"daulat/compute/machine"
	"daulat/compute/worth"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/ledger/client"
	"daulat/ui/control"
)

// The past that an estimate looks at, in seconds: at most and at least, as a
// network's first minutes say nothing about a day. It takes the newest sessions.
const (
	longestPast  = 24 * 3600
	shortestPast = 3600
	mostSessions = 10_000
)

// Estimate says what this machine would earn by what provide would sell first. It
// reaches the network, gets the model or finds its server, and measures it, but redeems no invite and registers nothing.
func (Runtime) Estimate(ctx context.Context, o control.ProvideOptions, p control.Power, say control.Progress) (e control.Estimate, err error) {
	if p.Watts != nil && *p.Watts > maxWatts {
		return e, control.WrongInput{Err: fmt.Errorf("--watts is at most %d", maxWatts)}
	}
	pass := func(h Home) (func(), error) { return h.pass(ctx, say, never) }
	err = inHomeAs(pass, o.Home, func(home Home) (err error) {
		s := &seller{tenant: tenant{home: home, say: say, ask: o.Passphrase}}
		defer func() { err = errors.Join(err, s.close()) }()
		if err := s.setManners(o.Manners); err != nil {
			return err
		}
		if err := s.open(); err != nil {
			return err
		}
		look := s.lookBeside
		if o.Ledger == "" {
			look = s.lookAsGuest
		}
		if err := look(ctx, o); err != nil {
			return err
		}
		e, err = s.estimate(ctx, job.Price{Input: o.InputPrice, Output: o.OutputPrice}, p)
		return err
	})
	return e, err
}

// maxWatts keeps a mistyped number from being reckoned with.
const maxWatts = 100_000

// lookAsGuest opens model and ledger of an invite's network without joining it.
func (s *seller) lookAsGuest(ctx context.Context, o control.ProvideOptions) (err error) {
	if err := s.openGuest(o.Invite); err != nil {
		return err
	}
	v, err := s.visit(ctx, o.Invite)
	if err != nil {
		return err
	}
	s.ledger = account{v.client}
	return s.openServed(ctx, o, func() (ModelEntry, error) { return s.chooseOf(ctx, s.ledger, o.Model) })
}

// lookBeside opens model and ledger of a node on this machine, without an account.
func (s *seller) lookBeside(ctx context.Context, o control.ProvideOptions) error {
	if err := s.openShelved(ctx, o); err != nil {
		return err
	}
	return s.reach(ctx, o.Ledger)
}

func (s *seller) estimate(ctx context.Context, price job.Price, p control.Power) (e control.Estimate, err error) {
	source := machine.This()
	facts := source.Read(ctx)
	e = control.Estimate{Hardware: showHardware(facts), Model: s.served.Name, ModelID: s.served.ID.String(), Label: label(s.served), Server: s.servers.of(s.served.ID), Models: len(s.servers.models()), Price: control.Price(price),
		Prompt: worth.TypicalPrompt, Answer: worth.TypicalAnswer}
	power := meter(source)
	m, err := s.speed(ctx, facts, true)
	if err != nil {
		return e, err
	}
	e.Speed = control.Speed{Prefill: m.Speed.Prefill, Decode: m.Speed.Decode, Rounds: m.Speed.Rounds, Measured: m.Measured}
	if e.Milliwatts, e.PowerFrom = power(); p.Watts != nil {
		e.Milliwatts, e.PowerFrom = *p.Watts*1000, "as you state it"
	}
	use, err := s.use(ctx)
	if err != nil {
		return e, err
	}
	o, err := worth.Estimate(worth.Question{Speed: m.Speed, Price: price, Slots: offerSlots, Use: use, Milliwatts: e.Milliwatts, PerKWh: p.PerKWh})
	if err != nil {
		return e, fmt.Errorf("estimate: %w", err)
	}
	e.Use, e.PerRequest, e.RequestMicro = control.Use(use), o.PerRequest, o.RequestMicro
	e.Full, e.Present = control.EstimatedDay(o.Full), control.EstimatedDay(o.Present)
	return e, nil
}

// meter begins to meter what the processors draw. What it returns says how much
// that was since, in milliwatts, or 0, and where it knows from.
func meter(source machine.Source) func() (milliwatts uint64, from string) {
	before, err := source.Meter()
	began := time.Now()
	return func() (uint64, string) {
		took := time.Since(began)
		var used uint64
		if err == nil {
			var after machine.Meter
			if after, err = source.Meter(); err == nil {
				used, err = before.Until(after)
			}
		}
		if err != nil {
			return 0, err.Error() + ": --watts N states what it draws while it computes"
		}
		// 1,000 microjoules in a microsecond are 1,000 watts.
		return used * 1000 / uint64(max(1, took.Microseconds())),
			"the processors' own energy counter while they were measured, without graphics card, disks, screen and power supply; --watts N states it better"
	}
}

// use is what the ledger shows of the pay for the model.
func (s *seller) use(ctx context.Context) (worth.Use, error) {
	now, err := s.ledger.Now(ctx)
	if err != nil {
		return worth.Use{}, err
	}
	offers, err := s.ledger.Offers(ctx, s.served.ID)
	if err != nil {
		return worth.Use{}, err
	}
	recent, err := s.ledger.RecentSessions(ctx, now-min(now, longestPast), mostSessions)
	if err != nil {
		return worth.Use{}, err
	}
	return useOf(s.served.ID, s.ledger.Account(), offers, recent, now), nil
}

// useOf adds up what others than me offer, and what all sessions for the model
// that opened lately and are settled by now have paid.
func useOf(model canon.CID, me string, offers []match.Offer, recent []job.Session, now uint64) worth.Use {
	var u worth.Use
	for _, o := range offers {
		if o.Model == model && o.Provider != me {
			u.Providers++
			u.Slots += o.Slots
		}
	}
	oldest := now
	for _, s := range recent {
		oldest = min(oldest, s.Opened)
		if s.Terms.Model != model || s.State != job.SessionSettled && s.State != job.SessionReleased {
			continue
		}
		u.Sessions++
		u.Paid += s.Escrow.Withheld + s.Escrow.Paid
	}
	u.Seconds = min(longestPast, max(shortestPast, now-oldest))
	return u
}

// reach opens the provider's account on the ledger at an address, whether or not
// the ledger knows it.
func (s *seller) reach(ctx context.Context, address string) error {
	rpc, err := client.Dial(address)
	if err != nil {
		return err
	}
	status, err := rpc.Status(ctx)
	if err != nil {
		return fmt.Errorf("reach the ledger at %s: %w", address, err)
	}
	key, err := s.keyring.Account(providerKey)
	if err != nil {
		return err
	}
	s.ledger = account{client.New(rpc, status.NodeInfo.Network, key)}
	return nil
}
