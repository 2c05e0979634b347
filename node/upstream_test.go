package node

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"daulat/compute/executor/inference/upstreamtest"
	"daulat/compute/provider"
	"daulat/core/artifact"
	"daulat/core/job"
	"daulat/ui/control"
)

// looking is a seller that has not chosen what to serve yet.
func looking(t *testing.T) *seller {
	t.Helper()
	home, err := OpenHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &seller{tenant: tenant{home: home, say: func(string) {}, log: slog.New(slog.NewTextHandler(io.Discard, nil)), store: newStore(t)}}
	if s.shelf, err = OpenShelf(home, s.store, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// That no server runs where one often does is nothing to warn of.
func TestLookingLeavesNoWarning(t *testing.T) {
	gone := upstreamtest.New(t)
	gone.Stop()
	s := looking(t)
	var log strings.Builder
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	if err := s.openServers(t.Context(), control.ProvideOptions{Probe: []string{gone.URL}}); err != nil || log.Len() > 0 {
		t.Errorf("%v, and the log says %q", err, &log)
	}
	if err := s.openServers(t.Context(), control.ProvideOptions{Upstream: gone.URL}); err == nil || log.Len() == 0 {
		t.Errorf("the server that the user named: %v, and the log says nothing", err)
	}
}

// A provider sells what it finds, or what it was told to, and nothing that is
// called like another model.
func TestServersAreFound(t *testing.T) {
	one := upstreamtest.New(t, upstreamtest.Model{Name: "small"}, upstreamtest.Model{Name: "SmolLM2-135M-lnstruct"}, upstreamtest.Model{Name: "both"})
	two := upstreamtest.New(t, upstreamtest.Model{Name: "both"}, upstreamtest.Model{Name: "large"})
	gone := upstreamtest.New(t)
	gone.Stop()
	other := upstreamtest.New(t, upstreamtest.Model{Name: "x"})
	other.Behave(upstreamtest.Conduct{Status: 200, Body: "<html>something else"})
	own := func(s *seller) error {
		_, err := importNoise(t.Context(), s.shelf)
		return err
	}
	all := []string{gone.URL, one.URL, other.URL, two.URL}
	for name, c := range map[string]struct {
		o    control.ProvideOptions
		want string
		why  string // of an error
	}{
		"all":                {control.ProvideOptions{Probe: all}, "small both large", ""},
		"one by name":        {control.ProvideOptions{Probe: all, Model: "LARGE"}, "large", ""},
		"none by name":       {control.ProvideOptions{Probe: all, Model: "huge"}, "", ""},
		"the home's own":     {control.ProvideOptions{Probe: all, Model: NoiseModel}, "", ""},
		"the default":        {control.ProvideOptions{Probe: all, Model: DefaultModel}, "", ""},
		"nothing there":      {control.ProvideOptions{Probe: []string{gone.URL}}, "", ""},
		"not looked for":     {control.ProvideOptions{Probe: all, Upstream: control.UpstreamNone}, "", ""},
		"named":              {control.ProvideOptions{Upstream: two.URL}, "both large", ""},
		"named, by name":     {control.ProvideOptions{Upstream: two.URL, Model: "both"}, "both", ""},
		"named, and gone":    {control.ProvideOptions{Upstream: gone.URL}, "", "no server of models answers"},
		"named, without":     {control.ProvideOptions{Upstream: two.URL, Model: "huge"}, "", "it has both, large"},
		"named like another": {control.ProvideOptions{Upstream: one.URL, Model: "SmolLM2-135M-lnstruct"}, "", "no model"},
		"no address":         {control.ProvideOptions{Upstream: "127.0.0.1"}, "", "http://HOST:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			s := looking(t)
			if err := own(s); err != nil {
				t.Fatal(err)
			}
			err := s.openServers(t.Context(), c.o)
			var names []string
			for _, offer := range s.servers.offers(job.Price{}) {
				d, err := artifact.DecodeDeclarationAs(offer.Model, offer.Manifest)
				if err != nil || offer.Assurance != job.Metered || offer.Executor != job.Upstream {
					t.Errorf("%+v, %v", offer, err)
				}
				names = append(names, d.Name)
			}
			if got := strings.Join(names, " "); got != c.want || (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
				t.Errorf("%q, %v", got, err)
			}
			if there := s.servers.there(t.Context()); c.want != "" && !slices.ContainsFunc(s.servers.offers(job.Price{}), func(o provider.Offer) bool { return there[o.Model] }) {
				t.Errorf("nothing is there: %v", there)
			}
		})
	}
	s := looking(t)
	err := s.openServed(t.Context(), control.ProvideOptions{Probe: []string{gone.URL}}, func() (ModelEntry, error) { return ModelEntry{}, errOwn })
	if !errors.Is(err, errOwn) {
		t.Errorf("without a server the home's own model is not served: %v", err)
	}
}

var errOwn = errors.New("the home's own")
