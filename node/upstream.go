package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"daulat/compute/executor/inference"
	"daulat/compute/provider"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/ledger/registry"
	"daulat/ui/control"
)

const (
	// upstreamPoll is how often a provider looks whether its servers are there.
	upstreamPoll = 5 * time.Second
	// upstreamRounds is after how many of these it looks everywhere: what answers
	// there may be something else, which is not to be bothered.
	upstreamRounds = 12
)

// servers are the servers of models that a provider sells answers of.
type servers struct {
	all  []*server
	name string // of the one model that is wanted, if not all are
}

// server is one of them.
type server struct {
	*inference.Upstream
	url    string
	proven bool                 // it had models once
	models []inference.Declared // that it had when it was last asked
}

// openServed opens what is to be served: the models of a server that is named or
// found, or else the one that choose puts on the shelf.
func (s *seller) openServed(ctx context.Context, o control.ProvideOptions, choose func() (ModelEntry, error)) error {
	if err := s.openServers(ctx, o); err != nil {
		return err
	}
	there := s.servers.models()
	if len(there) == 0 {
		return s.openModel(ctx, choose)
	}
	s.openLibrary() // for sessions of an earlier run
	s.served = ModelEntry{Name: there[0].Name, ID: there[0].ID}
	return nil
}

func (s *seller) openServers(ctx context.Context, o control.ProvideOptions) error {
	switch {
	case o.Upstream == control.UpstreamNone:
		return nil
	case o.Upstream != "":
		return s.useServer(ctx, o)
	case o.Model != "" && s.isOwn(o.Model):
		return nil
	}
	return s.lookForServers(ctx, o)
}

// isOwn reports a model that this home runs by itself, or can fetch.
func (s *seller) isOwn(name string) bool {
	if id, err := canon.ParseCID(name); err == nil {
		return !artifact.IsDeclared(id)
	}
	_, err := s.shelf.Find(name)
	return err == nil || looks(name) == looks(DefaultModel)
}

// useServer takes the server that the user named.
func (s *seller) useServer(ctx context.Context, o control.ProvideOptions) error {
	u, err := s.openServer(inference.UpstreamConfig{URL: o.Upstream, Key: o.UpstreamKey})
	if err != nil {
		return err
	}
	all, err := u.List(ctx)
	if err != nil {
		return fmt.Errorf("no server of models answers at %s: start it, or name another with --upstream", o.Upstream)
	}
	s.servers.name = o.Model
	u.models, u.proven = wanted(all, o.Model), true
	if len(u.models) == 0 && o.Model != "" {
		return control.WrongInput{Err: fmt.Errorf("the server at %s has no model %q: it has %s", o.Upstream, o.Model, namesOf(all))}
	}
	if len(u.models) == 0 {
		return fmt.Errorf("the server at %s has no model that can be offered", o.Upstream)
	}
	s.sayFound(u)
	return nil
}

// lookForServers takes those that run where servers of models usually do. What is
// not there, or is something else, is passed over until it is.
func (s *seller) lookForServers(ctx context.Context, o control.ProvideOptions) error {
	s.servers.name = o.Model
	for _, url := range o.Probe {
		if _, err := s.openServer(inference.UpstreamConfig{URL: url, Key: o.UpstreamKey, Maybe: true}); err != nil {
			return err
		}
	}
	s.servers.look(ctx, true)
	for _, v := range s.servers.all {
		if len(v.models) > 0 {
			s.sayFound(v)
		}
	}
	return ctx.Err()
}

// checkUpstream refuses an address at which no server of models can be.
func checkUpstream(address string) error {
	if address == "" || address == control.UpstreamNone {
		return nil
	}
	u, err := inference.OpenUpstream(inference.UpstreamConfig{URL: address}) // reaches for nothing yet
	if err != nil {
		return control.WrongInput{Err: err}
	}
	u.Close()
	return nil
}

func (s *seller) openServer(c inference.UpstreamConfig) (*server, error) {
	c.Log = s.log
	u, err := inference.OpenUpstream(c)
	if err != nil {
		return nil, control.WrongInput{Err: err}
	}
	s.onClose(func() error { u.Close(); return nil })
	v := &server{Upstream: u, url: c.URL}
	s.servers.all = append(s.servers.all, v)
	return v, nil
}

