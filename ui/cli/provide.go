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
		Use:   "provide",
		Short: "Sell answers from this machine, in a process of its own",
		Long: `Sell answers from this machine on the ledger of a "daulat up"; "daulat status" there shows the
ledger's address. The provider needs a home of its own and one coin, which it asks for by name.
Its pay is withheld for the challenge window, and its answers are run again at a rate that falls
as it earns. Ctrl-C takes its offers back and ends it; the ledger releases withheld pay without it.`,
		Example: `  daulat model pull --home ~/.daulat-provider
  daulat provide --home ~/.daulat-provider --ledger ADDRESS`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Ledger == "" {
				return usage("provide needs --ledger ADDRESS; \"daulat status\" in the network's home shows it")
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
	f.StringVar(&o.Ledger, "ledger", "", "RPC address of a ledger node, as daulat status shows it")
	f.StringVar(&o.Model, "model", "SmolLM2-135M-Instruct", "name or ID of a model on the shelf")
	f.Uint64Var(&o.InputPrice, "input-price", 200, "udlt per 1,000 prompt tokens")
	f.Uint64Var(&o.OutputPrice, "output-price", 1000, "udlt per 1,000 answer tokens")
	passphraseFlag(cmd, &ask)
	return cmd
}
