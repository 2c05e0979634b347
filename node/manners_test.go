package node

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"daulat/compute/executor/inference/upstreamtest"
	"daulat/compute/manners"
	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/ui/control"
)

// mannered is a seller with a model of noise, held to what its owner wishes.
func mannered(t *testing.T, m control.Manners) (*seller, error) {
	t.Helper()
	processors, memory := runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(processors)
		debug.SetMemoryLimit(memory)
	})
	dir := t.TempDir()
	shelf, err := shelfOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &seller{tenant: tenant{home: Home{dir: dir}, shelf: shelf, say: func(string) {}}}
	if s.served, err = importNoise(t.Context(), shelf); err != nil {
		t.Fatal(err)
	}
	return s, s.setManners(m)
}

// A model whose weights alone take more than the owner gives is not loaded, and one
// that fits is.
func TestModelFitsWhatIsGiven(t *testing.T) {
	for _, c := range []struct {
		memory uint64
		fits   bool
	}{{0, true}, {1 << 10, false}, {1 << 40, true}} {
		s, err := mannered(t, control.Manners{Memory: c.memory})
		if err != nil {
			t.Fatal(err)
		}
		err = s.fits(t.Context())
		if c.fits != (err == nil) || !c.fits && !(errors.As(err, new(control.WrongInput)) && strings.Contains(err.Error(), "--max-memory")) {
			t.Errorf("with %d bytes: %v", c.memory, err)
		}
	}
}

// holding is a machine on which the process holds so many bytes.
type holding uint64

func (h holding) Signs(_ context.Context, now time.Time) (manners.Signs, error) {
	return manners.Signs{Now: now, Memory: uint64(h)}, nil
}

// A bound that the process is above before its first answer lets it do nothing but
// rest, so it is refused, with the number that would do.
func TestMemoryThatIsHeldAlready(t *testing.T) {
	for _, c := range []struct {
		most uint64
		room bool
	}{{0, true}, {1 << 20, false}, {100 << 20, false}, {132<<20 - 1, false}, {132 << 20, true}, {1 << 40, true}} {
		s := &seller{manners: manners.NewWatcher(manners.Rules{Memory: c.most}, holding(100<<20))}
		err := s.hasRoom(t.Context())
		if c.room != (err == nil) || !c.room && !(errors.As(err, new(control.WrongInput)) && strings.Contains(err.Error(), "give it 132 MiB or more")) {
			t.Errorf("with %d bytes: %v", c.most, err)
		}
	}
}

// Part of the processors is what an answer gets, of whole ones and in time; all of
// them is no bound.
func TestPartOfTheProcessors(t *testing.T) {
	all := runtime.GOMAXPROCS(0)
	s, err := mannered(t, control.Manners{Processor: 100})
	if err != nil || s.throttle != nil || runtime.GOMAXPROCS(0) != all {
		t.Fatalf("%v, of %d processors %d", err, all, runtime.GOMAXPROCS(0))
	}
	s, err = mannered(t, control.Manners{Processor: 1})
	if err != nil || s.throttle == nil || runtime.GOMAXPROCS(0) != (runtime.NumCPU()+99)/100 {
		t.Fatalf("%v, of %d processors %d", err, all, runtime.GOMAXPROCS(0))
	}
	for _, percent := range []int{-1, 101} {
		if _, err := mannered(t, control.Manners{Processor: percent}); !errors.As(err, new(control.WrongInput)) {
			t.Errorf("%d percent: %v", percent, err)
		}
	}
	if _, err := mannered(t, control.Manners{Quiet: "late"}); !errors.As(err, new(control.WrongInput)) {
		t.Errorf("quiet hours: %v", err)
	}
}

// A machine that is to rest begins so, and says why.
func TestRestFromTheBeginning(t *testing.T) {
	now := time.Now()
	quiet := now.Add(-2*time.Hour).Format("15:04") + "-" + now.Add(2*time.Hour).Format("15:04")
	s, err := mannered(t, control.Manners{Quiet: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if why, err := s.manners.Look(t.Context()); err != nil || !strings.Contains(why, quiet) {
		t.Errorf("at first it rests because %q: %v", why, err)
	}
	if s.resting() != "" || !errors.Is(s.rest(t.Context(), true), errNothingSold) {
		t.Error("a home that sells nothing rests")
	}
}

// working is a machine on which other programs work all the time.
type working struct{}

func (working) Signs(_ context.Context, now time.Time) (manners.Signs, error) {
	return manners.Signs{Now: now, Busy: now}, nil
}

// What a server of models computes for this seller is not its owner's work.
func TestServersWorkIsNotTheOwners(t *testing.T) {
	server := upstreamtest.New(t, upstreamtest.Model{Name: "m"})
	s := looking(t)
	s.manners = manners.NewWatcher(manners.Rules{WhenIdle: time.Minute}, working{})
	var said []string
	s.say = func(step string) { said = append(said, step) }
	if err := s.openServers(t.Context(), control.ProvideOptions{Upstream: server.URL}); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(said, "; "); !strings.Contains(all, "keyboard and mouse alone") {
		t.Errorf("what is not seen is not said: %s", all)
	}
	if why, err := s.manners.Look(t.Context()); err != nil || !strings.Contains(why, "other programs") {
		t.Fatalf("before: %q, %v", why, err)
	}
	id := s.servers.models()[0].ID
	m, err := s.models().Model(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	r := receipt.Request{Version: canon.Version, Key: canon.PublicKey{1}, Model: id, Chat: `{"messages":[{"content":"hello","role":"user"}]}`,
		Params: receipt.Params{MaxTokens: 4, TopP: receipt.MaxTopP}}
	_, err = m.Generate(t.Context(), r, func(receipt.Token) error {
		why, err := s.manners.Look(t.Context())
		if why != "" {
			t.Errorf("while it answers the machine rests because %q", why)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
