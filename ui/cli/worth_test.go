package cli

import (
	"bytes"
	"slices"
	"testing"

	"github.com/spf13/pflag"

	"daulat/ui/control"
)

// TestServiceGetsTheFlagsGiven: those that were given and no others, each value in
// a word of its own.
func TestServiceGetsTheFlagsGiven(t *testing.T) {
	f := pflag.NewFlagSet("provide", pflag.ContinueOnError)
	new(worth).flags(f)
	f.Uint64("output-price", 1000, "")
	f.Uint64("input-price", 200, "")
	f.StringSlice("quiet", nil, "")
	f.Bool("ask-passphrase", false, "")
	err := f.Parse([]string{"--install", "--ask-passphrase", "--watts", "5", "--output-price", "400", "--quiet", "a b,c", "--quiet=d"})
	if err != nil {
		t.Fatal(err)
	}
	if got := given(f); !slices.Equal(got, []string{"--output-price=400", "--quiet=a b", "--quiet=c", "--quiet=d"}) {
		t.Errorf("%q", got)
	}
}

// member is a home that joined a network, and counts what is installed in it.
type member struct {
	Runtime
	joined    bool
	installed *[]string
}

func (m member) Guest(string) bool { return m.joined }

func (m member) Install(_ control.ProvideOptions, arguments []string) (control.Service, error) {
	*m.installed = append(*m.installed, arguments...)
	return control.Service{Unit: "unit"}, nil
}

// TestServiceHoldsNoSecret: an invite is refused, as is a home that a service could
// not serve, or not without somebody at a terminal.
func TestServiceHoldsNoSecret(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		joined bool
		status int
	}{
		"as it should be":   {[]string{"--output-price=5"}, true, 0},
		"beside a ledger":   {[]string{"--ledger=tcp://127.0.0.1:1"}, false, 0},
		"no ledger":         {[]string{"--ledger=nonsense"}, true, 2},
		"no share":          {[]string{"--max-cpu=0"}, true, 2},
		"an invite":         {[]string{someInvite()}, true, 2},
		"joined nothing":    {nil, false, 2},
		"a passphrase":      {[]string{"--ask-passphrase"}, true, 2},
		"not for estimates": {[]string{"--watts=5"}, true, 2},
	} {
		var out, errOut bytes.Buffer
		installed := []string{}
		status := Run(t.Context(), append([]string{"provide", "--install"}, c.args...), &out, &errOut, member{joined: c.joined, installed: &installed})
		if status != c.status || status != 0 && len(installed) > 0 || status == 0 && !slices.Equal(installed, c.args) {
			t.Errorf("%s: status %d, installed %q: %s", name, status, installed, errOut.String())
		}
	}
}
