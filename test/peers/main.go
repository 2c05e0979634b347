// Peers runs programs that others wrote against the real product: the official
// OpenAI clients of three languages, Hugging Face's tokenizers, llama.cpp, and
// Chromium on the page; and sells what llama.cpp's own server answers, and has that
// read again. It also has the real model answer plain questions, a stranger verify
// one of these answers when nobody serves the model, Python read the golden
// vectors, and an emulated arm64 machine run the tests of what must have the same
// bits everywhere. `make peers` builds the product and calls it.
//
// What comes from package registries is locked by hash (requirements.txt,
// package-lock.json, _openaigo/go.sum), and installed once into a cache folder:
// DAULAT_PEERS_CACHE, or daulat/peers in the user's own. Everything started is
// stopped, listens on loopback alone, and keeps its state in a temporary folder.
// The last line of output is RESULT; a failed check ends with status 1 instead.
//
// Start at run. The clients are openai_client.py, openai_client.cjs and
// _openaigo (a module of its own); the page is used by page.cjs; llama.cpp is
// driven by llama.py, and its server started by llama_server.py.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// limit bounds the whole run.
const limit = 25 * time.Minute

func main() {
	program := flag.String("daulat", "bin/daulat", "the program to run")
	folder := flag.String("dir", "test/peers", "folder that this program's scripts lie in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, limit)
	result, err := run(ctx, *program, *folder)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	fmt.Println(result)
}

// run installs the peers, runs each and returns the RESULT line.
func run(ctx context.Context, program, folder string) (string, error) {
	start := time.Now()
	say := func(what string) { fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(start).Seconds(), what) }
	temp, err := os.MkdirTemp("", "daulat-peers-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	t, err := install(ctx, folder, temp, say)
	if err != nil {
		return "", err
	}
	if t.daulat, err = filepath.Abs(program); err != nil {
		return "", err
	}
	say("Python reads the golden vectors")
	if err := quiet(t.command(ctx, "python3", "vectors/read.py", "../../spec/vectors")); err != nil {
		return "", err
	}
	if err := t.withNetwork(ctx, "noise", []string{"--noise"}, func(u *network) error {
		say("three official OpenAI clients")
		if err := t.clients(ctx, u); err != nil {
			return err
		}
		say("Chromium on the page, in light and dark")
		return t.page(ctx, u)
	}); err != nil {
		return "", err
	}
	say("the real model, and plain questions to it")
	var home, receipt, trust string
	if err := t.withNetwork(ctx, "real", nil, func(u *network) (err error) {
		home, trust = u.home, u.Trust
		if err = u.questions(ctx); err == nil {
			receipt, err = t.export(ctx, u)
		}
		return err
	}); err != nil {
		return "", err
	}
	say("a stranger verifies a receipt after the network has ended, with the model from its package")
	if err := t.packaged(ctx, receipt, trust); err != nil {
		return "", err
	}
	model, err := weights(home)
	if err != nil {
		return "", err
	}
	say("the answers of llama.cpp's own server, sold and bought")
	if err := t.upstream(ctx, model); err != nil {
		return "", fmt.Errorf("upstream: %w", err)
	}
	say("token IDs beside those of PyPI's tokenizers")
	lines, err := t.tokenizers(ctx, model)
	if err != nil {
		return "", fmt.Errorf("tokenizers: %w", err)
	}
	say("token IDs of a vocabulary that is split by qwen2's rule")
	qwen2, err := t.qwen2(ctx)
	if err != nil {
		return "", fmt.Errorf("tokenizers: %w", err)
	}
	say("llama.cpp: logits of models with random weights")
	random, err := t.random(ctx)
	if err != nil {
		return "", fmt.Errorf("llama.cpp: %w", err)
	}
	say("llama.cpp: greedy tokens of the real model")
	strict, packed, err := t.greedy(ctx, model)
	if err != nil {
		return "", fmt.Errorf("llama.cpp: %w", err)
	}
	say("an emulated arm64 machine runs the tests of what is the same everywhere")
	arm64, err := t.arm64(ctx)
	if err != nil {
		return "", err
	}
	say("done; pictures of the page are in " + t.cache)
	return fmt.Sprintf("RESULT peers tokenizers=%d tokenizers_qwen2=%d openai_python=ok openai_node=ok openai_go=ok questions=%d packaged=ok page=ok vectors=ok upstream=ok "+
		"llama_formats=%d llama_random=%d qwen2_random=%d qwen3_random=%d llama_positions=%d llama_differ=%d llama_packed_differ=%d llama=ok arm64=%d",
		lines, qwen2, len(questions), len(formats), random["llama"], random["qwen2"], random["qwen3"], strict.positions, strict.differ, packed.differ, arm64), nil
}
