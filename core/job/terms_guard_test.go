package job_test

import (
	"errors"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
)

func TestTermsRefuse(t *testing.T) {
	if err := testTerms().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*job.Terms){
		"another version":           func(x *job.Terms) { x.Version++ },
		"another kind":              func(x *job.Terms) { x.Kind = "dreaming" },
		"no executor":               func(x *job.Terms) { x.Executor = "" },
		"a long executor":           func(x *job.Terms) { x.Executor = strings.Repeat("x", 65) },
		"an executor not in UTF-8":  func(x *job.Terms) { x.Executor = "\xff" },
		"an executor that blinks":   func(x *job.Terms) { x.Executor = "float/1\x1b[5m" },
		"no model":                  func(x *job.Terms) { x.Model = canon.CID{} },
		"raw bytes as a model":      func(x *job.Terms) { x.Model = canon.NewCID(canon.Raw, canon.Hash{1}) },
		"an unknown assurance":      func(x *job.Terms) { x.Assurance = job.Proven + 1 },
		"an unknown privacy":        func(x *job.Terms) { x.Privacy = "secret" },
		"a private job to be drawn": func(x *job.Terms) { x.Privacy = job.Private },
		"no escrow":                 func(x *job.Terms) { x.Escrow = 0 },
		"no step":                   func(x *job.Terms) { x.Step = 0 },
		"a step above the escrow":   func(x *job.Terms) { x.Step = x.Escrow + 1 },
		"no patience":               func(x *job.Terms) { x.Patience = 0 },
		"endless patience":          func(x *job.Terms) { x.Patience = job.MaxPatience + 1 },
		"no duration":               func(x *job.Terms) { x.Duration = 0 },
		"an endless session":        func(x *job.Terms) { x.Duration = job.MaxDuration + 1 },
		"a clock that wraps":        func(x *job.Terms) { x.Duration = ^uint64(0) },
		"too many excluded":         func(x *job.Terms) { x.Excluded = strings.Split(strings.Repeat("a,", job.MaxExcluded)+"a", ",") },
		"an empty exclusion":        func(x *job.Terms) { x.Excluded = []string{""} },
		"too many preferred":        func(x *job.Terms) { x.Preferred = strings.Split(strings.Repeat("a,", job.MaxPreferred)+"a", ",") },
		"a preference that blinks":  func(x *job.Terms) { x.Preferred = []string{"\x1b[5m"} },
		"only nobody":               func(x *job.Terms) { x.Only = true },
	} {
		x := testTerms()
		change(&x)
		if _, err := job.Place(1, consumer, key(t, "s").Public(), x, 0); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// The sum of both parts wraps around to a small number.
func TestCostThatWrapsIsRefused(t *testing.T) {
	if cost, err := (job.Price{Input: ^uint64(0), Output: 1 << 32}).Cost(^uint64(0), 5<<32); !errors.Is(err, job.ErrOverflow) {
		t.Errorf("the cost is %d, %v", cost, err)
	}
}
