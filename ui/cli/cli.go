// Package cli is the command line, one file per command. Commands parse, call
// the [Runtime] and print; they decide nothing. Every command has examples and
// --json, and a wrong input is named and ends with status 2, a failure with 1, and a
// node whose program is to be replaced with 4.
// With --json the last line on stderr is then {"error": "...", "status": N}.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

// Runtime is what commands run on; cmd/daulat builds it from node.
type Runtime interface {
	// Up runs until ctx ends; ready is called once everything serves.
	Up(ctx context.Context, o control.UpOptions, p control.Progress, ready func(control.Ready)) error
	// Provide sells answers until ctx ends; ready is called once it serves.
	Provide(ctx context.Context, o control.ProvideOptions, p control.Progress, ready func(control.Providing)) error
	// Hardware says what this machine is.
	Hardware(ctx context.Context) control.Hardware
	// Estimate says what Provide would earn, and joins and registers nothing.
	Estimate(ctx context.Context, o control.ProvideOptions, p control.Power, say control.Progress) (control.Estimate, error)
	// Install writes a unit of the user's systemd that runs provide with the
	// arguments, which say what o does, if provide could serve so; Uninstall
	// removes it.
	Install(o control.ProvideOptions, arguments []string) (control.Service, error)
	Uninstall() (control.Service, error)
	// Node runs a ledger node until ctx ends; ready is called once it serves.
	Node(ctx context.Context, o control.NodeOptions, p control.Progress, ready func(control.Node)) error
	// Testnet runs several validators until ctx ends; ready is called once they agree.
	Testnet(ctx context.Context, o control.TestnetOptions, p control.Progress, ready func(control.Testnet)) error
	// Visit asks on the network that the home joined, or joins with o.Network, for
	// as long as use runs.
	Visit(ctx context.Context, o control.UpOptions, p control.Progress, use func(context.Context, control.Attached) error) error
	// Operate opens the account that acts for a home on the ledger by itself.
	Operate(ctx context.Context, o control.OperateOptions, p control.Progress, use func(context.Context, control.Operator) error) error
	// Version says which program this is.
	Version() control.Version
	// Guest reports whether the home has joined a network of others.
	Guest(home string) bool
	// Attach finds the daulat that runs in the home.
	Attach(home string) (control.Attached, error)
	Verify(ctx context.Context, o control.VerifyOptions, p control.Progress) (control.Report, error)
	PullModel(ctx context.Context, o control.PullOptions, p control.Progress) (control.Model, error)
	ImportModel(ctx context.Context, home, path, name, licence string, p control.Progress) (control.Model, error)
	Models(home string) ([]control.Model, error)
}

// usage is a wrong input.
func usage(format string, args ...any) error {
	return control.WrongInput{Err: fmt.Errorf(format, args...)}
}

// errDisagree ends with status 3 after the command has said why.
var errDisagree = errors.New("the answer does not agree")

// errUnaudited ends with status 4 after the command has said why.
var errUnaudited = errors.New("the answer is unaudited")

// app is what commands share.
type app struct {
	ctx      context.Context // of the command
	leave    func() error    // ends a visit; nil without one
	runtime  Runtime
	out, err io.Writer
	home     string
	json     bool
	untilEOF bool // end with the process that holds the other end of standard input
}

// Run executes one command line and returns the exit status.
func Run(ctx context.Context, args []string, out, errOut io.Writer, r Runtime) int {
	a := &app{ctx: ctx, runtime: r, out: out, err: errOut}
	words, err := whole(args)
	if err == nil {
		err = a.execute(ctx, words)
	}
	if err != nil && a.ctx.Err() != nil && ofEnd(a.ctx, err) {
		err = errors.New("interrupted")
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDisagree):
		return 3
	case errors.Is(err, errUnaudited):
		return 4
	}
	status := 1
	var wrong control.WrongInput
	var due control.UpgradeDue
	switch {
	case errors.As(err, &wrong):
		status = 2
	case errors.As(err, &due):
		status = 5
	}
	complain(errOut, unsaid(err.Error()), status, a.json || wantsJSON(args))
	return status
}

func (a *app) execute(ctx context.Context, words []string) error {
	root := a.root()
	root.SetArgs(words)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if a.leave != nil {
		err = errors.Join(err, a.leave())
	}
	if err == nil || !strings.HasPrefix(err.Error(), "unknown command") { // cobra's word for it
		return err
	}
	return control.WrongInput{Err: err}
}

// ofEnd reports that the whole of an error is that ctx ended: the user knows.
func ofEnd(ctx context.Context, err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(all.Unwrap(), func(e error) bool { return !ofEnd(ctx, e) })
	}
	return errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))
}

