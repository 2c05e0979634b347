package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"daulat/ui/control"
)

// maxPassphrase bounds what is read, in bytes.
const maxPassphrase = 1024

func passphraseFlag(cmd *cobra.Command, ask *bool) {
	cmd.Flags().BoolVar(ask, "ask-passphrase", false, "ask for the keys' passphrase instead of keeping a random one")
}

// passphrase asks at the terminal, for a fresh one twice. What is piped in is
// taken as one line.
func (a *app) passphrase(ctx context.Context) control.Passphrase {
	return func(fresh bool) (string, error) {
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			return pipedPassphrase(os.Stdin)
		}
		text, err := a.typedPassphrase(ctx, "passphrase: ")
		if err != nil || !fresh {
			return text, err
		}
		again, err := a.typedPassphrase(ctx, "once more: ")
		if err == nil && again != text {
			err = errors.New("the two passphrases differ")
		}
		return text, err
	}
}

func pipedPassphrase(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, maxPassphrase)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the passphrase: %w", err)
	}
	return checkPassphrase(strings.TrimRight(line, "\r\n"))
}

// typedPassphrase reads without echo. The terminal is as it was when ctx ends.
func (a *app) typedPassphrase(ctx context.Context, prompt string) (string, error) {
	terminal := int(os.Stdin.Fd())
	before, err := term.GetState(terminal)
	if err != nil {
		return "", fmt.Errorf("read the passphrase: %w", err)
	}
	defer fmt.Fprintln(a.err)
	fmt.Fprint(a.err, prompt)
	type typed struct {
		text []byte
		err  error
	}
	done := make(chan typed, 1)
	go func() {
		text, err := term.ReadPassword(terminal)
		done <- typed{text, err}
	}()
	select {
	case t := <-done:
		if t.err != nil {
			return "", fmt.Errorf("read the passphrase: %w", t.err)
		}
		return checkPassphrase(string(t.text))
	case <-ctx.Done(): // the reader is left to the end of the process
		return "", errors.Join(ctx.Err(), term.Restore(terminal, before))
	}
}

func checkPassphrase(text string) (string, error) {
	if text == "" {
		return "", errors.New("the passphrase is empty")
	}
	return text, nil
}
