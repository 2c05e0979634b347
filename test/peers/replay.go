package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"daulat/model/gguf"
	"daulat/ui/control"
)

// doesNotFit is what `daulat verify --replay` ends with if an answer does not fit.
const doesNotFit = 3

// replay has an answer of llama.cpp's server read again: by our engine, by another such server, and by a model that is none.
// So short an answer leaves each power open, but it must fit those two and not the third.
func (t *tools) replay(ctx context.Context, u *network, model, receipt string) error {
	file := filepath.Join(t.temp, "replay.receipt")
	if err := quiet(t.command(ctx, t.daulat, "receipt", "export", receipt, "-o", file, "--home", u.home)); err != nil {
		return err
	}
	stop, address, err := t.llamaServer(ctx, model)
	if err != nil {
		return err
	}
	upset, err := t.upset(model)
	if err != nil {
		return errors.Join(err, stop())
	}
	ours, first := t.replayed(ctx, u, file, model, unauditedStatus)
	theirs, second := t.replayed(ctx, u, file, address, unauditedStatus)
	none, third := t.replayed(ctx, u, file, upset, doesNotFit)
	if err := errors.Join(first, second, third, stop()); err != nil {
		return err
	}
	if ours.Tokens != theirs.Tokens || ours.Tokens != none.Tokens || ours.Tokens < 2 {
		return fmt.Errorf("the answer has %d tokens here, %d there and %d in the third", ours.Tokens, theirs.Tokens, none.Tokens)
	}
	return nil
}

// upset writes a model that gives what the model gives least.
func (t *tools) upset(model string) (path string, err error) {
	f, err := gguf.Open(model)
	if err != nil {
		return "", err
	}
	defer f.Close()
	path = filepath.Join(t.temp, "upset.gguf")
	return path, rewrite(f, path, change{alter: map[string]func(float32) float32{"output_norm.weight": func(x float32) float32 { return -x }}})
}

// replayed runs `daulat verify --replay` in a stranger's home.
func (t *tools) replayed(ctx context.Context, u *network, file, with string, status int) (control.Replay, error) {
	verify := t.command(ctx, t.daulat, "verify", file, "--trust", u.Trust, "--replay", with, "--json", "--home", filepath.Join(t.temp, "doubter"))
	said, err := verify.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != status {
		return control.Replay{}, failure(verify, fmt.Errorf("it ended otherwise than with %d: %w", status, err), said)
	}
	var r control.Report
	if err := json.Unmarshal(said, &r); err != nil {
		return control.Replay{}, failure(verify, err, said)
	}
	if want := map[int]string{unauditedStatus: "inconclusive", doesNotFit: "disagree"}[status]; r.Verdict != want || r.Replay == nil {
		return control.Replay{}, failure(verify, fmt.Errorf("the verdict is %s instead of %s", r.Verdict, want), said)
	}
	return *r.Replay, nil
}
