// Start measures how long a person waits for `daulat up`: from nothing to the
// first answer in an empty home, and from process start to the first new block
// and the first answer in a home that exists. It runs the program as users do,
// and asks as any OpenAI client does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	cometdb "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/store"

	"daulat/bench/report"
	"daulat/ledger/client"
	"daulat/test/child"
	"daulat/ui/control"
)

// defaultFile is the embedded default model's, by the hash that pins it.
const defaultFile = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53.gguf"

// patience bounds one start with its answer.
const patience = 3 * time.Minute

func main() {
	program := flag.String("daulat", "bin/daulat", "the program under test")
	rounds := flag.Int("rounds", 3, "starts of each kind")
	flag.Parse()
	log.SetOutput(io.Discard) // the database's, when kept opens one
	report.Context()
	report.Exit(run(*program, *rounds))
}

// times are one start's, from the process's own start.
type times struct{ block, ready, token, answer time.Duration }

func run(program string, rounds int) error {
	if rounds < 1 {
		return errors.New("at least one round is needed")
	}
	result := []any{"rounds", rounds}
	noise, err := measure(program, rounds, "noise", "--noise")
	if err != nil {
		return err
	}
	result = append(result, noise...)
	if cache, err := os.UserCacheDir(); err == nil {
		if _, err := os.Stat(filepath.Join(cache, "daulat", "models", defaultFile)); err == nil {
			real, err := measure(program, rounds, "real")
			if err != nil {
				return err
			}
			result = append(result, real...)
		} else {
			fmt.Println("the real model is not in the user's cache: not measured")
		}
	}
	report.Result("start", result...)
	return nil
}

// measure starts empty homes, and each of them once more.
func measure(program string, rounds int, weights string, arguments ...string) ([]any, error) {
	var empty, existing []times
	for range rounds {
		home, err := os.MkdirTemp("", "bench-start-*")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(home)
		for _, all := range []*[]times{&empty, &existing} {
			t, err := start(program, home, arguments...)
			if err != nil {
				return nil, fmt.Errorf("%s weights: %w", weights, err)
			}
			*all = append(*all, t)
		}
	}
	var result []any
	for _, kind := range []struct {
		name string
		all  []times
	}{{"empty", empty}, {"existing", existing}} {
		block, ready := median(kind.all, func(t times) time.Duration { return t.block }), median(kind.all, func(t times) time.Duration { return t.ready })
		token, answer := median(kind.all, func(t times) time.Duration { return t.token }), median(kind.all, func(t times) time.Duration { return t.answer })
		fmt.Printf("%s weights, %s home: first block %.2f s, ready %.2f s, first token %.2f s, answer paid for %.2f s\n", weights, kind.name, block, ready, token, answer)
		prefix := weights + "_" + kind.name
		result = append(result, prefix+"_block_s", block, prefix+"_answer_s", answer)
	}
	return result, nil
}

func median(all []times, of func(times) time.Duration) float64 {
	var picked []time.Duration
	for _, t := range all {
		picked = append(picked, of(t))
	}
	return report.Median(picked).Seconds()
}

// start runs the program in home until its first answer is there, then ends it
// as Ctrl-C does.
func start(program, home string, arguments ...string) (t times, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	known, err := kept(home)
	if err != nil {
		return t, err
	}
	block := make(chan time.Duration, 1)
	began := time.Now()
	go func() { block <- firstBlock(ctx, home, known, began) }()
	var r control.Ready
	up, err := child.Start(exec.CommandContext(ctx, program, append([]string{"up", "--json", "--home", home, "--listen", "127.0.0.1:0"}, arguments...)...), patience, &r)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, up.Stop()) }()
	t.ready = time.Since(began)
	q := report.Question{API: r.API, Token: r.Token, Model: r.Model, Text: "What is the capital of Indonesia?", Tokens: 16}
	asked := time.Since(began)
	first, _, err := q.Ask(ctx, http.DefaultClient)
	if err != nil {
		return t, err
	}
	t.token, t.answer, t.block = asked+first, time.Since(began), <-block
	if t.block == 0 {
		return t, errors.New("no block came")
	}
	return t, nil
}

// addressFile is where a ledger's home keeps the address of its RPC.
func addressFile(home string) string { return filepath.Join(home, "chain", "config", "rpc-address") }

// kept is the height of the ledger in a home whose program is not running.
func kept(home string) (int64, error) {
	data := filepath.Join(home, "chain", "data")
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	db, err := cometdb.NewDB("blockstore", cometdb.PebbleDBBackend, data)
	if err != nil {
		return 0, err
	}
	defer db.Close() // read only
	return store.NewBlockStore(db).Height(), nil
}

// firstBlock waits for a block above the height known; it returns 0 if ctx ends
// before.
func firstBlock(ctx context.Context, home string, known int64, began time.Time) time.Duration {
	for ctx.Err() == nil {
		if height(ctx, home) > known {
			return time.Since(began)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0
}

// height is the newest committed one, 0 as long as nobody answers.
func height(ctx context.Context, home string) int64 {
	address, err := os.ReadFile(addressFile(home))
	if err != nil {
		return 0
	}
	rpc, err := client.Dial("tcp://" + string(address))
	if err != nil {
		return 0
	}
	info, err := rpc.ABCIInfo(ctx)
	if err != nil {
		return 0
	}
	return info.Response.LastBlockHeight
}
