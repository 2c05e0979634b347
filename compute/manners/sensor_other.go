//go:build !linux

package manners

import (
	"context"
	"errors"
	"time"
)

// Machine senses this machine, of which only Linux tells enough.
type Machine struct{}

// NewMachine says that the signs can't be read here.
func NewMachine() (*Machine, error) {
	return nil, errors.New("this system does not tell whether its owner is here, on battery or short of memory: only --quiet-hours and --max-cpu work")
}

// Signs implements Sensor.
func (*Machine) Signs(_ context.Context, now time.Time) (Signs, error) { return Signs{Now: now}, nil }
