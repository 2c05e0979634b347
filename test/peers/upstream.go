package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"daulat/test/child"
	"daulat/ui/control"
)

// alias is the name that llama.cpp's server gives its model.
const alias = "peer:135m"

// unauditedStatus is what `daulat verify` ends with on a declared model's receipt.
const unauditedStatus = 4

// upstream sells the answers of a real llama.cpp server that is found where it
// listens, and has `daulat ask` and the official client buy them.
func (t *tools) upstream(ctx context.Context, model string) error {
	return t.withNetwork(ctx, "upstream", []string{"--noise"}, func(u *network) error {
		server, address, err := t.llamaServer(ctx, model)
		if err != nil {
			return err
		}
		err = t.sell(ctx, u, address, func(p control.Providing) error {
			if p.Model != alias || len(p.Models) != 1 || !strings.Contains(p.Label, "unaudited") || p.Upstreams[0] != address {
				return fmt.Errorf("daulat provide offers %+v", p)
			}
			if err := t.buy(ctx, u, model); err != nil {
				return err
			}
			if err := server(); err != nil {
				return err
			}
			return t.until(ctx, "the offers of a server that is gone are taken back", func() (bool, error) {
				all, err := t.offers(ctx, u)
				return len(all) == 1 && all[0].Model != alias, err // the network's own is left
			})
		})
		return errors.Join(err, server())
	})
}

// llamaServer starts llama.cpp's server with a model; stop may be called twice.
func (t *tools) llamaServer(ctx context.Context, model string) (stop func() error, address string, err error) {
	var stderr bytes.Buffer
	cmd := t.command(ctx, "python3", "llama_server.py", model, alias)
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		in.Close() // it ends when its input does, or else is killed
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // how it ends is llama.cpp's affair
		return nil
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if address = strings.TrimSpace(line); err != nil || !strings.HasPrefix(address, "http://127.0.0.1:") {
		return nil, "", errors.Join(stop(), failure(cmd, fmt.Errorf("llama.cpp's server says %q: %v", line, err), stderr.Bytes()))
	}
	return stop, address, nil
}

// sell runs `daulat provide` in a home of its own, which looks for a server at the
// address, while do runs; it has to earn something.
func (t *tools) sell(ctx context.Context, u *network, address string, do func(control.Providing) error) error {
	var invite control.NewInvite
	if err := answerOf(t.command(ctx, t.daulat, "invite", "--json", "--home", u.home), &invite); err != nil {
		return err
	}
	cmd := t.command(ctx, t.daulat, "provide", invite.Line, "--json", "--home", u.home+"-seller")
	cmd.Env = append(cmd.Env, "DAULAT_UPSTREAM_PROBE="+address)
	var ready control.Providing
	p, err := child.Start(cmd, limit, &ready)
	if err != nil {
		return err
	}
	err = errors.Join(do(ready), p.Stop())
	if err == nil && !strings.Contains(p.Said(), "earned ") {
		err = errors.New("the seller earned nothing")
	}
	return said(p, err)
}

// buy asks the declared model in both ways, and has a stranger look at receipts.
func (t *tools) buy(ctx context.Context, u *network, model string) error {
	var told struct {
		Text, Receipt, Label string
		Price                uint64 `json:"price_udlt"`
	}
	if err := answerOf(t.command(ctx, t.daulat, "ask", "--json", "--home", u.home, "--model", alias, "--max-tokens", "24", questions[0].ask), &told); err != nil {
		return err
	}
	if !strings.Contains(told.Text, questions[0].want[0]) || !strings.Contains(told.Label, "unaudited") || told.Price == 0 {
		return fmt.Errorf("daulat ask was answered %+v", told)
	}
	client := t.command(ctx, "python3", "openai_upstream.py", alias)
	client.Env = append(client.Env, "DAULAT_API="+u.API, "DAULAT_TOKEN="+u.Token)
	var asked struct{ Text, Receipt string }
	if err := answerOf(client, &asked); err != nil {
		return err
	}
	file := filepath.Join(t.temp, "upstream.receipt")
	if err := quiet(t.command(ctx, t.daulat, "receipt", "export", asked.Receipt, "-o", file, "--home", u.home)); err != nil {
		return err
	}
	verify := t.command(ctx, t.daulat, "verify", file, "--trust", u.Trust, "--home", filepath.Join(t.temp, "doubter"))
	said, err := verify.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != unauditedStatus || !bytes.Contains(said, []byte("unaudited")) {
		return failure(verify, fmt.Errorf("a declared model's receipt was verified: %w", err), said)
	}
	return t.replay(ctx, u, model, told.Receipt)
}

func (t *tools) offers(ctx context.Context, u *network) (all []control.Provider, err error) {
	return all, answerOf(t.command(ctx, t.daulat, "provider", "ls", "--json", "--home", u.home), &all)
}

// until waits for what happens elsewhere, for a minute.
func (t *tools) until(ctx context.Context, what string, happened func() (bool, error)) error {
	for deadline := time.Now().Add(time.Minute); ; {
		ok, err := happened()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New("never happened: " + what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}
