package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"daulat/core/match"
)

func small(seed uint64) *world {
	return newWorld(config{seed: seed, providers: 100, load: 4, orders: 200})
}

// The same seed gives the same run, and all money is accounted for in each.
func TestRunsRepeat(t *testing.T) {
	var rows []row
	for range 2 {
		r, err := small(7).run()
		if err != nil {
			t.Fatal(err)
		}
		r.ClearMedian, r.ClearWorst, r.RankMedian = 0, 0, 0 // real time
		rows = append(rows, r)
	}
	if !reflect.DeepEqual(rows[0], rows[1]) {
		t.Fatalf("%+v\n%+v", rows[0], rows[1])
	}
	if other, err := small(8).run(); err != nil || other.WaitWorst == rows[0].WaitWorst && other.Audits == rows[0].Audits && other.All == rows[0].All {
		t.Errorf("another seed makes no difference: %+v, %v", other, err)
	}
}

// A quarter of all providers vanish and ask next to nothing; they get the newcomers'
// share of sessions and no more, and every wish is served.
func TestVanishersAndLiarsGetTheNewcomersShare(t *testing.T) {
	w := newWorld(config{seed: 3, providers: 400, load: 4, orders: 800})
	r, err := w.run()
	if err != nil {
		t.Fatal(err)
	}
	if r.Unserved != 0 {
		t.Errorf("%d wishes were given up", r.Unserved)
	}
	if most := 1000 / match.NewcomerShare; r.Vanished > most || r.Vanished == 0 {
		t.Errorf("%d of 1,000 sessions went to vanishers", r.Vanished)
	}
	if r.Audits < 5 || r.Paid > r.Lied {
		t.Errorf("%+v", r)
	}
}

// Who lies is found by the audits: with nothing at stake each of its answers is run
// again, so no lie of its first session is paid for.
func TestLiesOfThoseWithoutStakeAreNeverPaid(t *testing.T) {
	w := small(5)
	for _, p := range w.providers {
		p.kind, p.stand.Sessions, p.stand.Unserved, p.offer.Price.Output = liar, 0, 0, 900
	}
	if _, err := w.run(); err != nil {
		t.Fatal(err)
	}
	if w.stats.complaints == 0 {
		t.Fatalf("%+v", w.stats)
	}
	if caught := w.stats.complaints; w.stats.paidLies > caught {
		t.Errorf("%d lies were paid for and %d found", w.stats.paidLies, caught)
	}
}

// The picture and the page are functions of the table, and the table reads as it was
// written.
func TestPlotAndTable(t *testing.T) {
	r, err := small(1).run()
	if err != nil {
		t.Fatal(err)
	}
	more := r
	more.Load, more.Providers = 64, 1000
	all := []row{r, more}
	path := filepath.Join(t.TempDir(), "scale.csv")
	if err := writeRows(path, all); err != nil {
		t.Fatal(err)
	}
	again, err := readRows(path)
	if err != nil || !reflect.DeepEqual(all, again) {
		t.Fatalf("%+v, %v", again, err)
	}
	svg := plot(all)
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if plot(again) != svg || strings.Contains(svg, "NaN") || !strings.Contains(page(all), "| 1,000 | 64 |") {
		t.Error("the picture or the page is not of the table")
	}
	if err := os.WriteFile(path, []byte("a,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readRows(path); err == nil {
		t.Error("another table was read")
	}
}

// What is committed is what the table says.
func TestScalePageIsOfItsTable(t *testing.T) {
	all, err := readRows("../docs/scale.csv")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"../docs/scale.svg": plot(all), "../docs/scale.md": page(all)} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s is not of scale.csv: go run ./sim -plot; %v", file, err)
		}
	}
}
