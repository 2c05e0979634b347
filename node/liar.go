package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"daulat/core/artifact"
	"daulat/model/gguf"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
	"daulat/ui/control"
)

// The demonstration of a caught liar. The liar is `daulat provide`, an ordinary
// provider in a process and home of its own; only the model file in that home
// was changed, as a dishonest owner would. It announces the true manifest ID and
// wins the order by its price. Nobody tells the checker: the asker's own audit
// stumbles on the lie, and a stranger's `daulat verify` confirms it.

const (
	liarInputPrice  = inputPrice / 2
	liarOutputPrice = outputPrice / 2
	liarQuestion    = "Explain in two sentences why the sky is blue."
	liarTokens      = 64
	liarTimeout     = 3 * time.Minute
	liarTries       = 3
	liarPrompt      = 256 // tokens; more than the question is in any tokenizer

	// liarCost is the most that it can cost the home, in udlt: the liar's coin, and
	// each question at the ceilings if somebody honest answers it.
	liarCost = 1 + liarTries*(liarPrompt*ceilingInput+liarTokens*ceilingOutput)/1000
)

// errLying says that one liar is being shown already.
var errLying = errors.New("a liar is being caught already: wait until that is over")

// Liar implements control.Operations.
func (o operations) Liar(ctx context.Context, say control.Progress) (control.Report, error) {
	return o.liar(ctx, func() error { return nil }, say)
}

// liar runs once at a time. charge is asked before anything is spent.
func (o operations) liar(ctx context.Context, charge func() error, say control.Progress) (control.Report, error) {
	if o.validator == nil {
		return control.Report{}, control.WrongInput{Err: errors.New("a liar is caught on a network of one's own: it needs a second provider beside the ledger")}
	}
	if !o.lying.TryLock() {
		return control.Report{}, errLying
	}
	defer o.lying.Unlock()
	if err := charge(); err != nil {
		return control.Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, liarTimeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "daulat-liar-*")
	if err != nil {
		return control.Report{}, err
	}
	defer os.RemoveAll(dir)
	say("altering one tensor of " + o.served.Name)
	if err := o.prepareLiar(ctx, filepath.Join(dir, "liar")); err != nil {
		return control.Report{}, fmt.Errorf("prepare the liar: %w", err)
	}
	say("starting the liar")
	liar, stop, err := o.startLiar(ctx, filepath.Join(dir, "liar"))
	if err != nil {
		return control.Report{}, fmt.Errorf("start the liar: %w", err)
	}
	defer stop()
	say("asking, as anybody would: the liar is the cheapest")
	receipt, err := caught(func() (string, error) { return o.askLiar(ctx, liar) })
	if err != nil {
		return control.Report{}, err
	}
	say("checking the answer as a stranger: receipt " + receipt)
	return o.confirm(ctx, dir, receipt)
}

// prepareLiar makes a home that has the served model, and changes one tensor of
// its file.
func (o operations) prepareLiar(ctx context.Context, dir string) error {
	manifest, err := o.shelf.Manifest(ctx, o.served.ID)
	if err != nil {
		return err
	}
	weights, ok := manifest.Part(artifact.Weights)
	if !ok {
		return errors.New("the model has no weights")
	}
	honest, err := o.store.Path(weights.Blob)
	if err != nil {
		return err
	}
	shelf, err := shelfOf(dir)
	if err != nil {
		return err
	}
	e, err := shelf.Import(ctx, honest, o.served.Name, manifest.Licence)
	if err != nil {
		return err
	}
	if e.ID != o.served.ID {
		return fmt.Errorf("the copy has ID %s, not %s", e.ID, o.served.ID)
	}
	path, err := shelf.store.Path(weights.Blob)
	if err != nil {
		return err
	}
	return alterTensor(path)
}

// alterTensor swaps the halves of one matrix of a model file. The file is
// replaced, not changed in place: honest homes may share its bytes by a link.
func alterTensor(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := gguf.Parse(data)
	if err != nil {
		return err
	}
	t, ok := f.Tensor("blk.0.ffn_down.weight")
	if !ok {
		return errors.New("the model has no such tensor")
	}
	whole := t.Bytes() // a window into data
	row := len(whole) / t.Rows()
	half := t.Rows() / 2 * row
	swapped := append(bytes.Clone(whole[half:]), whole[:half]...)
	copy(whole, swapped)
	return writeFile(path, data)
}

