package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) up() *cobra.Command {
	var o control.UpOptions
	var ask bool
	var scratch string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run a whole network on this machine: ledger, provider, gateway and page",
		Long: `Run a whole network on this machine: a ledger with one validator, a provider that serves a
small real language model, an OpenAI-compatible gateway and a page. All state lies in the home
folder; a second start goes on where the first stopped. Ctrl-C ends it. Its coins are test
coins and worth nothing. If the default port is taken, a free one is used; one that --listen
names is taken or refused.

With --listen 0.0.0.0:PORT others on the network reach the page and the API too: unencrypted, with
a token, and under this machine's addresses alone, as any other host name is refused.`,
		Example: `  daulat up
  daulat up --model ~/models/my.gguf
  daulat up --listen 0.0.0.0:4747
  daulat up --model https://example.org/models/my.gguf
  daulat model import ~/models/my.gguf && daulat up --model my
  OPENAI_BASE_URL=http://127.0.0.1:4747/v1 OPENAI_API_KEY=TOKEN my-openai-program`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.ChallengeWindow == 0 {
				return usage("--challenge-window must be at least 1 second")
			}
			if cmd.Flags().Changed("network") {
				if err := checkInvite(o.Network); err != nil {
					return err
				}
			}
			if o.KeyDelay == 0 {
				return usage("--key-delay must be at least 1 second")
			}
			if err := checkSHA256(o.SHA256); err != nil {
				return err
			}
			if o.SHA256 != "" && !strings.Contains(o.Model, "://") {
				return usage("--sha256 goes with the address of a --model")
			}
			if scratch != "" && !strings.HasPrefix(filepath.Base(scratch), scratchPrefix) {
				return usage("--scratch %q is no folder of the tour", scratch)
			}
			o.Home, o.AnyPort = a.home, !cmd.Flags().Changed("listen")
			if ask {
				o.Passphrase = a.passphrase(cmd.Context())
			}
			err := a.runtime.Up(cmd.Context(), o, a.progress(), func(r control.Ready) {
				// Nothing is to be done about a closed terminal.
				_ = a.print(r, func(w io.Writer) { a.sayReady(w, r, "RECEIPT", "(Ctrl-C here ends everything)") })
			})
			if scratch != "" {
				err = errors.Join(err, os.RemoveAll(scratch))
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:4747", "address of gateway and page")
	f.StringVar(&o.Network, "network", "", "invite to a network of others: asks there and founds none")
	f.StringVar(&o.Link, "link", "", "IP:PORT where peers reach it (default: the last; none: of loopback)")
	f.StringVar(&o.Model, "model", "", "name on the shelf, GGUF file, or its https address")
	f.StringVar(&o.SHA256, "sha256", "", "hash of the file at --model's address; plain http needs it")
	f.BoolVar(&o.Noise, "noise", false, "serve a generated model that answers noise; downloads nothing")
	f.Uint64Var(&o.ChallengeWindow, "challenge-window", control.DefaultChallengeWindow, "seconds of withholding pay, set at the founding")
	f.Uint64Var(&o.KeyDelay, "key-delay", control.DefaultKeyDelay, "seconds a new key waits, set at the founding")
	f.StringVar(&scratch, "scratch", "", "folder of the tour that runs this, removed at the end")
	_ = f.MarkHidden("scratch") // it exists
	choiceFlags(f, &o.Choice)
	passphraseFlag(cmd, &ask)
	return cmd
}

// scratchPrefix begins the name of the tour's folder.
const scratchPrefix = "daulat-demo-"

// sayReady says where the network is and how to go on, with a receipt to export.
func (a *app) sayReady(w io.Writer, r control.Ready, receipt, hint string) {
	fmt.Fprintf(w, `
Daulat is up.
  page    %s
  API     %s
  token   %s
  model   %s  %s
  trust   %s
%sNext:
  %s
  %s
  %s
%s
`, r.Page, r.API, r.Token, line(r.Model), r.ModelID, r.Trust, ledgerLine(r),
		a.typed(`ask "Which islands are the largest in Indonesia?"`), a.typed("receipt export "+line(receipt)+" -o answer.receipt"),
		a.typed("verify answer.receipt --trust "+r.Trust), hint)
}

// ledgerLine says where the ledger is, if it runs here.
func ledgerLine(r control.Ready) string {
	if r.Ledger == "" {
		return ""
	}
	return fmt.Sprintf("  ledger  %s, REST %s, gRPC %s\n", r.Ledger, r.REST, r.GRPC)
}
