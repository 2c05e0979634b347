package job_test

import (
	"errors"
	"testing"

	"daulat/core/job"
)

func TestOnlyTheOwnerCancels(t *testing.T) {
	o, err := job.Place(7, consumer, key(t, "s").Public(), testTerms(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := o.Cancel(stranger); !errors.Is(err, job.ErrStranger) || got.State != job.OrderOpen {
		t.Fatalf("%+v, %v", got, err)
	}
}

// A session is taken for that of an order only if all is as it was ordered.
func TestOrdered(t *testing.T) {
	o, err := job.Place(7, consumer, key(t, "s").Public(), testTerms(), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, good, err := o.Match(job.Party{Account: provider, Key: key(t, "p").Public(), Price: o.Terms.Ceiling}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Ordered(o); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*job.Session){
		"another number":       func(s *job.Session) { s.ID++ },
		"another consumer's":   func(s *job.Session) { s.Consumer = stranger },
		"another session key":  func(s *job.Session) { s.SessionKey = key(t, "x").Public() },
		"a larger step":        func(s *job.Session) { s.Terms.Step++ },
		"a price that is high": func(s *job.Session) { s.Price.Output++ },
	} {
		s := good
		change(&s)
		if err := s.Ordered(o); !errors.Is(err, job.ErrOtherOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
