package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

const demoQuestion = "What is the capital of Indonesia?"

// demo is the tour that `make run` gives: each step is a command of this
// program in a process of its own, as its user would type it.
func (a *app) demo() *cobra.Command {
	var once, noise bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A tour: start a network, ask, have a stranger check the answer, and catch a liar",
		Long: `Start a network as "daulat up" does, ask it one question, export the receipt, and check the
answer from a second, empty home that knows nothing but the file and the trust line. Then let
a provider lie, and catch it.
The network stays up until Ctrl-C, or ends at once with --once.`,
		Example: "  daulat demo\n  daulat demo --once",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := tour{app: a, say: a.progress(), noise: noise}
			return t.run(cmd.Context(), once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the tour")
	cmd.Flags().BoolVar(&noise, "noise", false, "use the generated noise model; downloads nothing")
	return cmd
}

type tour struct {
	*app
	say   control.Progress
	noise bool
}

func (t tour) run(ctx context.Context, once bool) error {
	dir, err := os.MkdirTemp("", "daulat-demo-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t.say("starting a network: daulat up")
	up, ready, err := t.start(ctx)
	if err != nil {
		return err
	}
	defer stop(up)
	result, err := t.show(ctx, dir, ready)
	if err != nil {
		return err
	}
	if !once {
		sayReady(t.out, ready)
		fmt.Fprintln(t.out, result)
		<-ctx.Done()
		return nil
	}
	if err := stop(up); err != nil {
		return fmt.Errorf("daulat up did not end cleanly: %w", err)
	}
	fmt.Fprintln(t.out, result)
	return nil
}

// show asks, exports and verifies, and returns the RESULT line.
func (t tour) show(ctx context.Context, dir string, ready control.Ready) (string, error) {
	t.say(fmt.Sprintf("asking %s: %s", ready.Model, demoQuestion))
	var got answer
	if err := t.command(ctx, &got, "--home", t.home, "ask", demoQuestion); err != nil {
		return "", err
	}
	fmt.Fprintf(t.out, "\n  %s", strings.TrimRight(plain(got.Text), "\n"))
	sayAnswer(t.out, got)
	t.say("settling the session and exporting the receipt")
	file := filepath.Join(dir, "answer.receipt")
	var exported map[string]any
	if err := t.command(ctx, &exported, "--home", t.home, "receipt", "export", got.Receipt, "-o", file); err != nil {
		return "", err
	}
	t.say("checking it as a stranger: a second, empty home that has only the file and the trust line")
	var r control.Report
	if err := t.command(ctx, &r, "--home", filepath.Join(dir, "stranger"), "verify", file, "--trust", ready.Trust); err != nil {
		return "", err
	}
	sayReport(screen{t.out}, r)
	if r.ModelID != ready.ModelID {
		return "", fmt.Errorf("the answer is by model %s, and %s was served", r.ModelID, ready.ModelID)
	}
	if err := t.catch(ctx); err != nil {
		return "", err
	}
	weights := "real"
	if t.noise || ready.Model == "noise" {
		weights = "noise"
	}
	return fmt.Sprintf("RESULT main-job weights=%s model=%s verified=yes cheat=caught tokens=%d price_udlt=%d receipt=%s",
		weights, r.ModelID, r.Output, r.Price, r.Receipt), nil
}

// catch has a provider lie, and fails unless a stranger sees it.
func (t tour) catch(ctx context.Context) error {
	t.say("catching a liar: a cheaper provider announces the same model, and one tensor of its file is altered")
	at, err := t.attach()
	if err != nil {
		return err
	}
	r, err := at.Operations.Liar(ctx, t.steps())
	if err != nil {
		return fmt.Errorf("catch a liar: %w", err)
	}
	sayReport(screen{t.out}, r)
	if r.Verdict != "disagree" {
		return fmt.Errorf("the liar was not caught: %s", r.Line)
	}
	return nil
}

// command runs one daulat command in a process of its own and reads its JSON.
func (t tour) command(ctx context.Context, out any, args ...string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	var stdout bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append(args, "--json")...)
	cmd.Stdout, cmd.Stderr = &stdout, indent{t.err}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("daulat %s: %w", args[2], err)
	}
	return json.Unmarshal(stdout.Bytes(), out)
}

// start runs `daulat up` and waits until it is ready.
func (t tour) start(ctx context.Context) (*exec.Cmd, control.Ready, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, control.Ready{}, err
	}
	args := []string{"up", "--json", "--home", t.home}
	if t.noise {
		args = append(args, "--noise")
	}
	cmd := exec.Command(program, args...)
	cmd.Stderr = indent{t.err}
	// Ctrl-C is this process's to handle: it ends the network in order.
	cmd.SysProcAttr = ownGroup()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, control.Ready{}, err
	}
	if err := cmd.Start(); err != nil {
		return nil, control.Ready{}, err
	}
	var ready control.Ready
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		return nil, ready, errors.Join(errors.New("daulat up did not start"), stop(cmd))
	}
	go io.Copy(io.Discard, out) // ends with the process
	return cmd, ready, ctx.Err()
}

// stop ends a child as Ctrl-C would, and waits for it. A child that ended
// already is fine.
func stop(cmd *exec.Cmd) error {
	if cmd.ProcessState != nil {
		return nil
	}
	_ = cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	kill := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	return cmd.Wait()
}

// indent sets a child's progress apart.
type indent struct{ w io.Writer }

func (i indent) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if _, err := fmt.Fprintf(i.w, "    %s", line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Signals ends ctx at Ctrl-C or a request to terminate.
func Signals(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}
