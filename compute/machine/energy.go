package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// A Meter holds what the processors' energy counters (RAPL) show, in microjoules.
// They count processor packages: no graphics card, disk, screen or power supply.
type Meter map[string]counter

type counter struct{ at, most uint64 }

// ErrNoMeter says that the machine has no counters that this user may read.
var ErrNoMeter = errors.New("this machine has no energy counter that this user may read")

// Meter reads the counters of all processor packages.
func (s Source) Meter() (Meter, error) {
	zones, _ := fs.Glob(s.Root, "sys/class/powercap/intel-rapl:*") // the pattern is sound; AMD's are called so too
	m := Meter{}
	for _, zone := range zones {
		if strings.Count(path.Base(zone), ":") != 1 || !strings.HasPrefix(s.text(zone+"/name"), "package-") {
			continue // a part of a package, or what holds packages
		}
		at, err := strconv.ParseUint(s.text(zone+"/energy_uj"), 10, 64)
		most, err2 := strconv.ParseUint(s.text(zone+"/max_energy_range_uj"), 10, 64)
		if err != nil || err2 != nil || at > most {
			return nil, fmt.Errorf("%w (%s)", ErrNoMeter, path.Base(zone))
		}
		m[zone] = counter{at, most}
	}
	if len(m) == 0 {
		return nil, ErrNoMeter
	}
	return m, nil
}

// Until is the energy used from m to later, in microjoules. A counter that went
// over its end once is reckoned with; twice takes many minutes.
func (m Meter) Until(later Meter) (microjoules uint64, err error) {
	for zone, from := range m {
		to, ok := later[zone]
		if !ok || to.most != from.most {
			return 0, ErrNoMeter
		}
		if to.at >= from.at {
			microjoules += to.at - from.at
		} else {
			microjoules += to.at + (from.most - from.at) + 1
		}
	}
	return microjoules, nil
}
