package app

import (
	"errors"
	"strings"
	"testing"

	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"
)

// TestProgramFitsTheLedger: a program executes a block only if it knows the upgrades
// that the ledger went through by then, and none that it is still to go through.
func TestProgramFitsTheLedger(t *testing.T) {
	plan := upgradetypes.Plan{Name: "next", Height: 100}
	for name, c := range map[string]struct {
		last  string
		plan  upgradetypes.Plan
		next  int64
		knows string
		want  error
		said  string
	}{
		"no upgrade":                 {next: 5},
		"old before the height":      {plan: plan, next: 99},
		"old at the height":          {plan: plan, next: 100, want: ErrUpgradeDue, said: `block 100 by upgrade "next": start this home with the program that carries it`},
		"old beyond the height":      {plan: plan, next: 101, want: ErrUpgradeDue, said: "block 100"},
		"new before the height":      {plan: plan, next: 99, knows: "next", want: ErrWrongProgram, said: `"next" takes effect at block 100, and this home is at block 98`},
		"new at the height":          {plan: plan, next: 100, knows: "next"},
		"old after the upgrade":      {last: "next", next: 101, want: ErrWrongProgram, said: `by upgrade "next", which it does not know`},
		"new after the upgrade":      {last: "next", next: 101, knows: "next"},
		"old after, at another plan": {last: "next", plan: upgradetypes.Plan{Name: "third", Height: 300}, next: 200, want: ErrWrongProgram, said: `"next"`},
	} {
		err := fits(c.last, c.plan, c.next, func(name string) bool { return name == c.knows })
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err != nil && !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