// complain says why a command failed: one sentence, or one JSON document in one
// line, the last on stderr.
func complain(w io.Writer, why string, status int, asJSON bool) {
	if !asJSON {
		fmt.Fprintln(screen{w}, "daulat:", strings.ReplaceAll(why, "\n", "\n  "))
		return
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(struct { // nothing to do about a closed terminal
		Error  string `json:"error"`
		Status int    `json:"status"`
	}{why, status})
}

// wantsJSON finds --json in a command line that could not be parsed.
func wantsJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json")
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "daulat",
		Short: "AI that a community owns, and answers that anyone can check",
		Long: `Daulat is a network on which communities own their AI. Idle machines answer for pay,
every answer has a receipt, and anyone can check a receipt by running the model again.

Start a whole network on this machine with "daulat up", then ask it something.

The status is 0 if all went well, 1 if something failed and 2 for a wrong input; "daulat verify"
has 3 and 4 besides, and a node whose program an upgrade has left behind ends with 5.`,
		Example: `  daulat up
  daulat ask "What is the capital of Indonesia?"
  daulat receipt export 1-1 -o answer.receipt
  daulat verify answer.receipt --trust LINE
  daulat ask --network INVITE "What is the capital of Indonesia?"
  daulat provide INVITE`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var version bool
	root.Flags().BoolVar(&version, "version", false, "say which daulat this is")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if version {
			return a.showVersion()
		}
		return cmd.Help()
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return control.WrongInput{Err: plainFlag(err)} })
	root.PersistentFlags().StringVar(&a.home, "home", defaultHome(), "folder that holds all state")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print one JSON document")
	root.PersistentFlags().BoolVar(&a.untilEOF, "until-eof", false, "end when standard input does, for a process that runs this one")
	_ = root.PersistentFlags().MarkHidden("until-eof") // it exists
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		if a.untilEOF {
			a.ctx = untilEOF(a.ctx, os.Stdin)
			cmd.SetContext(a.ctx)
		}
	}
	root.AddCommand(a.up(), a.invite(), a.provide(), a.node(), a.testnet(), a.validator(), a.upgrade(), a.ask(), a.verify(), a.receipt(), a.model(), a.job(), a.provider(), a.wallet(), a.token(), a.key(), a.status(), a.demo(), a.version())
	return root
}

func defaultHome() string {
	if h := os.Getenv("DAULAT_HOME"); h != "" {
		return h
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return ".daulat"
	}
	return filepath.Join(user, ".daulat")
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	var examples []string
	for _, c := range commands {
		examples = append(examples, c.Example)
	}
	cmd := &cobra.Command{Use: use, Short: short, Example: strings.Join(examples, "\n"),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// exactly wants n arguments, named for the message.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usage("%s needs %s; see %s --help", cmd.CommandPath(), names[len(args)], cmd.CommandPath())
		}
		if len(args) > len(names) {
			return usage("%s does not know what to do with %q", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}

// atMost wants no more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usage("%s does not know what to do with %q", cmd.CommandPath(), args[n])
		}
		return nil
	}
}

// print writes v as JSON, or lets text say it.
func (a *app) print(v any, text func(w io.Writer)) error {
	if !a.json {
		text(screen{a.out})
		return nil
	}
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// typed is a command of this program as its user would type it.
func (a *app) typed(command string) string {
	words := []string{quoted(os.Args[0])}
	if a.home != defaultHome() {
		words = append(words, "--home", quoted(a.home))
	}
	return strings.Join(append(words, command), " ")
}

// quoted is a word for a shell.
func quoted(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// progress numbers steps and shows the time since the command began, on stderr.
func (a *app) progress() control.Progress {
	var mu sync.Mutex
	start, n := time.Now(), 0
	return func(step string) {
		mu.Lock()
		defer mu.Unlock()
		n++
		fmt.Fprintf(a.err, "%6.1fs  %d. %s\n", time.Since(start).Seconds(), n, line(step))
	}
}

// steps is progress of a part of the command, set apart as a child's is.
func (a *app) steps() control.Progress {
	return (&app{err: indent{a.err}}).progress()
}

// attach finds the daulat of this home, or visits the network that it joined.
func (a *app) attach() (control.Attached, error) { return a.attachFor("") }

// attachFor is attach for who asks the named model: a visit gets no other then.
func (a *app) attachFor(model string) (control.Attached, error) {
	at, err := a.runtime.Attach(a.home)
	if err == nil {
		return at, nil
	}
	if errors.Is(err, control.ErrNotRunning) && a.runtime.Guest(a.home) {
		return a.visit("", model)
	}
	return at, started(err)
}

// books asks the account of this home: at the daulat that runs there, or on the
// ledger itself.
func books[T any](a *app, do func(control.Books, context.Context) (T, error), text func(io.Writer, T)) error {
	var v T
	ask := func(ctx context.Context, b control.Books) (err error) {
		v, err = do(b, ctx)
		return err
	}
	at, err := a.runtime.Attach(a.home)
	if err == nil {
		err = ask(a.ctx, at.Operations)
	} else {
		err = started(a.operate(false, func(ctx context.Context, o control.Operator) error { return ask(ctx, o) }))
	}
	if err != nil {
		return err
	}
	return a.print(v, func(w io.Writer) { text(w, v) })
}

// started says what lets a home do what it can't yet.
func started(err error) error {
	if errors.Is(err, control.ErrNotRunning) {
		return fmt.Errorf("%w (start one with `daulat up`, or join a friend's network: `daulat ask --network INVITE \"Hello\"`)", err)
	}
	return err
}

// show has the daulat of this home do an operation, and prints what comes of it.
func show[T any](a *app, do func(control.Operations, context.Context) (T, error), text func(io.Writer, T)) error {
	at, err := a.attach()
	if err != nil {
		return err
	}
	v, err := do(at.Operations, a.ctx)
	if err != nil {
		return err
	}
	return a.print(v, func(w io.Writer) { text(w, v) })
}

// with is an operation that is given its argument.
func with[O, A, T any](do func(O, context.Context, A) (T, error), arg A) func(O, context.Context) (T, error) {
	return func(o O, ctx context.Context) (T, error) { return do(o, ctx, arg) }
}

// visit asks on a network of others until the command ends, a model of its choice
// if none is named.
func (a *app) visit(invite, model string) (control.Attached, error) {
	o := control.UpOptions{Home: a.home, Listen: "127.0.0.1:0", Network: invite, Model: model}
	here, left, ended := make(chan control.Attached), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- a.runtime.Visit(a.ctx, o, a.progress(), func(ctx context.Context, at control.Attached) error {
			here <- at
			select {
			case <-left:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	select {
	case at := <-here:
		a.leave = func() error {
			close(left)
			return <-ended
		}
		return at, nil
	case err := <-ended:
		return control.Attached{}, err
	}
}