func (s *seller) sayFound(v *server) {
	s.say(fmt.Sprintf("found %s at %s", namesOf(v.models), v.url))
	s.sayUnbound()
}

// look asks the servers that ever had models, or all of them, what they have now.
func (v servers) look(ctx context.Context, everywhere bool) {
	var asked sync.WaitGroup
	for _, one := range v.all {
		if !one.proven && !everywhere {
			continue
		}
		asked.Go(func() {
			one.models = nil
			if all, err := one.List(ctx); err == nil {
				one.models = wanted(all, v.name)
			}
			one.proven = one.proven || len(one.models) > 0
		})
	}
	asked.Wait()
}

// models are those that are there. What two servers have is one model.
func (v servers) models() (all []inference.Declared) {
	for _, one := range v.all {
		for _, m := range one.models {
			if !slices.ContainsFunc(all, func(d inference.Declared) bool { return d.ID == m.ID }) {
				all = append(all, m)
			}
		}
	}
	return all
}

// urls are where there are any.
func (v servers) urls() (all []string) {
	for _, one := range v.all {
		if len(one.models) > 0 {
			all = append(all, one.url)
		}
	}
	return all
}

// of is where the server is that answers for a model; empty if none does.
func (v servers) of(id canon.CID) string {
	for _, one := range v.all {
		if slices.ContainsFunc(one.models, func(d inference.Declared) bool { return d.ID == id }) {
			return one.url
		}
	}
	return ""
}

func (v servers) upstreams() (all []*inference.Upstream) {
	for _, one := range v.all {
		all = append(all, one.Upstream)
	}
	return all
}

// wanted are the models of the name or ID, or all for an empty one, but for those that
// are called like a model that they are not.
func wanted(all []inference.Declared, name string) []inference.Declared {
	return slices.DeleteFunc(slices.Clone(all), func(d inference.Declared) bool {
		return genuine(d.Name, d.ID) != nil || name != "" && !strings.EqualFold(d.Name, name) && d.ID.String() != name
	})
}

func namesOf(all []inference.Declared) string {
	var names []string
	for _, d := range all {
		names = append(names, d.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// offers are the servers' models as they are sold.
func (v servers) offers(price job.Price) (all []provider.Offer) {
	for _, m := range v.models() {
		all = append(all, provider.Offer{Model: m.ID, Manifest: m.Data, Executor: job.Upstream,
			Assurance: job.Metered, Price: price, Slots: offerSlots})
	}
	return all[:min(len(all), registry.MaxOffers)]
}

// parallel is how many answers are given at a time: a server orders its own work,
// while an engine here takes all processors for one.
func (v servers) parallel() int {
	if len(v.models()) > 0 {
		return offerSlots
	}
	return 1
}

// watchServers has the offers follow the servers until ctx ends: which are there,
// and which models they have.
func (s *seller) watchServers(ctx context.Context, price job.Price) {
	tick := time.NewTicker(upstreamPoll)
	defer tick.Stop()
	changed := false
	for round := 1; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.servers.look(ctx, changed || round%upstreamRounds == 0)
		if ctx.Err() != nil {
			return
		}
		changed = s.follow(ctx, price)
	}
}

// follow offers what the servers have now, and reports whether that is news.
func (s *seller) follow(ctx context.Context, price job.Price) bool {
	gone, came, err := s.provider.Present(ctx, s.servers.offers(price))
	if err != nil && !errors.Is(err, context.Canceled) {
		s.log.Warn("offers could not follow their servers; will try again", "error", err)
	}
	for _, o := range gone {
		s.say(offeredName(o) + " is not there now: its offer is taken back")
	}
	if len(came) > 0 {
		s.sayUnbound()
	}
	for _, o := range came {
		s.say(offeredName(o) + " is there and offered, unaudited")
	}
	return len(gone)+len(came) > 0
}

func offeredName(declared provider.Offer) string {
	d, err := artifact.DecodeDeclaration(declared.Manifest)
	if err != nil {
		return declared.Model.String()
	}
	return d.Name
}
