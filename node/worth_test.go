package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"daulat/compute/executor/inference"
	"daulat/compute/machine"
	"daulat/compute/worth"
	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/ui/control"
)

func TestUseOf(t *testing.T) {
	model, other := canon.NewCID(canon.DagCBOR, canon.Hash{1}), canon.NewCID(canon.DagCBOR, canon.Hash{2})
	session := func(m canon.CID, state job.SessionState, opened, withheld, paid uint64) job.Session {
		return job.Session{Terms: job.Terms{Model: m}, State: state, Opened: opened, Escrow: escrow.Account{Withheld: withheld, Paid: paid, Locked: 1000}}
	}
	const now = 1_000_000
	offers := []match.Offer{{Provider: "a", Model: model, Slots: 8}, {Provider: "me", Model: model, Slots: 8}, {Provider: "b", Model: other, Slots: 8}, {Provider: "c", Model: model, Slots: 2}}
	for name, c := range map[string]struct {
		recent []job.Session
		want   worth.Use
	}{
		"nothing yet": {nil, worth.Use{Seconds: 3600, Providers: 2, Slots: 10}},
		"a day": {[]job.Session{session(model, job.SessionSettled, now-1, 5, 0), session(model, job.SessionReleased, now-80_000, 0, 7),
			session(other, job.SessionReleased, now-5, 0, 100), session(model, job.SessionOpen, now-5, 0, 0), session(model, job.SessionClosing, now-5, 50, 0)},
			worth.Use{Seconds: 80_000, Sessions: 2, Paid: 12, Providers: 2, Slots: 10}},
		"a young network":         {[]job.Session{session(model, job.SessionReleased, now-60, 0, 7)}, worth.Use{Seconds: 3600, Sessions: 1, Paid: 7, Providers: 2, Slots: 10}},
		"an old one":              {[]job.Session{session(model, job.SessionReleased, 1, 0, 7)}, worth.Use{Seconds: 86_400, Sessions: 1, Paid: 7, Providers: 2, Slots: 10}},
		"opened after the answer": {[]job.Session{session(model, job.SessionSettled, now+9, 7, 0)}, worth.Use{Seconds: 3600, Sessions: 1, Paid: 7, Providers: 2, Slots: 10}},
	} {
		if got := useOf(model, "me", offers, c.recent, now); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestSpeedIsMeasuredAgainWhenItMust: as long as model, processor and program are
// the same the kept number counts, and not a moment longer.
func TestSpeedIsMeasuredAgainWhenItMust(t *testing.T) {
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	measured := 0
	s := &seller{tenant: tenant{home: home, say: func(step string) {
		if strings.HasPrefix(step, "measuring") {
			measured++
		}
	}}}
	defer s.close()
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	if err := s.openModel(t.Context(), func() (ModelEntry, error) { return importNoise(t.Context(), s.shelf) }); err != nil {
		t.Fatal(err)
	}
	facts := machine.Facts{CPU: "one", Cores: 2}
	file := home.path(speedFile)
	for _, c := range []struct {
		name   string
		change func()
		again  bool
	}{
		{"the first time", func() {}, true},
		{"the second time", func() {}, false},
		{"another processor", func() { facts.CPU = "two" }, true},
		{"fewer cores", func() { facts.Cores = 1 }, true},
		{"another program", func() { rewrite(t, file, "program", "other") }, true},
		{"another model", func() { rewrite(t, file, "model", "other") }, true},
		{"a broken file", func() { rewrite(t, file, "", "") }, true},
		{"and then no more", func() {}, false},
	} {
		c.change()
		before := measured
		m, err := s.speed(t.Context(), facts, false)
		if err != nil || m.Speed.Prefill == 0 || m.Speed.Decode == 0 || m.Speed.Rounds != 3 {
			t.Fatalf("%s: %+v, %v", c.name, m, err)
		}
		if (measured > before) != c.again {
			t.Errorf("%s: measured again is %t", c.name, measured > before)
		}
	}
	if _, err := s.speed(t.Context(), facts, true); err != nil || measured != 7 {
		t.Errorf("on demand: %d measurements, %v", measured, err)
	}
}

// rewrite replaces a field's text in a file of JSON, or the file by what is none.
func rewrite(t *testing.T, file, field, text string) {
	t.Helper()
	kept := map[string]any{}
	if err := loadJSON(file, &kept); err != nil {
		t.Fatal(err)
	}
	if field == "" {
		if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept[field] = text
	if err := saveJSON(file, kept); err != nil {
		t.Fatal(err)
	}
}

// TestMeterSaysWhereItKnowsFrom: where there is no counter nothing is guessed.
func TestMeterSaysWhereItKnowsFrom(t *testing.T) {
	if watts, from := meter(machine.Source{Root: fstest.MapFS{}})(); watts != 0 || !strings.Contains(from, "--watts N") {
		t.Errorf("%d mW: %s", watts, from)
	}
	tree := fstest.MapFS{}
	write := func(energy uint64) {
		for name, text := range map[string]string{"name": "package-0", "energy_uj": fmt.Sprint(energy), "max_energy_range_uj": "999999999999"} {
			tree["sys/class/powercap/intel-rapl:0/"+name] = &fstest.MapFile{Data: []byte(text + "\n")}
		}
	}
	write(5)
	read := meter(machine.Source{Root: tree})
	write(500_000_000_005) // 500 kJ: that many watts for a second, and some for a day
	if milliwatts, from := read(); milliwatts == 0 || !strings.Contains(from, "without graphics card") {
		t.Errorf("%d mW: %s", milliwatts, from)
	}
}

// TestServiceNeedsNobody: a home whose passphrase somebody types is no service's.
func TestServiceNeedsNobody(t *testing.T) {
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	var wrong control.WrongInput
	s, err := Runtime{}.Install(control.ProvideOptions{Home: home.dir}, nil)
	if !errors.As(err, &wrong) {
		t.Errorf("wrote %s, %v", s.Unit, err)
	}
	if _, err := (Runtime{}).Uninstall(); !errors.As(err, &wrong) {
		t.Errorf("a unit is there: %v", err)
	}
}

// TestServiceIsOneThatProvides: what provide refuses before it does anything is refused
// in the same words before a unit is written, and the earlier unit stays.
func TestServiceIsOneThatProvides(t *testing.T) {
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := home.passphrase(nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	s, err := Runtime{}.Install(control.ProvideOptions{Home: home.dir, Listen: "localhost:0", Link: linkNone, Upstream: control.UpstreamNone, UpstreamKey: "secret"}, nil)
	if err != nil || s.Lacks != "" {
		t.Fatalf("%+v, %v", s, err)
	}
	before, err := os.ReadFile(s.Unit)
	if err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none")
	for name, o := range map[string]control.ProvideOptions{
		"hours":    {Manners: control.Manners{Quiet: "99:00-01:00"}},
		"share":    {Manners: control.Manners{Processor: 101}},
		"link":     {Link: "nonsense"},
		"upstream": {Upstream: "ftp://x"},
		"no port":  {Listen: "foo"},
		"port":     {Listen: "127.0.0.1:99999"},
		"price":    {OutputPrice: match.MaxPrice + 1},
	} {
		o.Home = none
		refused := Runtime{}.Provide(t.Context(), o, func(string) {}, func(control.Providing) {})
		o.Home = home.dir
		_, err := Runtime{}.Install(o, []string{"--wrong"})
		if !errors.As(err, new(control.WrongInput)) || refused == nil || err.Error() != refused.Error() || exists(none) {
			t.Errorf("%s: a service %v, a start %v", name, err, refused)
		}
		if now, err := os.ReadFile(s.Unit); err != nil || !bytes.Equal(now, before) {
			t.Errorf("%s: the unit is now %s, %v", name, now, err)
		}
	}
	if s, err = (Runtime{}).Install(control.ProvideOptions{Home: home.dir, UpstreamKey: "secret"}, nil); err != nil || !strings.Contains(s.Lacks, "DAULAT_UPSTREAM_KEY") {
		t.Errorf("a key that the service lacks: %+v, %v", s, err)
	}
	if now, err := os.ReadFile(s.Unit); err != nil || bytes.Contains(now, []byte("secret")) {
		t.Errorf("the unit is %s, %v", now, err)
	}
}

var _ worth.Model = inference.Model(nil)
