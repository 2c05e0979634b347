package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	cpuinfo = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD Ryzen 7  5800X 8-Core Processor\n\nprocessor\t: 1\nmodel name\t: another\n"
	meminfo = "MemTotal:       16384000 kB\nMemFree:          400000 kB\nMemAvailable:    8192000 kB\nHugePages_Total:       7\n"
)

// files makes a tree of a machine with processor and memory, and what is given.
func files(more map[string]string) fstest.MapFS {
	tree := fstest.MapFS{}
	all := map[string]string{"proc/cpuinfo": cpuinfo, "proc/meminfo": meminfo}
	maps.Copy(all, more)
	for name, text := range all {
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			tree[name] = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink}
			continue
		}
		tree[name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return tree
}

// prints answers as a program of that name would.
func prints(program, out string, err error) func(context.Context, string, ...string) ([]byte, error) {
	return func(_ context.Context, name string, _ ...string) ([]byte, error) {
		if name != program {
			return nil, fs.ErrNotExist
		}
		return []byte(out), err
	}
}

func TestGPUs(t *testing.T) {
	nvidiaFiles := map[string]string{
		"proc/driver/nvidia/version":                       "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024",
		"proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce RTX 3060\nIRQ:   \t\t 66\nBus Location: \t 0000:01:00.0",
		"sys/class/drm/card0/device/vendor":                "0x10de",
		"sys/class/drm/card0/device/device":                "0x2504",
	}
	fromProc := GPU{Vendor: "NVIDIA", Name: "NVIDIA GeForce RTX 3060", Bus: "0000:01:00.0", Driver: "535.183.01"}
	for name, c := range map[string]struct {
		files   map[string]string
		run     func(context.Context, string, ...string) ([]byte, error)
		want    []GPU
		unknown string
	}{
		"none": {nil, prints("", "", nil), nil, ""},
		"two by nvidia-smi": {nvidiaFiles, prints("nvidia-smi", "NVIDIA GeForce RTX 3060, 00000000:01:00.0, 535.183.01, 12288, 11980\nTesla \"K80\", 00000000:02:00.0, [N/A], [N/A], [N/A]\n", nil),
			[]GPU{{"NVIDIA", "NVIDIA GeForce RTX 3060", "00000000:01:00.0", "535.183.01", 12288 << 20, 11980 << 20}, {Vendor: "NVIDIA", Name: "Tesla \"K80\"", Bus: "00000000:02:00.0"}},
			"memory of Tesla"},
		"nvidia by its driver": {nvidiaFiles, prints("", "", nil), []GPU{fromProc}, "memory of NVIDIA GeForce RTX 3060 is not stated"},
		"nvidia-smi fails":     {nvidiaFiles, prints("nvidia-smi", "", errors.New("exit status 9")), []GPU{fromProc}, "nvidia-smi fails: exit status 9"},
		"nvidia-smi babbles":   {nil, prints("nvidia-smi", "No devices were found\n", nil), nil, "nvidia-smi fails: its output is not what was asked for"},
		"nvidia without its driver": {map[string]string{"sys/class/drm/card0/device/vendor": "0x10de", "sys/class/drm/card0/device/device": "0x2504",
			"sys/class/drm/card0/device/driver": "-> ../../../../bus/pci/drivers/nouveau"},
			prints("", "", nil), []GPU{{Vendor: "NVIDIA", Name: "NVIDIA GPU 2504", Driver: "nouveau"}}, "not stated"},
		"amd beside intel": {map[string]string{
			"sys/class/drm/version":                          "drm 1.1.0",
			"sys/class/drm/card1-HDMI-A-1/device/vendor":     "0x1002",
			"sys/class/drm/card1/device/vendor":              "0x1002",
			"sys/class/drm/card1/device/device":              "0x73bf",
			"sys/class/drm/card1/device/driver":              "-> ../../../../bus/pci/drivers/amdgpu",
			"sys/class/drm/card1/device/uevent":              "DRIVER=other\nPCI_SLOT_NAME=0000:03:00.0",
			"sys/class/drm/card1/device/product_name":        "Radeon RX 6800 XT",
			"sys/class/drm/card1/device/mem_info_vram_total": "17163091968",
			"sys/class/drm/card1/device/mem_info_vram_used":  "163091968",
			"sys/class/drm/card0/device/vendor":              "0x8086",
			"sys/class/drm/card0/device/device":              "0x4680",
			"sys/class/drm/card0/device/uevent":              "DRIVER=i915\nPCI_SLOT_NAME=0000:00:02.0",
			"sys/class/drm/card2/device/vendor":              "0x1af4", // a virtual screen
			"sys/class/drm/renderD128/device/vendor":         "0x1002",
		}, prints("", "", nil), []GPU{{Vendor: "Intel", Name: "Intel GPU 4680", Bus: "0000:00:02.0", Driver: "i915"},
			{"AMD", "Radeon RX 6800 XT", "0000:03:00.0", "amdgpu", 17163091968, 17000000000}}, "memory of Intel GPU 4680"},
		"amd that uses more than it has": {map[string]string{"sys/class/drm/card0/device/vendor": "0x1002", "sys/class/drm/card0/device/device": "0x1",
			"sys/class/drm/card0/device/mem_info_vram_total": "5", "sys/class/drm/card0/device/mem_info_vram_used": "6"},
			prints("", "", nil), []GPU{{Vendor: "AMD", Name: "AMD GPU 1", MemoryTotal: 5}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := Source{OS: "linux", Root: files(c.files), Run: c.run}.Read(t.Context())
			if !slices.Equal(f.GPUs, c.want) {
				t.Errorf("found %+v\nwant %+v", f.GPUs, c.want)
			}
			if said := strings.Join(f.Unknown, "; "); !strings.Contains(said, c.unknown) || c.unknown == "" && said != "" {
				t.Errorf("says %q, want %q", said, c.unknown)
			}
		})
	}
}

