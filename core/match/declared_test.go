package match_test

import (
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
)

func TestOffersOfDeclaredModels(t *testing.T) {
	declared, described := canon.NewCID(canon.Raw, canon.Hash{1}), canon.NewCID(canon.DagCBOR, canon.Hash{1})
	for name, c := range map[string]struct {
		offer match.Offer
		ok    bool
	}{
		"a declared model, metered":           {match.Offer{Model: declared, Executor: job.Upstream, Slots: 1}, true},
		"a declared model, sampled":           {match.Offer{Model: declared, Executor: job.Upstream, Assurance: job.Sampled, Slots: 1}, false},
		"a declared model, run here":          {match.Offer{Model: declared, Executor: "float/1", Slots: 1}, false},
		"a manifest's model, run elsewhere":   {match.Offer{Model: described, Executor: job.Upstream, Slots: 1}, false},
		"a manifest's model, run and sampled": {match.Offer{Model: described, Executor: "float/1", Assurance: job.Sampled, Slots: 1}, true},
	} {
		if err := c.offer.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
