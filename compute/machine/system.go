package machine

import (
	"context"
	"strconv"
	"strings"
)

func (s Source) linux(f *Facts) {
	if f.CPU = cpuModel(s.text("proc/cpuinfo")); f.CPU == "" {
		f.unknown("/proc/cpuinfo does not name the processor's model")
	}
	f.MemoryTotal, f.MemoryFree = memory(s.text("proc/meminfo"))
	if f.MemoryTotal == 0 {
		f.unknown("/proc/meminfo does not say how much memory there is")
	}
	s.confine(f)
}

// confine lowers memory to what the process's container leaves it, where a
// container's own files lie at the root of its control group.
func (s Source) confine(f *Facts) {
	limit, err := strconv.ParseUint(s.text("sys/fs/cgroup/memory.max"), 10, 64)
	if err != nil || limit >= f.MemoryTotal {
		return
	}
	used, err := strconv.ParseUint(s.text("sys/fs/cgroup/memory.current"), 10, 64)
	if err != nil {
		used = 0
	}
	f.MemoryTotal, f.MemoryFree = limit, min(f.MemoryFree, limit-min(limit, used))
}

// cpuModel is what /proc/cpuinfo calls the first processor. On arm64 it has no
// name there, only the numbers of who made it and what.
func cpuModel(text string) string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		key = strings.TrimSpace(key)
		if _, seen := fields[key]; ok && !seen {
			fields[key] = strings.Join(strings.Fields(value), " ")
		}
	}
	for _, key := range []string{"model name", "Model", "Hardware"} {
		if fields[key] != "" {
			return fields[key]
		}
	}
	if fields["CPU implementer"] != "" && fields["CPU part"] != "" {
		return "arm implementer " + fields["CPU implementer"] + " part " + fields["CPU part"]
	}
	return ""
}

// memory is what /proc/meminfo says, in bytes.
func memory(text string) (total, free uint64) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		value, kib := strings.CutSuffix(strings.TrimSpace(value), " kB")
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 54) // times 1024 fits
		if !kib || err != nil {
			continue
		}
		switch key {
		case "MemTotal":
			total = n << 10
		case "MemAvailable":
			free = n << 10
		}
	}
	return total, min(total, free)
}

func (s Source) darwin(ctx context.Context, f *Facts) {
	out, err := s.Run(ctx, "sysctl", "-n", "machdep.cpu.brand_string")
	if err != nil {
		f.unknown("sysctl does not name the processor's model")
	}
	f.CPU = strings.TrimSpace(string(out))
	out, err = s.Run(ctx, "sysctl", "-n", "hw.memsize")
	if err == nil {
		f.MemoryTotal, err = strconv.ParseUint(strings.TrimSpace(string(out)), 10, 64)
	}
	if err != nil {
		f.unknown("sysctl does not say how much memory there is")
		return
	}
	f.unknown("how much of the memory is free is not asked on darwin")
}
