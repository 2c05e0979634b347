package machine

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxGPUs bounds how many cards are listed.
const maxGPUs = 64

// vendors of cards by PCI number. Cards of others only draw a screen.
var vendors = map[string]string{"0x10de": nvidia, "0x1002": "AMD", "0x8086": "Intel"}

const nvidia = "NVIDIA"

// gpus lists the cards: NVIDIA's as its driver tells, the others from sysfs.
func (s Source) gpus(ctx context.Context, f *Facts) {
	cards, err := s.nvidiaSMI(ctx)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.unknown("nvidia-smi fails: %v", err)
		}
		cards = s.nvidiaProc()
	}
	if s.OS == "linux" {
		cards = append(cards, s.drm(len(cards) > 0)...)
	} else {
		f.unknown("on %s this program finds the GPUs of NVIDIA alone", s.OS)
	}
	f.GPUs = cards[:min(len(cards), maxGPUs)]
	for _, g := range f.GPUs {
		if g.MemoryTotal == 0 {
			f.unknown("the memory of %s is not stated by its driver", g.Name)
		}
	}
}

func (s Source) nvidiaSMI(ctx context.Context) ([]GPU, error) {
	out, err := s.Run(ctx, "nvidia-smi", "--query-gpu=name,pci.bus_id,driver_version,memory.total,memory.free", "--format=csv,noheader,nounits")
	if err != nil {
		return nil, err
	}
	return parseSMI(string(out))
}

// parseSMI reads lines such as "NVIDIA GeForce RTX 3060, 00000000:01:00.0,
// 535.183.01, 12288, 11980". A field that a card lacks reads [N/A].
func parseSMI(text string) (cards []GPU, err error) {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.TrimLeadingSpace, r.LazyQuotes = 5, true, true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("its output is not what was asked for: %w", err)
	}
	for _, row := range rows {
		cards = append(cards, GPU{Vendor: nvidia, Name: known(stated(row[0]), nvidia+" GPU"), Bus: strings.ToLower(stated(row[1])), Driver: stated(row[2]),
			MemoryTotal: mebibytes(row[3]), MemoryFree: mebibytes(row[4])})
	}
	return cards, nil
}

func stated(field string) string {
	field = strings.TrimSpace(field)
	if strings.HasPrefix(field, "[") {
		return ""
	}
	return field
}

func mebibytes(field string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(field), 10, 44) // times 2^20 fits
	if err != nil {
		return 0
	}
	return n << 20
}

// nvidiaProc reads what the kernel's driver says where nvidia-smi is missing.
func (s Source) nvidiaProc() (cards []GPU) {
	files, _ := fs.Glob(s.Root, "proc/driver/nvidia/gpus/*/information") // the pattern is sound
	_, version, _ := strings.Cut(s.text("proc/driver/nvidia/version"), "Kernel Module")
	version = driverVersion.FindString(version)
	for _, name := range files {
		card := GPU{Vendor: nvidia, Name: nvidia + " GPU", Bus: path.Base(path.Dir(name)), Driver: version}
		for line := range strings.Lines(s.text(name)) {
			if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "Model" && strings.TrimSpace(value) != "" {
				card.Name = strings.TrimSpace(value)
			}
		}
		cards = append(cards, card)
	}
	return cards
}

var (
	driverVersion = regexp.MustCompile(`\d+(\.\d+)+`)
	cardFolder    = regexp.MustCompile(`^card\d+$`)
)

// drm lists the cards of sysfs, without NVIDIA's if those are known already.
func (s Source) drm(nvidiaKnown bool) (cards []GPU) {
	entries, _ := fs.ReadDir(s.Root, "sys/class/drm") // none without the folder
	for _, e := range entries {
		dir := "sys/class/drm/" + e.Name() + "/device"
		vendor := vendors[s.text(dir+"/vendor")]
		if !cardFolder.MatchString(e.Name()) || vendor == "" || vendor == nvidia && nvidiaKnown {
			continue
		}
		cards = append(cards, s.card(dir, vendor))
	}
	slices.SortFunc(cards, func(a, b GPU) int { return strings.Compare(a.Bus, b.Bus) })
	return cards
}

// card is one card of sysfs. Only AMD's driver states memory there; an integrated
// one's is part of the machine's.
func (s Source) card(dir, vendor string) GPU {
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(s.text(dir+"/"+name), 10, 64) // 0 is not known
		return n
	}
	total := number("mem_info_vram_total")
	g := GPU{Vendor: vendor, Name: s.text(dir + "/product_name"), MemoryTotal: total}
	if total > 0 {
		g.MemoryFree = total - min(total, number("mem_info_vram_used"))
	}
	if g.Name == "" {
		g.Name = fmt.Sprintf("%s GPU %s", vendor, strings.TrimPrefix(s.text(dir+"/device"), "0x"))
	}
	for line := range strings.Lines(s.text(dir + "/uevent")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "DRIVER":
			g.Driver = value
		case "PCI_SLOT_NAME":
			g.Bus = value
		}
	}
	if link, err := fs.ReadLink(s.Root, dir+"/driver"); err == nil {
		g.Driver = path.Base(link)
	}
	return g
}
