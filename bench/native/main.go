// Native measures the native float engine as the executor runs it, sampler
// included: tokens per second of prompt and answer, and what it costs to check
// an answer against computing it. Each kernel that the processor has runs in a
// process of its own, with one thread and with two. The best kernel takes turns
// with llama.cpp, prompt by prompt, on the same file and as many threads;
// `make peers` installs that (-peer=false leaves it out).
//
// The model is the embedded default, from the user's cache (any `daulat up` puts
// it there), or a generated one with random weights, which the result names.
// Each figure is the median over several prompts.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"daulat/bench/report"
	"daulat/model/synthetic"
)

// kernels names what GODEBUG must take from the processor for each to be the
// best that is left.
var kernels = []struct{ name, without string }{
	{"best", ""},
	{"avx2", "cpu.avx512f=off"},
	{"portable", "cpu.avx2=off,cpu.avx512f=off"},
}

// defaultFile is the embedded default model's, by the hash that pins it.
const defaultFile = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53.gguf"

// task is one kernel's share.
type task struct {
	Path    string
	Threads int
	Prompts int
	Tokens  int // of each answer, at least
	Peer    bool
}

// speed is what came of it: tokens per second, the ratio of checking to
// computing, and of our speed to llama.cpp's.
type speed struct {
	Prefill, Decode, Verify   float64
	PeerPrefill, PeerDecode   float64
	PrefillRatio, DecodeRatio float64
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "measure" {
		report.Exit(here(os.Args[2]))
	}
	prompts := flag.Int("prompts", 20, "prompts, for each kernel and number of threads; the portable kernel gets a fourth of them")
	tokens := flag.Int("tokens", 128, "tokens that an answer must have to count")
	model := flag.String("model", "", "GGUF file instead of the default model")
	peer := flag.Bool("peer", true, "measure llama.cpp too")
	flag.Parse()
	report.Context()
	report.Exit(run(*model, *prompts, *tokens, *peer))
}

func run(model string, prompts, tokens int, peer bool) error {
	if prompts < 1 || prompts > len(questions) || tokens < 1 {
		return fmt.Errorf("1 to %d prompts and at least one token are needed", len(questions))
	}
	dir, err := os.MkdirTemp("", "bench-native-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path, weights, err := choose(model, dir)
	if err != nil {
		return err
	}
	sum, err := hash(path)
	if err != nil {
		return err
	}
	fmt.Printf("model: %s, %s, sha256 %s\n", filepath.Base(path), weights, sum)
	if peer {
		if err := describePeer(path); err != nil {
			return err
		}
	}
	threads := slices.Compact([]int{1, min(2, runtime.NumCPU())})
	best := map[int]speed{} // by threads
	for _, k := range kernels {
		for _, n := range threads {
			t := task{Path: path, Threads: n, Prompts: prompts, Tokens: tokens, Peer: peer && k.without == ""}
			if k.name == "portable" {
				t.Prompts = max(1, prompts/4)
			}
			s, err := measure(k.without, t)
			if err != nil {
				return fmt.Errorf("kernel %s, %d threads: %w", k.name, n, err)
			}
			fmt.Printf("%-9s %d threads: prefill %7.1f tokens/s, decode %6.1f tokens/s, verify %.2f of generate\n", k.name, n, s.Prefill, s.Decode, s.Verify)
			if t.Peer {
				fmt.Printf("llama.cpp %d threads: prefill %7.1f tokens/s, decode %6.1f tokens/s; we are %.2f and %.2f times as fast\n",
					n, s.PeerPrefill, s.PeerDecode, s.PrefillRatio, s.DecodeRatio)
			}
			if k.without == "" {
				best[n] = s
			}
		}
	}
	most := threads[len(threads)-1]
	top := best[most]
	result := []any{"decode_tok_s", top.Decode, "prefill_tok_s", top.Prefill, "verify_ratio", top.Verify,
		"weights", weights, "threads", most, "tokens", tokens}
	if peer {
		ofLlama := func(ours, theirs func(speed) float64) float64 { return fastest(best, ours) / fastest(best, theirs) }
		result = append(result,
			"decode_of_llama", ofLlama(func(s speed) float64 { return s.Decode }, func(s speed) float64 { return s.PeerDecode }),
			"prefill_of_llama", ofLlama(func(s speed) float64 { return s.Prefill }, func(s speed) float64 { return s.PeerPrefill }),
			"decode_of_llama_1", best[1].DecodeRatio, "prefill_of_llama_1", best[1].PrefillRatio)
	}
	report.Result("native", result...)
	return nil
}

// fastest is the best that any number of threads reached: where other work
// shares the cores, two threads that wait for each other can be far slower than
// one, and neither side is to be measured by that.
func fastest(best map[int]speed, of func(speed) float64) (most float64) {
	for _, s := range best {
		most = max(most, of(s))
	}
	return most
}

func measure(without string, t task) (s speed, err error) {
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	line, err := json.Marshal(t)
	if err != nil {
		return s, err
	}
	c := exec.CommandContext(context.Background(), self, "measure", string(line))
	c.Env, c.Stderr = append(os.Environ(), "GODEBUG="+without), os.Stderr
	out, err := c.Output()
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(out, &s)
}

// choose returns the model's file, and what its weights are.
func choose(model, dir string) (path, weights string, err error) {
	if model != "" {
		return model, "given", nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	path = filepath.Join(cache, "daulat", "models", defaultFile)
	if _, err := os.Stat(path); err == nil {
		return path, "real", nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", "", err
	}
	data, err := synthetic.Llama(1, synthetic.Options{Layers: 30, Width: 576, Heads: 9, KVHeads: 3, FFN: 1536, Context: 2048})
	if err != nil {
		return "", "", err
	}
	path = filepath.Join(dir, "noise.gguf")
	return path, "noise", os.WriteFile(path, data, 0o600)
}

func hash(path string) (string, error) {
	data, err := os.ReadFile(path)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), err
}

// perSecond is a rate.
func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
