package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"daulat/compute/executor/inference"
	"daulat/compute/provider"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/ui/control"
)

// upstreamPoll is how often a provider looks whether its servers are there.
const upstreamPoll = 5 * time.Second

// servers are the servers of models that a provider sells answers of.
type servers struct {
	all    []*inference.Upstream
	urls   []string
	models []inference.Declared
}

// openServed opens what is to be served: the models of a server that is named or
// found, or else the one that choose puts on the shelf.
func (s *seller) openServed(ctx context.Context, o control.ProvideOptions, choose func() (ModelEntry, error)) error {
	if err := s.openServers(ctx, o); err != nil {
		return err
	}
	if len(s.servers.models) == 0 {
		return s.openModel(ctx, choose)
	}
	s.openLibrary() // for sessions of an earlier run
	first := s.servers.models[0]
	s.served = ModelEntry{Name: first.Name, ID: first.ID}
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
	u, err := s.openServer(o.Upstream, o.UpstreamKey, s.log)
	if err != nil {
		return control.WrongInput{Err: err}
	}
	all, err := u.List(ctx)
	if err != nil {
		return fmt.Errorf("no server of models answers at %s: start it, or name another with --upstream", o.Upstream)
	}
	chosen := wanted(all, o.Model)
	if len(chosen) == 0 && o.Model != "" {
		return control.WrongInput{Err: fmt.Errorf("the server at %s has no model %q: it has %s", o.Upstream, o.Model, namesOf(all))}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("the server at %s has no model that can be offered", o.Upstream)
	}
	s.addServer(u, o.Upstream, chosen)
	return nil
}

// lookForServers takes those that run where servers of models usually do. What is
// not there, or is something else, is passed over.
func (s *seller) lookForServers(ctx context.Context, o control.ProvideOptions) error {
	answers := make([][]inference.Declared, len(o.Probe))
	var probes sync.WaitGroup
	for i, url := range o.Probe {
		u, err := s.openServer(url, o.UpstreamKey, slog.New(slog.DiscardHandler)) // most are not there
		if err != nil {
			return control.WrongInput{Err: err}
		}
		probes.Go(func() {
			if all, err := u.List(ctx); err == nil {
				answers[i] = wanted(all, o.Model)
			}
		})
	}
	probes.Wait()
	for i, models := range answers {
		if len(models) > 0 {
			u, err := s.openServer(o.Probe[i], o.UpstreamKey, s.log)
			if err != nil {
				return control.WrongInput{Err: err}
			}
			s.addServer(u, o.Probe[i], models)
		}
	}
	return ctx.Err()
}

func (s *seller) openServer(url, key string, log *slog.Logger) (*inference.Upstream, error) {
	u, err := inference.OpenUpstream(inference.UpstreamConfig{URL: url, Key: key, Log: log})
	if err == nil {
		s.onClose(func() error { u.Close(); return nil })
	}
	return u, err
}

// addServer offers models of a server. One that another has too is offered once.
func (s *seller) addServer(u *inference.Upstream, url string, models []inference.Declared) {
	s.say(fmt.Sprintf("found %s at %s", namesOf(models), url))
	s.servers.all, s.servers.urls = append(s.servers.all, u), append(s.servers.urls, url)
	for _, m := range models {
		if !slices.ContainsFunc(s.servers.models, func(d inference.Declared) bool { return d.ID == m.ID }) {
			s.servers.models = append(s.servers.models, m)
		}
	}
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
	for _, m := range v.models {
		all = append(all, provider.Offer{Model: m.ID, Manifest: m.Data, Executor: job.Upstream,
			Assurance: job.Metered, Price: price, Slots: offerSlots})
	}
	return all
}

// parallel is how many answers are given at a time: a server orders its own work,
// while an engine here takes all processors for one.
func (v servers) parallel() int {
	if len(v.all) > 0 {
		return offerSlots
	}
	return 1
}

// there reports which models the servers have now.
func (v servers) there(ctx context.Context) map[canon.CID]bool {
	there := map[canon.CID]bool{}
	for _, u := range v.all {
		models, err := u.List(ctx)
		if err != nil {
			continue
		}
		for _, m := range models {
			there[m.ID] = true
		}
	}
	return there
}

// watchServers takes the offers back of models whose server is gone, and makes
// them again when it is back, until ctx ends.
func (s *seller) watchServers(ctx context.Context) {
	tick := time.NewTicker(upstreamPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		there := s.servers.there(ctx)
		if ctx.Err() != nil {
			return
		}
		gone, back, err := s.provider.Present(ctx, func(id canon.CID) bool { return there[id] })
		if err != nil && !errors.Is(err, context.Canceled) {
			s.log.Warn("offers could not follow their servers; will try again", "error", err)
		}
		for _, id := range gone {
			s.say(fmt.Sprintf("%s does not answer: its offer is taken back until it does", s.servers.name(id)))
		}
		for _, id := range back {
			s.say(s.servers.name(id) + " is there again and offered")
		}
	}
}

func (v servers) name(id canon.CID) string {
	for _, m := range v.models {
		if m.ID == id {
			return m.Name
		}
	}
	return id.String()
}
