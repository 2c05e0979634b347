package cli

import (
	"slices"
	"testing"

	"github.com/spf13/pflag"
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
