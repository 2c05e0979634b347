package job_test

import (
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
)

// What a declared model answers can't be run again, so nobody sells it as checked.
func TestDeclaredModelsAreMeteredOnly(t *testing.T) {
	declared, described := canon.NewCID(canon.Raw, canon.Hash{1}), canon.NewCID(canon.DagCBOR, canon.Hash{1})
	for _, c := range []struct {
		model     canon.CID
		executor  string
		assurance job.Assurance
		ok        bool
	}{
		{declared, job.Upstream, job.Metered, true},
		{declared, job.Upstream, job.Sampled, false},
		{declared, job.Upstream, job.Proven, false},
		{declared, "float/1", job.Metered, false},
		{described, job.Upstream, job.Metered, false},
		{described, "float/1", job.Metered, true},
		{described, "float/1", job.Sampled, true},
	} {
		terms := job.Terms{Version: canon.Version, Kind: job.Inference, Executor: c.executor, Model: c.model, Assurance: c.assurance,
			Privacy: job.Open, Escrow: 10, Step: 10, Patience: 1, Duration: 1}
		if err := terms.Validate(); (err == nil) != c.ok {
			t.Errorf("%s by %s at %s: %v", c.model, c.executor, c.assurance, err)
		}
	}
}

// A request in text is admitted by the most that it can be billed for.
func TestAdmitBoundsText(t *testing.T) {
	price := job.Price{Input: 1000, Output: 1000}
	r := receipt.Request{Chat: "{}", Params: receipt.Params{MaxTokens: 4}}
	worst := r.Worst()
	most, err := price.Cost(worst.Input, worst.Output)
	if err != nil || most != 2+256+4 {
		t.Fatalf("at worst %d udlt, %v", most, err)
	}
	longest, err := price.LongestDeclared()
	if err != nil || longest != receipt.MaxUsage.Input+receipt.MaxUsage.Output {
		t.Errorf("the longest costs %d udlt, %v", longest, err)
	}
}
