package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
)

// llama is llama.cpp with one model, run by llama.py.
type llama struct {
	Version, System, Settings string
	Vocab                     int

	in  *json.Encoder
	out *bufio.Reader
}

// How much llama.cpp may round: see llama.py.
const (
	exact = "exact"
	fast  = "fast"
)

// libraries is the folder of llama.cpp's shared libraries below that of the npm
// packages.
func libraries(node string) string {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	platform := runtime.GOOS + "-" + arch
	return filepath.Join(node, "node_modules", "@node-llama-cpp", platform, "bins", platform)
}

// withLlama runs llama.cpp with the GGUF file model while do runs. It has one
// thread: its threads wait for each other by spinning, which takes minutes
// where other work shares the cores.
func (t *tools) withLlama(ctx context.Context, model, mode string, do func(*llama) error) (err error) {
	var stderr bytes.Buffer
	cmd := t.command(ctx, "python3", "llama.py", libraries(t.node), model, "1", mode)
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		in.Close() // it ends when its requests do
		_, _ = io.Copy(io.Discard, out)
		if ended := cmd.Wait(); ended != nil {
			err = errors.Join(err, failure(cmd, ended, stderr.Bytes()))
		}
	}()
	l := newLlama(in, out)
	if err := l.line(l); err != nil {
		return err
	}
	return do(l)
}

func newLlama(in io.Writer, out io.Reader) *llama {
	return &llama{in: json.NewEncoder(in), out: bufio.NewReaderSize(out, 1<<20)}
}

// line reads one line of JSON.
func (l *llama) line(v any) error {
	line, err := l.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("llama.cpp gave no answer: %w", err)
	}
	return json.Unmarshal(line, v)
}

// floats reads a row of them.
func (l *llama) floats(row []float32) error {
	raw := make([]byte, 4*len(row))
	if _, err := io.ReadFull(l.out, raw); err != nil {
		return fmt.Errorf("llama.cpp gave too few numbers: %w", err)
	}
	for i := range row {
		row[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return nil
}

// logits shows visit the logits after each of tokens from number from on.
// The row is reused.
func (l *llama) logits(tokens []uint32, from int, visit func(i int, row []float32) error) error {
	if err := l.ask(map[string]any{"tokens": tokens, "from": from}, new(struct{})); err != nil {
		return err
	}
	row := make([]float32, l.Vocab)
	for i := from; i < len(tokens); i++ {
		if err := l.floats(row); err != nil {
			return err
		}
		if err := visit(i, row); err != nil {
			return err
		}
	}
	return nil
}

// greedy gives the n tokens that follow.
func (l *llama) greedy(tokens []uint32, n int) ([]uint32, error) {
	var answer struct{ Tokens []uint32 }
	err := l.ask(map[string]any{"tokens": tokens, "more": n}, &answer)
	if err == nil && len(answer.Tokens) != n {
		err = fmt.Errorf("llama.cpp gave %d tokens instead of %d", len(answer.Tokens), n)
	}
	return answer.Tokens, err
}

// widen gives what a function of ggml makes of the stored row data.
func (l *llama) widen(function string, data []byte, row []float32) error {
	if err := l.ask(map[string]any{"widen": function, "data": data, "values": len(row)}, new(struct{})); err != nil {
		return err
	}
	return l.floats(row)
}

func (l *llama) ask(request, answer any) error {
	if err := l.in.Encode(request); err != nil {
		return fmt.Errorf("llama.cpp takes no request: %w", err)
	}
	return l.line(answer)
}

// llamaIn wants the libraries for this machine among the npm packages.
func llamaIn(node string) error {
	found, err := filepath.Glob(filepath.Join(libraries(node), "libllama.*"))
	if err == nil && found == nil {
		err = fmt.Errorf("llama.cpp is not in %s: npm could not fetch it, or has none for %s on %s", libraries(node), runtime.GOOS, runtime.GOARCH)
	}
	return err
}
