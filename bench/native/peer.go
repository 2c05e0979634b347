package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"daulat/test/child"
)

// script runs llama.cpp; the program is started in the repository's root.
const script = "test/peers/llama.py"

// patience bounds its start, in which it reads the model.
const patience = 10 * time.Minute

// peer is llama.cpp with the task's file and threads. A nil peer is left out.
type peer struct {
	Version, System, Settings string

	process *child.Process
}

// libraries is where `make peers` leaves llama.cpp's.
func libraries() (string, error) {
	cache := os.Getenv("DAULAT_PEERS_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(user, "daulat", "peers")
	}
	dir := filepath.Join(cache, "llama.cpp")
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("llama.cpp is not there: run `make peers` once, which installs it, or say -peer=false: %w", err)
	}
	return dir, nil
}

// startPeer starts it where the task wants it, and has it read all weights once.
func (t task) startPeer(ctx context.Context) (*peer, error) {
	if !t.Peer {
		return nil, nil
	}
	dir, err := libraries()
	if err != nil {
		return nil, err
	}
	p := &peer{}
	if p.process, err = child.Lead(exec.CommandContext(ctx, "python3", script, dir, t.Path, strconv.Itoa(t.Threads), "fast")); err != nil {
		return nil, err
	}
	if err := p.process.Ready(patience, p); err != nil {
		return nil, err
	}
	if err := p.answer([]uint32{1, 2, 3}, 2, &speed{}); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// answer has it pick n tokens as we do, and adds its speed to s, which has ours.
func (p *peer) answer(tokens []uint32, n int, s *speed) error {
	if p == nil {
		return nil
	}
	var seed [4]byte
	rand.Read(seed[:])
	request := map[string]any{"tokens": tokens, "more": n, "temperature": 1.0, "top_p": 0.95, "seed": binary.LittleEndian.Uint32(seed[:])}
	var got struct {
		Tokens      []uint32
		First, Rest float64 // seconds
	}
	if err := p.process.Ask(request, &got); err != nil {
		return err
	}
	if len(got.Tokens) != n || got.First <= 0 || got.Rest <= 0 {
		return fmt.Errorf("llama.cpp gave %d tokens instead of %d, in %g and %g s", len(got.Tokens), n, got.First, got.Rest)
	}
	s.PeerPrefill, s.PeerDecode = float64(len(tokens))/got.First, float64(n-1)/got.Rest
	s.PrefillRatio, s.DecodeRatio = s.Prefill/s.PeerPrefill, s.Decode/s.PeerDecode
	return nil
}

// stop ends it and says what it said if it ended badly.
func (p *peer) stop() error {
	if p == nil {
		return nil
	}
	return p.process.Stop()
}

// features are the processor's SIMD features, by their names in /proc/cpuinfo
// and in llama.cpp's system information.
var features = map[string]string{
	"pni": "SSE3", "ssse3": "SSSE3", "avx": "AVX", "avx_vnni": "AVX_VNNI", "avx2": "AVX2", "f16c": "F16C", "fma": "FMA",
	"bmi2": "BMI2", "avx512f": "AVX512", "avx512vbmi": "AVX512_VBMI", "avx512_vnni": "AVX512_VNNI", "avx512_bf16": "AVX512_BF16",
	"amx_int8": "AMX_INT8",
	"asimd":    "NEON", "asimddp": "DOTPROD", "i8mm": "MATMUL_INT8", "sve": "SVE", "sme": "SME",
}

// unused lists the features in cpuinfo that system does not name.
func unused(cpuinfo, system string) (names []string) {
	for line := range strings.Lines(cpuinfo) {
		key, flags, _ := strings.Cut(line, ":")
		if key = strings.TrimSpace(key); key != "flags" && key != "Features" { // amd64, arm64
			continue
		}
		for _, flag := range strings.Fields(flags) {
			if name, ok := features[flag]; ok && !strings.Contains(" "+system, " "+name+" = 1 ") && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// describePeer prints what llama.cpp is and wants it to use all that the
// processor can do: a peer at half its speed is no measure.
func describePeer(path string) error {
	p, err := task{Path: path, Threads: 1, Peer: true}.startPeer(context.Background())
	if err != nil {
		return err
	}
	fmt.Printf("llama.cpp: version %s; %s; %s\n", p.Version, p.Settings, strings.TrimSpace(p.System))
	cpu, unreadable := os.ReadFile("/proc/cpuinfo")
	if names := unused(string(cpu), p.System); names != nil {
		err = fmt.Errorf("this build of llama.cpp does not use %s, which the processor has", strings.Join(names, ", "))
	}
	return errors.Join(err, unreadable, p.stop())
}
