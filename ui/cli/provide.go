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
	var w worth
	cmd := &cobra.Command{
		Use:   "provide [INVITE]",
		Short: "Sell answers from this machine on a network of others",
		Long: `Sell answers from this machine. One line from a friend, the INVITE, is all it takes: no coins, no
open port. The home remembers the network, so later starts need no line. The ledger is reached
through the friend's peers and is not trusted: what money hangs on comes with proofs.
Its pay is withheld for the challenge window, and its answers are run again at a rate that falls
as it earns. Ctrl-C takes its offers back and ends it; the ledger releases withheld pay without it.

Before it serves it measures how fast this machine runs the model. --estimate shows that, and what
it would earn against electricity: it gets the model, but redeems no invite and registers nothing.
--install has systemd start it at each login; the unit holds no secret.

With --ledger it sells beside a "daulat up" on the same machine, in a home of its own, and asks
for its first coin by its address.`,
		Example: `  daulat provide INVITE
  daulat provide
  daulat provide INVITE --estimate --watts 65 --electricity 250000
  daulat provide --install
  daulat model import my.gguf && daulat provide --model my --output-price 500
  daulat provide --home ~/.daulat-provider --ledger ADDRESS`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Invite = args[0]
			}
			chosen, err := w.chosen(cmd)
			if err != nil {
				return err
			}
			o.Home = a.home
			switch chosen {
			case "hardware":
				return a.showHardware(cmd)
			case "install":
				return a.installProvide(cmd, o)
			case "uninstall":
				return a.uninstallProvide()
			}
			switch {
			case o.Invite != "" && o.Ledger != "":
				return usage("provide takes an INVITE or --ledger, not both")
			case o.Invite == "" && o.Ledger == "" && !a.runtime.Guest(a.home):
				return usage("provide needs an INVITE, which \"daulat invite\" makes in the home of a network; or --ledger ADDRESS on the same machine")
			}
			if ask {
				o.Passphrase = a.passphrase(cmd.Context())
			}
			if chosen == "estimate" {
				return a.showEstimate(cmd, o, &w)
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
	f.StringVar(&o.Link, "link", "", "IP:PORT at which other peers reach this one (default: of loopback)")
	f.StringVar(&o.Model, "model", "", "name or ID of a model (default: what most of the network serves)")
	f.Uint64Var(&o.InputPrice, "input-price", 200, "udlt per 1,000 prompt tokens")
	f.Uint64Var(&o.OutputPrice, "output-price", 1000, "udlt per 1,000 answer tokens")
	w.flags(f)
	passphraseFlag(cmd, &ask)
	return cmd
}