// startLiar runs the provider and waits until it serves.
func (o operations) startLiar(ctx context.Context, dir string) (account string, stop func(), err error) {
	program, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, program, "provide", "--json", "--until-eof", "--home", dir, "--ledger", o.ready.Ledger, "--model", o.served.ID.String(),
		"--input-price", fmt.Sprint(liarInputPrice), "--output-price", fmt.Sprint(liarOutputPrice))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopTimeout
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		return "", nil, err
	}
	if _, err := cmd.StdinPipe(); err != nil { // ends with this process, however that ends
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended by itself
		_ = cmd.Wait()                       // its status says nothing about the check
	}
	last := make(chan string, 1)
	go func() { last <- o.fund(ctx, said) }()
	var serving control.Providing
	if err := json.NewDecoder(out).Decode(&serving); err != nil {
		stop()
		return "", nil, errors.New(<-last)
	}
	return serving.Account, stop, nil
}

// fund sends the first coin that a provider asks for, and returns the last line
// that it said.
func (o operations) fund(ctx context.Context, said io.Reader) (last string) {
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		last = lines.Text()
		_, rest, asks := strings.Cut(last, "daulat wallet send ")
		if !asks {
			continue
		}
		address, _, _ := strings.Cut(rest, " ")
		if err := o.wallet.Send(ctx, address, 1); err != nil {
			o.log.Warn("the liar got no coin", "error", err)
		}
	}
	return last
}

// caught asks until the liar is the one that answers, but not for ever.
func caught(ask func() (receipt string, err error)) (receipt string, err error) {
	for range liarTries {
		if receipt, err = ask(); !errors.Is(err, errHonest) {
			break
		}
	}
	return receipt, err
}

// errHonest says that the liar was not asked, or failed and was replaced.
var errHonest = errors.New("another provider answered in the liar's place")

// askLiar asks through the market as any asker does; the asker's audit refuses
// to pay for the lie.
func (o operations) askLiar(ctx context.Context, liar string) (receipt string, err error) {
	if err := o.consumer.Renew(ctx, o.served.ID); err != nil {
		return "", err
	}
	p := gateway.Prompt{Model: o.served.Name, Messages: []gateway.Message{{Role: "user", Content: liarQuestion}}, MaxTokens: liarTokens, TopP: 1_000_000}
	r, err := backend{shelf: o.shelf, client: o.consumer, declared: o.declared}.Answer(ctx, p, func(gateway.Admission) error { return nil }, func(string, ...gateway.AnswerToken) error { return nil })
	return lieOf(liar, r, err)
}

// lieOf is the receipt of the lie that a question ended with.
func lieOf(liar string, r gateway.Result, err error) (receipt string, _ error) {
	var lie *consumer.LieError
	switch {
	case errors.As(err, &lie):
		return lie.Receipt, nil
	case err != nil:
		return "", err
	case r.Provider != liar:
		return "", errHonest
	}
	return "", errors.New("the answer was true: the altered tensor changed no token")
}

// confirm has a stranger check the receipt: `daulat verify` in a process of its
// own, with an empty home, which gets the model by its ID.
func (o operations) confirm(ctx context.Context, dir, receipt string) (control.Report, error) {
	e, err := o.Export(ctx, receipt)
	if err != nil {
		return control.Report{}, err
	}
	file := filepath.Join(dir, "lie.receipt")
	if err := os.WriteFile(file, e.Bundle, 0o600); err != nil {
		return control.Report{}, err
	}
	program, err := os.Executable()
	if err != nil {
		return control.Report{}, err
	}
	cmd := exec.CommandContext(ctx, program, "verify", file, "--json", "--trust", e.Trust, "--home", filepath.Join(dir, "stranger"))
	out, err := cmd.Output() // a disagreement is status 3, with a report
	var r control.Report
	if json.Unmarshal(out, &r) != nil {
		return r, fmt.Errorf("daulat verify: %w: %s", err, stderrOf(err))
	}
	return r, nil
}

func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return clip(exit.Stderr)
	}
	return ""
}
