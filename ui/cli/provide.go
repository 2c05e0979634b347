package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) provide() *cobra.Command {
	var o control.ProvideOptions
	var ask bool
	cmd := &cobra.Command{
		Use:   "provide [INVITE]",
		Short: "Sell answers from this machine on a network of others",
		Long: `Sell answers from this machine. One line from a friend, the INVITE, is all it takes: no coins, no
open port. The home remembers the network, so later starts need no line. The ledger is reached
through the friend's peers and is not trusted: what money hangs on comes with proofs.
Its pay is withheld for the challenge window, and its answers are run again at a rate that falls
as it earns. Ctrl-C takes its offers back and ends it; the ledger releases withheld pay without it.

With --ledger it sells beside a "daulat up" on the same machine, in a home of its own, and asks
for its first coin by its address.`,
		Example: `  daulat provide INVITE
  daulat provide
  daulat model import my.gguf && daulat provide --model my --output-price 500
  daulat provide --home ~/.daulat-provider --ledger ADDRESS`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Invite = args[0]
			}
			switch {
			case o.Invite != "" && o.Ledger != "":
				return usage("provide takes an INVITE or --ledger, not both")
			case o.Invite == "" && o.Ledger == "" && !a.runtime.Guest(a.home):
				return usage("provide needs an INVITE, which \"daulat invite\" makes in the home of a network; or --ledger ADDRESS on the same machine")
			}
			o.Home = a.home
			if ask {
				o.Passphrase = a.passphrase(cmd.Context())
			}
			return a.runtime.Provide(cmd.Context(), o, a.progress(), func(p control.Providing) {
				_ = a.print(p, func(w io.Writer) { // nothing to do about a closed terminal
					fmt.Fprintf(w, "serving %s for %d udlt in and %d udlt out per 1,000 tokens, as %s\n", line(p.Model), p.Price.Input, p.Price.Output, line(p.Account))
				})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Ledger, "ledger", "", "RPC address of a ledger node on this machine, as daulat status shows it")
	f.StringVar(&o.Link, "link", "", "IP:PORT, if one is open to others (default: through the invite's peers)")
	f.StringVar(&o.Model, "model", "", "name or ID of a model (default: what most of the network serves)")
	f.Uint64Var(&o.InputPrice, "input-price", 200, "udlt per 1,000 prompt tokens")
	f.Uint64Var(&o.OutputPrice, "output-price", 1000, "udlt per 1,000 answer tokens")
	passphraseFlag(cmd, &ask)
	return cmd
}
