package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"daulat/ui/control"
)

// manners are the flags that say what others may have of the machine.
type manners struct {
	control.Manners
	memory string
}

func (m *manners) flags(f *pflag.FlagSet) {
	f.DurationVar(&m.WhenIdle, "when-idle", 0, "work only when you left the machine alone for so long, such as 5m")
	f.StringVar(&m.Quiet, "quiet-hours", "", "rest in these hours of each day, such as 22:00-07:00")
	f.BoolVar(&m.OnBattery, "on-battery", false, "work on battery too")
	f.IntVar(&m.Processor, "max-cpu", 100, "percent of all processors to use, on average over seconds")
	f.StringVar(&m.memory, "max-memory", "", "memory to use, such as 4GiB: no larger model; it rests above")
}

// given are the manners, if they make sense.
func (m *manners) given() (control.Manners, error) {
	if m.WhenIdle < 0 {
		return m.Manners, usage("--when-idle can't be negative")
	}
	if m.Processor < 1 || m.Processor > 100 {
		return m.Manners, usage("--max-cpu must be 1 to 100 percent")
	}
	var err error
	if m.Memory, err = parseSize(m.memory); err != nil {
		return m.Manners, usage("--max-memory: %w", err)
	}
	return m.Manners, nil
}

// parseSize reads a number of bytes, MiB or GiB; an empty text is 0.
func parseSize(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	number, shift := text, 0
	for unit, bits := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			number, shift = n, bits
		}
	}
	n, err := strconv.ParseUint(number, 10, 64-shift)
	if err != nil || n == 0 || shift == 0 {
		return 0, fmt.Errorf("%q is no size such as 512MiB or 4GiB", text)
	}
	return n << shift, nil
}
