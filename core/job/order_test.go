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
