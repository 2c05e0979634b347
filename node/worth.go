package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"

	"daulat/compute/machine"
	"daulat/compute/worth"
	"daulat/ui/control"
)

// How long the measurement at a provider's start should take, and may.
const (
	measureBudget = 3 * time.Second
	measureLimit  = time.Minute
)

// speedFile keeps the last measurement.
const speedFile = "speed.json"

// measurement is a speed and what it was measured on. It is this machine's own
// word: nothing on the ledger trusts it.
type measurement struct {
	basis
	Speed    worth.Speed `json:"speed"`
	Measured time.Time   `json:"measured"`
}

// basis is what a speed hangs on; another one wants another measurement.
type basis struct {
	Model   string `json:"model"`
	Program string `json:"program"` // hash of the executable, which is its version
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Share   uint64 `json:"share_ppm,omitempty"` // of one processor, if not all are given
	Server  string `json:"server,omitempty"`    // that runs the model
}

// Hardware says what this machine is, and starts nothing.
func (Runtime) Hardware(ctx context.Context) control.Hardware {
	return showHardware(machine.This().Read(ctx))
}

// introduce says what the machine is and how fast it runs the model. A speed that
// can't be had keeps nobody from serving.
func (s *seller) introduce(ctx context.Context) {
	facts := machine.This().Read(ctx)
	s.say("this machine: " + facts.String())
	m, err := s.speed(ctx, facts, false)
	if err != nil {
		if ctx.Err() == nil {
			s.say(err.Error())
		}
		return
	}
	who := cmp.Or(m.Server, "it")
	s.say(fmt.Sprintf("%s runs %s at %s prompt and %s answer tokens per second, by this machine's own measure", who, s.served.Name, control.Thousandths(m.Speed.Prefill), control.Thousandths(m.Speed.Decode)))
}

// speed is the kept measurement of the model on this machine, or a new one.
func (s *seller) speed(ctx context.Context, facts machine.Facts, fresh bool) (measurement, error) {
	program, err := programHash()
	if err != nil {
		return measurement{}, err
	}
	on := basis{Model: s.served.ID.String(), Program: program, CPU: facts.CPU, Cores: facts.Cores, Server: s.servers.of(s.served.ID)}
	if s.throttle != nil {
		on.Share = s.throttle.Share()
	}
	file := s.home.path(speedFile)
	var kept measurement
	if err := loadJSON(file, &kept); err != nil {
		s.log.Warn("the last measurement cannot be read and is made again", "error", err)
	} else if kept.basis == on && kept.Speed.Prefill > 0 && kept.Speed.Decode > 0 && !fresh {
		return kept, nil
	}
	model, err := s.models().Model(ctx, s.served.ID)
	if err != nil {
		return measurement{}, err
	}
	speed, err := s.measure(ctx, model, on.Server)
	if err != nil {
		return measurement{}, fmt.Errorf("measure %s: %w", s.served.Name, err)
	}
	m := measurement{on, speed, time.Now().UTC().Truncate(time.Second)}
	return m, saveJSON(file, m)
}

// measure times the model in this process, or at its server.
func (s *seller) measure(ctx context.Context, model worth.Model, server string) (worth.Speed, error) {
	b := worth.NewBench(measureBudget, measureLimit)
	if server == "" {
		s.say("measuring how fast this machine runs " + s.served.Name)
		return b.Measure(ctx, model, s.served.ID)
	}
	s.say(fmt.Sprintf("measuring how fast %s answers as %s: one short answer, for %s at most", server, s.served.Name, measureLimit))
	return b.MeasureServed(ctx, model, s.served.ID, uint64(time.Now().UnixNano()))
}

// programHash names this program by its bytes: builds that differ may differ in
// speed.
func programHash() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func showHardware(f machine.Facts) control.Hardware {
	h := control.Hardware{Line: f.String(), OS: f.OS, Arch: f.Arch, CPU: f.CPU, Cores: f.Cores, Features: append([]string{}, f.Features...),
		MemoryTotal: f.MemoryTotal, MemoryFree: f.MemoryFree, GPUs: []control.GPU{}, Unknown: f.Unknown}
	for _, g := range f.GPUs {
		h.GPUs = append(h.GPUs, control.GPU(g))
	}
	return h
}
