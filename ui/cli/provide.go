package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) provide() *cobra.Command {
	var o control.ProvideOptions
	var ask bool
	var memory string
	cmd := &cobra.Command{
		Use:   "provide [INVITE]",
		Short: "Sell answers from this machine on a network of others",
		Long: `Sell answers from this machine. One line from a friend, the INVITE, is all it takes: no coins, no
open port. The home remembers the network, so later starts need no line. The ledger is reached
through the friend's peers and is not trusted: what money hangs on comes with proofs.
Its pay is withheld for the challenge window, and its answers are run again at a rate that falls
as it earns. Ctrl-C takes its offers back and ends it; the ledger releases withheld pay without it.

The machine stays yours: it rests on battery, and with the flags below in the hours that you name,
while you use it and beyond what you give. A rest is at once: what is under way goes on elsewhere.
From another terminal "daulat status" shows what it does and earns and why, "daulat provider rest"
takes the machine back, and "daulat provider earned" plots the days.

With --ledger it sells beside a "daulat up" on the same machine, in a home of its own, and asks
for its first coin by its address.`,
		Example: `  daulat provide INVITE
  daulat provide
  daulat provide --when-idle 5m --quiet-hours 22:00-07:00 --max-cpu 50 --max-memory 4GiB
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
			if o.Manners.WhenIdle < 0 {
				return usage("--when-idle can't be negative")
			}
			if o.Manners.Processor < 1 || o.Manners.Processor > 100 {
				return usage("--max-cpu must be 1 to 100 percent")
			}
			var err error
			if o.Manners.Memory, err = parseSize(memory); err != nil {
				return usage("--max-memory: %w", err)
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
	f.StringVar(&o.Link, "link", "", "IP:PORT at which other peers reach this one (default: of loopback)")
	f.StringVar(&o.Model, "model", "", "name or ID of a model (default: what most of the network serves)")
	f.Uint64Var(&o.InputPrice, "input-price", 200, "udlt per 1,000 prompt tokens")
	f.Uint64Var(&o.OutputPrice, "output-price", 1000, "udlt per 1,000 answer tokens")
	m := &o.Manners
	f.DurationVar(&m.WhenIdle, "when-idle", 0, "work only when you left the machine alone for so long, such as 5m")
	f.StringVar(&m.Quiet, "quiet-hours", "", "rest in these hours of each day, such as 22:00-07:00")
	f.BoolVar(&m.OnBattery, "on-battery", false, "work on battery too")
	f.IntVar(&m.Processor, "max-cpu", 100, "percent of all processors to use, on average over seconds")
	f.StringVar(&memory, "max-memory", "", "memory to use, such as 4GiB: no larger model, and a rest while it holds more")
	passphraseFlag(cmd, &ask)
	return cmd
}

// parseSize reads a number of bytes, MiB or GiB; an empty text is 0.
func parseSize(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	number, shift := text, 0
	for unit, bits := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			number, shift = n, bits
		}
	}
	n, err := strconv.ParseUint(number, 10, 64-shift)
	if err != nil || n == 0 || shift == 0 {
		return 0, fmt.Errorf("%q is no size such as 512MiB or 4GiB", text)
	}
	return n << shift, nil
}
