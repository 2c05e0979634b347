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
			if _, err := a.runtime.Attach(a.home); err == nil {
				return fmt.Errorf("a daulat runs in %s already: end it with Ctrl-C first, or give the tour another --home", a.home)
			}
			// Whoever reads the output may leave, as head does: that ends the tour
			// like Ctrl-C, and in order.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGPIPE)
			defer stop()
			t := tour{app: a, text: screen{a.out}, say: a.progress(), noise: noise}
			if a.json {
				t.text = screen{io.Discard}
			}
			return t.run(ctx, once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the tour")
	cmd.Flags().BoolVar(&noise, "noise", false, "use the generated noise model; downloads nothing")
	return cmd
}

type tour struct {
	*app
	text  screen // what a person reads; nowhere if JSON is wanted
	say   control.Progress
	noise bool
}

// shown is what the tour prints as JSON.
type shown struct {
	control.Ready
	Answer  answer         `json:"answer"`
	Check   control.Report `json:"check"`
	Liar    control.Report `json:"liar"`
	Weights string         `json:"weights"` // real or noise
}

func (t tour) run(ctx context.Context, once bool) error {
	dir, err := os.MkdirTemp("", scratchPrefix+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t.say("starting a network: daulat up")
	up, ready, err := t.start(ctx, dir)
	if err != nil {
		return err
	}
	defer stop(up)
	result, err := t.show(ctx, dir, ready)
	if err != nil {
		if ctx.Err() != nil { // then the error says what that broke
			err = errors.New("the tour was ended before its end")
		}
		t.say("stopping the network")
		return err
	}
	result.Ready = ready
	if !once {
		t.finish(result, "(Ctrl-C here ends everything)")
		<-ctx.Done()
	}
	t.say("stopping the network")
	if err := stop(up); err != nil {
		return fmt.Errorf("daulat up did not end cleanly: %w", err)
	}
	if once {
		t.finish(result, fmt.Sprintf("(first start the network again, which goes on where it stopped: %s)", t.typed("up")))
	}
	return nil
}

// finish prints how to go on and, last, what came out.
func (t tour) finish(s shown, hint string) {
	_ = t.print(s, func(w io.Writer) { // nothing to do about a closed terminal
		t.sayReady(w, s.Ready, s.Answer.Receipt, hint)
		r := s.Check
		fmt.Fprintf(w, "RESULT main-job weights=%s model=%s verified=yes cheat=caught tokens=%d price_udlt=%d receipt=%s\n",
			s.Weights, r.ModelID, r.Output, r.Price, r.Receipt)
	})
}

// show asks, exports and verifies, and has a liar caught.
func (t tour) show(ctx context.Context, dir string, ready control.Ready) (s shown, err error) {
	t.say(fmt.Sprintf("asking %s: %s", ready.Model, demoQuestion))
	if err := t.command(ctx, &s.Answer, "--home", t.home, "ask", demoQuestion); err != nil {
		return s, err
	}
	fmt.Fprintf(t.text, "\n  %s", strings.TrimRight(s.Answer.Text, "\n"))
	sayAnswer(t.text, s.Answer)
	t.say("settling the session and exporting the receipt")
	file := filepath.Join(dir, "answer.receipt")
	var exported map[string]any
	if err := t.command(ctx, &exported, "--home", t.home, "receipt", "export", s.Answer.Receipt, "-o", file); err != nil {
		return s, err
	}
	t.say("checking it as a stranger: a second, empty home that has only the file and the trust line")
	if err := t.command(ctx, &s.Check, "--home", filepath.Join(dir, "stranger"), "verify", file, "--trust", ready.Trust); err != nil {
		return s, err
	}
	sayReport(t.text, s.Check)
	if s.Check.ModelID != ready.ModelID {
		return s, fmt.Errorf("the answer is by model %s, and %s was served", s.Check.ModelID, ready.ModelID)
	}
	s.Weights = "real"
	if t.noise || ready.Model == "noise" {
		s.Weights = "noise"
	}
	s.Liar, err = t.catch(ctx)
	return s, err
}

// catch has a provider lie, and fails unless a stranger sees it.
func (t tour) catch(ctx context.Context) (control.Report, error) {
	t.say("catching a liar: a cheaper provider announces the same model, and one tensor of its file is altered")
	at, err := t.attach()
	if err != nil {
		return control.Report{}, err
	}
	r, err := at.Operations.Liar(ctx, t.steps())
	if err != nil {
		return r, fmt.Errorf("catch a liar: %w", err)
	}
	sayReport(t.text, r)
	if r.Verdict != "disagree" {
		return r, fmt.Errorf("the liar was not caught: %s", r.Line)
	}
	return r, nil
}

// child is a daulat command in a process of its own. It ends with this process,
// however that ends: its standard input is a pipe that nobody else holds.
func (t tour) child(ctx context.Context, args ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, append(args, "--json", "--until-eof")...)
	cmd.Stderr = indent{t.err}
	_, err = cmd.StdinPipe() // closed when the child is waited for, or this process ends
	return cmd, err
}

// command runs one daulat command to its end and reads its JSON.
func (t tour) command(ctx context.Context, out any, args ...string) error {
	cmd, err := t.child(ctx, args...)
	if err != nil {
		return err
	}
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("daulat %s: %w", args[2], err)
	}
	return json.Unmarshal(stdout.Bytes(), out)
}

// start runs `daulat up` and waits until it is ready. Should this process be
// killed, that one removes the tour's folder.
func (t tour) start(ctx context.Context, dir string) (*exec.Cmd, control.Ready, error) {
	args := []string{"up", "--challenge-window", fmt.Sprint(control.TrialChallengeWindow), "--home", t.home, "--scratch", dir}
	if t.noise {
		args = append(args, "--noise")
	}
	cmd, err := t.child(context.WithoutCancel(ctx), args...) // stop ends it, in order
	if err != nil {
		return nil, control.Ready{}, err
	}
	cmd.SysProcAttr = ownGroup() // Ctrl-C is this process's to handle
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, control.Ready{}, err
	}
	if err := cmd.Start(); err != nil {
		return nil, control.Ready{}, err
	}
	interrupt := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(os.Interrupt) }) // it may have ended by itself
	defer interrupt()
	var ready control.Ready
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		return nil, ready, errors.Join(errors.New("daulat up did not start"), stop(cmd))
	}
	go io.Copy(io.Discard, out) // ends with the process
	return cmd, ready, nil
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

// Signals ends ctx at Ctrl-C, a request to terminate, or when the terminal is
// closed, unless that is to be survived.
func Signals(ctx context.Context) (context.Context, context.CancelFunc) {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		all = append(all, syscall.SIGHUP)
	}
	return signal.NotifyContext(ctx, all...)
}

// untilEOF ends ctx when in does: with the process at its other end. From then
// on writes to that process fail, and end nothing.
func untilEOF(ctx context.Context, in io.Reader) context.Context {
	signal.Ignore(syscall.SIGPIPE)
	ctx, end := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, in) // an error is an end, too
		end()
	}()
	return ctx
}
