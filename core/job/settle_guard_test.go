package job_test

import (
	"errors"
	"testing"

	"daulat/core/job"
)

// The newest pair stands, whatever is brought after it, and only by the two
// whose session it is.
func TestStalePairsAndStrangersAreRefused(t *testing.T) {
	identity, session := key(t, "i"), key(t, "s")
	order, err := job.Place(7, consumer, session.Public(), testTerms(), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, s, err := order.Match(job.Party{Account: provider, Key: identity.Public(), Price: job.Price{Input: 1, Output: 1}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := entries(t, identity, session)
	old, newest := all[0], all[3]
	if s, _, err = s.Settle(provider, chain, newest, false, 1); err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{provider, consumer} {
		if after, _, err := s.Settle(by, chain, old, true, 1); !errors.Is(err, job.ErrStale) || *after.Claim != newest {
			t.Errorf("%s brings an older pair: %v", by, err)
		}
	}
	if _, _, err := s.Settle(stranger, chain, newest, true, 1); !errors.Is(err, job.ErrStranger) {
		t.Errorf("a stranger settles: %v", err)
	}
	if _, err := s.Close(stranger, 1); !errors.Is(err, job.ErrStranger) {
		t.Errorf("a stranger closes: %v", err)
	}
	if _, err := s.TopUp(stranger, 1); !errors.Is(err, job.ErrStranger) {
		t.Errorf("a stranger tops up: %v", err)
	}
	if after, _, err := s.Settle(consumer, chain, newest, false, 1); err != nil || *after.Claim != newest {
		t.Errorf("the same again: %v", err)
	}
}
