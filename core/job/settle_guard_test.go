package job_test

import (
	"errors"
	"reflect"
	"testing"

	"daulat/core/job"
	"daulat/core/receipt"
)

// A stranger may carry a pair to the ledger, before and after its parties, and
// moves neither clock nor money by it. A final pair settles when the provider
// brings it too.
func TestStrangerRecordsAndNoMore(t *testing.T) {
	start, _ := lease(t, testTerms())
	all := entries(t, key(t, "i"), key(t, "s"))
	open, agreed := all[0], all[2]
	for _, state := range []job.SessionState{job.SessionOpen, job.SessionClosing} {
		s := start
		s.State = state
		for _, e := range []receipt.Entry{open, agreed, agreed} {
			want := s
			want.Claim = &e
			after, payments, err := s.Settle(stranger, chain, e, false, 1)
			if err != nil || len(payments) > 0 || !reflect.DeepEqual(after, want) {
				t.Fatalf("%s: %+v, %v, %v", state, after, payments, err)
			}
			if _, _, err := after.Settle(stranger, chain, e, true, 1); !errors.Is(err, job.ErrStranger) {
				t.Fatalf("%s: a stranger closes: %v", state, err)
			}
			s = after
		}
		s, payments, err := s.Settle(provider, chain, agreed, false, 1)
		if err != nil || s.State != job.SessionSettled || s.Reason != job.ReasonFinal || len(payments) != 1 || payments[0].To != consumer {
			t.Fatalf("%s: the provider agrees too late: %+v, %v, %v", state, s, payments, err)
		}
		if _, _, err := s.Settle(stranger, chain, all[3], false, 1); !errors.Is(err, job.ErrSessionClosed) {
			t.Fatalf("a pair after the split: %v", err)
		}
	}
}

// A pair is as sound as the session that checked it says, and counts for no other.
func TestSoundPairBelongsToItsSession(t *testing.T) {
	s, _ := lease(t, testTerms())
	other := s
	other.ID++
	p, err := s.Check(chain, entries(t, key(t, "i"), key(t, "s"))[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]job.Sound{"of another session": p, "that nobody checked": {}} {
		if after, _, err := other.Record(provider, p, false, false, 1); !errors.Is(err, receipt.ErrSession) || after.Claim != nil {
			t.Errorf("a pair %s was recorded: %v", name, err)
		}
	}
	if after, _, err := s.Record(provider, p, false, false, 1); err != nil || after.Claim == nil {
		t.Fatal(err)
	}
}

// The newest pair stands, whatever is brought after it, and only the two whose
// session it is close it.
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
	if after, _, err := s.Settle(stranger, chain, newest, true, 1); !errors.Is(err, job.ErrStranger) || after.State != job.SessionOpen {
		t.Errorf("a stranger shuts the session with a pair: %v", err)
	}
	if _, _, err := s.Settle(stranger, chain, old, false, 1); !errors.Is(err, job.ErrStale) {
		t.Errorf("a stranger brings an older pair: %v", err)
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

// Nobody brings a pair under a key that is revoked, in any state and with any
// pair. What was recorded before stays and is paid, and all else ends as ever:
// by a close or by the clock, with the money back to the consumer.
func TestRevokedKeySettlesNothing(t *testing.T) {
	start, _ := lease(t, testTerms())
	start = start.Freeze(job.Windows{Close: 2, Challenge: 2})
	all := entries(t, key(t, "i"), key(t, "s"))
	before, _, err := start.Settle(provider, chain, all[0], false, 1)
	if err != nil {
		t.Fatal(err)
	}
	for due, s := range map[uint64]job.Session{0: start, all[0].Due(): before} {
		for _, state := range []job.SessionState{job.SessionOpen, job.SessionClosing} {
			s.State = state
			for _, e := range all {
				p, err := s.Check(chain, e)
				if err != nil {
					t.Fatal(err)
				}
				for _, by := range []string{provider, consumer, stranger} {
					for _, shut := range []bool{false, true} {
						after, payments, err := s.Record(by, p, true, shut, 1)
						if !errors.Is(err, job.ErrRevoked) || len(payments) > 0 || !reflect.DeepEqual(after, s) {
							t.Fatalf("%s brings a pair under a revoked key: %+v, %v", by, after, err)
						}
					}
				}
			}
		}
		s.State = job.SessionOpen
		s, err := s.Close(consumer, 1)
		if err != nil {
			t.Fatal(err)
		}
		s, payments, err := s.Tick(s.Clock)
		if err != nil || s.Escrow.Withheld != due || len(payments) != 1 || payments[0].To != consumer {
			t.Errorf("the clock gives %+v and pays %v, %v; %d are due", s.Escrow, payments, err, due)
		}
	}
}
