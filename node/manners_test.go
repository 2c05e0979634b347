package node

import (
	"errors"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

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
