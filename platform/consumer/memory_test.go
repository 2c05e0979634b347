package consumer

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
)

// A thousand providers that are heard of once don't fill the memory, and the newest
// of them are what is kept.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(nil, slog.New(slog.DiscardHandler))
	for i := range 2 * maxRemembered {
		provider := fmt.Sprintf("p%04d", i)
		m.note(provider, match.Facts.Broke)
		m.update(provider, func(r *Remembered) { r.Seen = int64(i) })
	}
	if len(m.kept.Providers) != maxRemembered {
		t.Errorf("%d are remembered", len(m.kept.Providers))
	}
	if _, old := m.kept.Providers["p0000"]; old {
		t.Error("the oldest is remembered")
	}
}

// Nor do a hundred models of one provider, and it is not changed for whoever keeps it.
func TestModelsOfAProviderAreBounded(t *testing.T) {
	m := newMemory(nil, slog.New(slog.DiscardHandler))
	answered := func(f match.Facts) match.Facts { return f.Answered(1, 1, 2) }
	id := func(i int) canon.CID { return canon.NewCID(canon.Raw, canon.Hash{byte(i)}) }
	for i := range 100 {
		before := m.kept.Providers["p"].Models
		n := len(before)
		m.noted("p", id(i), answered)
		if len(before) != n {
			t.Fatal("what was kept is changed")
		}
		m.update("p", func(r *Remembered) { r.Models[id(i).String()] = Measured{r.Models[id(i).String()].Pace, int64(i)} })
	}
	all := m.kept.Providers["p"].Models
	if len(all) != maxMeasured || all[id(99).String()].Answers != 1 || all[id(0).String()].Answers != 0 {
		t.Errorf("%+v", all)
	}
}

// Where owners are bounded an order names who may serve it, whoever else is busy, and of
// those that it pins only who was chosen.
func TestBoundedOrdersNameWhoServes(t *testing.T) {
	chosen, o := choice{preferred: []string{"a"}}, order{anybody: true}
	if t1 := chosen.prefer(job.Terms{}, o); t1.Only {
		t.Errorf("without a bound: %+v", t1)
	}
	o.PerOwner = 1
	for _, terms := range []job.Terms{{}, {Preferred: []string{"full", "a"}, Only: true}} {
		if got := chosen.prefer(terms, o); !got.Only || !slices.Equal(got.Preferred, []string{"a"}) {
			t.Errorf("%+v", got)
		}
	}
}
