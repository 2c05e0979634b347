package node

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"daulat/compute/executor/inference"
	"daulat/compute/manners"
	"daulat/compute/provider"
	"daulat/ui/control"
)

// setManners holds the seller to what its owner lets others have of the machine.
// It comes before the model is loaded.
func (s *seller) setManners(m control.Manners) (err error) {
	if s.manners, err = watcherOf(m); err != nil {
		return err
	}
	if m.Memory > 0 {
		debug.SetMemoryLimit(int64(min(m.Memory, 1<<62)))
	}
	if m.Processor > 0 && m.Processor < 100 {
		share := uint64(m.Processor) * uint64(runtime.NumCPU()) * (manners.Million / 100)
		runtime.GOMAXPROCS(int((share + manners.Million - 1) / manners.Million))
		s.throttle = manners.NewThrottle(share, manners.ProcessTime)
	}
	return nil
}

// watcherOf watches the machine for what its owner wishes, if that can be had. It
// holds nobody to it yet.
func watcherOf(m control.Manners) (*manners.Watcher, error) {
	quiet, err := manners.ParseHours(m.Quiet)
	if err != nil {
		return nil, control.WrongInput{Err: err}
	}
	if m.Processor < 0 || m.Processor > 100 {
		return nil, control.WrongInput{Err: fmt.Errorf("a machine gives 1 to 100 percent of its processors, not %d", m.Processor)}
	}
	rules := manners.Rules{WhenIdle: m.WhenIdle, Quiet: quiet, Mains: !m.OnBattery, Memory: m.Memory}
	machine, err := manners.NewMachine()
	switch {
	case err == nil:
		return manners.NewWatcher(rules, machine), nil
	case rules.WhenIdle > 0 || rules.Memory > 0:
		return nil, control.WrongInput{Err: err}
	}
	return manners.NewWatcher(manners.Rules{Quiet: quiet}, nil), nil // nobody asked for more than can be had
}

// models are those that the seller serves, as fast as its owner allows.
func (s *seller) models() provider.Models {
	var all manners.Source = inference.Sources{Library: s.library, Upstreams: s.servers.upstreams()}
	if s.manners != nil {
		all = manners.Noted{Source: all, Beside: &s.manners.Beside}
	}
	if s.throttle == nil {
		return all
	}
	return manners.Throttled{Source: all, Throttle: s.throttle}
}

// fits refuses a model whose weights alone take more memory than the owner gives.
func (s *seller) fits(ctx context.Context) error {
	if s.manners == nil || s.manners.Rules.Memory == 0 {
		return nil
	}
	m, err := s.shelf.Manifest(ctx, s.served.ID)
	if err != nil {
		return err
	}
	var size uint64
	for _, part := range m.Parts {
		size += part.Size
	}
	if size > s.manners.Rules.Memory {
		return control.WrongInput{Err: fmt.Errorf("%s takes more than %d MiB, and --max-memory is %d MiB", m.Name, size>>20, s.manners.Rules.Memory>>20)}
	}
	return nil
}

// memoryForAnswers is what the process needs besides what it holds before its first
// answer, at the least, in bytes.
const memoryForAnswers = 32 << 20

// hasRoom refuses a bound on memory above which the process is before its first
// answer: it would rest for ever. It comes before anything is joined.
func (s *seller) hasRoom(ctx context.Context) error {
	if s.manners == nil || s.manners.Rules.Memory == 0 {
		return nil
	}
	now, err := s.manners.Sensor.Signs(ctx, time.Now())
	if err != nil {
		return err
	}
	most, least := s.manners.Rules.Memory, now.Memory+memoryForAnswers
	if most < least {
		return control.WrongInput{Err: fmt.Errorf("--max-memory is %d MiB, and this program with its model holds %d MiB before its first answer, so it would only rest: give it %d MiB or more",
			most>>20, now.Memory>>20, (least+1<<20-1)>>20)}
	}
	return nil
}

// rest has the machine rest, or work again, by its owner's word.
func (s *seller) rest(ctx context.Context, rest bool) error {
	if s.provider == nil {
		return control.WrongInput{Err: errNothingSold}
	}
	return s.manners.Tell(ctx, rest)
}

// resting says why the provider takes no work now; empty while it does.
func (s *seller) resting() string {
	if s.manners == nil {
		return ""
	}
	if why := s.manners.Why(); why != "" || s.provider == nil || s.provider.Reached() {
		return why
	}
	return unreached
}

// sayUnbound says once which of the owner's bounds do not hold a server of models
// beside this program, and what its work hides.
func (s *seller) sayUnbound() {
	if s.unbound {
		return
	}
	s.unbound = true
	var flags []string
	if s.throttle != nil {
		flags = append(flags, "--max-cpu")
	}
	if s.manners != nil && s.manners.Rules.Memory > 0 {
		flags = append(flags, "--max-memory")
	}
	if len(flags) > 0 {
		s.say(strings.Join(flags, " and ") + " can't hold the server of models, which is a program of its own: bound it by its own settings")
	}
	if s.manners != nil && s.manners.Rules.WhenIdle > 0 {
		s.say("while the server of models answers, and a moment longer, other programs' work can't be told from its own: --when-idle then sees your keyboard and mouse alone")
	}
}

// keepManners has the provider rest and work as its owner wishes, until ctx ends.
func (s *seller) keepManners(ctx context.Context) error {
	return s.manners.Watch(ctx, func(why string) {
		if why == "" {
			s.provider.Work()
			return
		}
		s.say("resting: " + why)
		s.provider.Rest()
	})
}