func TestManyGPUsAreCutOff(t *testing.T) {
	cards := strings.Repeat("A, b, c, 1, 1\n", maxGPUs+1)
	f := Source{OS: "linux", Root: files(nil), Run: prints("nvidia-smi", cards, nil)}.Read(t.Context())
	if len(f.GPUs) != maxGPUs {
		t.Errorf("%d cards", len(f.GPUs))
	}
}

func TestSystem(t *testing.T) {
	none := prints("", "", nil)
	for name, c := range map[string]struct {
		s    Source
		want Facts
		line string
	}{
		"linux": {Source{OS: "linux", Arch: "amd64", Cores: 16, Features: []string{"AVX2", "FMA"}, Root: files(nil), Run: none},
			Facts{CPU: "AMD Ryzen 7 5800X 8-Core Processor", MemoryTotal: 16384000 << 10, MemoryFree: 8192000 << 10},
			"AMD Ryzen 7 5800X 8-Core Processor, 16 cores with AVX2 FMA; 7.8 GiB of 15.6 GiB memory free; no GPU found"},
		"container": {Source{OS: "linux", Cores: 1, Root: files(map[string]string{"sys/fs/cgroup/memory.max": "1073741824", "sys/fs/cgroup/memory.current": "1073741000"}), Run: none},
			Facts{CPU: "AMD Ryzen 7 5800X 8-Core Processor", MemoryTotal: 1 << 30, MemoryFree: 824},
			"AMD Ryzen 7 5800X 8-Core Processor, 1 core; 0 MiB of 1.0 GiB memory free; no GPU found"},
		"no bound": {Source{OS: "linux", Cores: 1, Root: files(map[string]string{"sys/fs/cgroup/memory.max": "max"}), Run: none},
			Facts{CPU: "AMD Ryzen 7 5800X 8-Core Processor", MemoryTotal: 16384000 << 10, MemoryFree: 8192000 << 10}, ""},
		"arm board": {Source{OS: "linux", Cores: 4, Root: files(map[string]string{"proc/cpuinfo": "processor : 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"}), Run: none},
			Facts{CPU: "arm implementer 0x41 part 0xd0b", MemoryTotal: 16384000 << 10, MemoryFree: 8192000 << 10}, ""},
		"empty": {Source{OS: "linux", Cores: 2, Root: fstest.MapFS{}, Run: none},
			Facts{Unknown: []string{"/proc/cpuinfo does not name the processor's model", "/proc/meminfo does not say how much memory there is"}},
			"processor of unknown model, 2 cores; memory not known; no GPU found"},
		"absurd": {Source{OS: "linux", Cores: 2, Root: files(map[string]string{"proc/meminfo": "MemTotal: 99999999999999999999 kB\nMemAvailable: -1 kB\n"}), Run: none},
			Facts{CPU: "AMD Ryzen 7 5800X 8-Core Processor", Unknown: []string{"/proc/meminfo does not say how much memory there is"}}, ""},
		"darwin": {Source{OS: "darwin", Cores: 8, Root: fstest.MapFS{}, Run: func(_ context.Context, name string, args ...string) ([]byte, error) {
			switch strings.Join(append([]string{name}, args...), " ") {
			case "sysctl -n machdep.cpu.brand_string":
				return []byte("Apple M2\n"), nil
			case "sysctl -n hw.memsize":
				return []byte("17179869184\n"), nil
			}
			return nil, fs.ErrNotExist
		}}, Facts{CPU: "Apple M2", MemoryTotal: 16 << 30, Unknown: []string{"how much of the memory is free is not asked on darwin",
			"on darwin this program finds the GPUs of NVIDIA alone"}}, ""},
		"windows": {Source{OS: "windows", Cores: 8, Root: fstest.MapFS{}, Run: none},
			Facts{Unknown: []string{"this program does not ask windows for its processor's model or its memory", "on windows this program finds the GPUs of NVIDIA alone"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.s.Read(t.Context())
			c.want.OS, c.want.Arch, c.want.Cores, c.want.Features = c.s.OS, c.s.Arch, c.s.Cores, c.s.Features
			if !reflect.DeepEqual(f, c.want) {
				t.Errorf("read %+v\nwant %+v", f, c.want)
			}
			if c.line != "" && f.String() != c.line {
				t.Errorf("says %s", f)
			}
		})
	}
}

func TestLineNamesTheCards(t *testing.T) {
	f := Facts{CPU: "x", Cores: 1, GPUs: []GPU{{Name: "Radeon", MemoryTotal: 16 << 30}, {Name: "Arc"}}}
	if got := f.String(); got != "x, 1 core; memory not known; Radeon with 16.0 GiB; Arc" {
		t.Error(got)
	}
}

// TestThisMachine: whatever it is, it has cores and, as the tests run on Linux or
// say why not, memory.
func TestThisMachine(t *testing.T) {
	f := This().Read(t.Context())
	if f.Cores < 1 || f.OS == "linux" && (f.MemoryTotal == 0 || f.MemoryFree > f.MemoryTotal) || f.String() == "" {
		t.Errorf("%+v", f)
	}
}

func TestMeter(t *testing.T) {
	zone := func(more map[string]string) fs.FS {
		all := map[string]string{
			"sys/class/powercap/intel-rapl/name":                  "package-9",
			"sys/class/powercap/intel-rapl:0:0/name":              "core",
			"sys/class/powercap/intel-rapl:0:0/energy_uj":         "77",
			"sys/class/powercap/intel-rapl:2/name":                "psys",
			"sys/class/powercap/intel-rapl:0/name":                "package-0",
			"sys/class/powercap/intel-rapl:0/energy_uj":           "1000",
			"sys/class/powercap/intel-rapl:0/max_energy_range_uj": "9999",
			"sys/class/powercap/intel-rapl:1/name":                "package-1",
			"sys/class/powercap/intel-rapl:1/energy_uj":           "9990",
			"sys/class/powercap/intel-rapl:1/max_energy_range_uj": "9999",
		}
		maps.Copy(all, more)
		return files(all)
	}
	before, err := Source{Root: zone(nil)}.Meter()
	if err != nil {
		t.Fatal(err)
	}
	// The first package used 500 µJ, the second went over its end: 9 to the last
	// number, one to 0, 20 from there.
	after, err := Source{Root: zone(map[string]string{"sys/class/powercap/intel-rapl:0/energy_uj": "1500", "sys/class/powercap/intel-rapl:1/energy_uj": "20"})}.Meter()
	if err != nil {
		t.Fatal(err)
	}
	if used, err := before.Until(after); used != 530 || err != nil {
		t.Errorf("used %d µJ, %v", used, err)
	}
	delete(after, "sys/class/powercap/intel-rapl:1")
	if _, err := before.Until(after); !errors.Is(err, ErrNoMeter) {
		t.Errorf("a counter that is gone: %v", err)
	}
	for name, root := range map[string]fs.FS{
		"none":      files(nil),
		"forbidden": zone(map[string]string{"sys/class/powercap/intel-rapl:1/energy_uj": ""}),
		"absurd":    zone(map[string]string{"sys/class/powercap/intel-rapl:1/energy_uj": "10000"}),
	} {
		if _, err := (Source{Root: root}).Meter(); !errors.Is(err, ErrNoMeter) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestProgramsAreBounded: this test's own binary plays a program that writes
// too much.
func TestProgramsAreBounded(t *testing.T) {
	if os.Getenv("MACHINE_TEST_BABBLES") != "" {
		for range 3 {
			fmt.Print(strings.Repeat("y\n", most/2))
		}
		os.Exit(0)
	}
	t.Setenv("MACHINE_TEST_BABBLES", "1")
	out, err := run(t.Context(), os.Args[0], "-test.run=^TestProgramsAreBounded$")
	if err == nil || len(out) > 0 {
		t.Errorf("took %d bytes: %v", len(out), err)
	}
	if _, err := run(t.Context(), "no-such-program-anywhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(cpuinfo, meminfo, "NVIDIA GeForce RTX 3060, 00000000:01:00.0, 535.183.01, 12288, 11980\n")
	f.Add("CPU implementer: 0x41\nCPU part: 1", "MemTotal: 1 kB", "\"")
	f.Fuzz(func(t *testing.T, cpu, mem, smi string) {
		if strings.Contains(cpuModel(cpu), "\n") {
			t.Error("a model of two lines")
		}
		if total, free := memory(mem); free > total || total%1024 != 0 {
			t.Errorf("%d of %d bytes free", free, total)
		}
		cards, err := parseSMI(smi)
		if err != nil && cards != nil {
			t.Error("cards beside an error")
		}
		for _, c := range cards {
			if c.Name == "" || c.Vendor != nvidia {
				t.Errorf("card %+v", c)
			}
		}
	})
}
