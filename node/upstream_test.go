package node

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"daulat/compute/executor/inference/upstreamtest"
	"daulat/compute/manners"
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
		})
	}
	s := looking(t)
	var said []string
	s.say = func(step string) { said = append(said, step) }
	s.throttle = manners.NewThrottle(1, manners.ProcessTime)
	if err := s.openServers(t.Context(), control.ProvideOptions{Probe: []string{gone.URL, one.URL}}); err != nil {
		t.Fatal(err)
	}
	one.Have(upstreamtest.Model{Name: "pulled"}, upstreamtest.Model{Name: "both"})
	if err := gone.Again(); err != nil {
		t.Fatal(err)
	}
	gone.Have(upstreamtest.Model{Name: "late"})
	for _, c := range []struct {
		everywhere bool
		want       string
	}{{false, "pulled, both"}, {true, "late, pulled, both"}, {false, "late, pulled, both"}} {
		s.servers.look(t.Context(), c.everywhere)
		if got := namesOf(s.servers.models()); got != c.want {
			t.Errorf("there is %q, want %q", got, c.want)
		}
	}
	if all := strings.Join(said, "; "); strings.Count(all, "--max-cpu can't hold the server") != 1 || strings.Contains(all, "--max-memory") {
		t.Errorf("it says %s", all)
	}
	gone.Stop()
	one.Stop()
	s.servers.look(t.Context(), false)
	if got := s.servers.models(); len(got) > 0 {
		t.Errorf("nothing is there, but %v", got)
	}
	s = looking(t)
	err := s.openServed(t.Context(), control.ProvideOptions{Probe: []string{gone.URL}}, func() (ModelEntry, error) { return ModelEntry{}, errOwn })
	if !errors.Is(err, errOwn) {
		t.Errorf("without a server the home's own model is not served: %v", err)
	}
}

var errOwn = errors.New("the home's own")
