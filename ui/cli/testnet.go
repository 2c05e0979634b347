package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) testnet() *cobra.Command {
	var o control.TestnetOptions
	cmd := &cobra.Command{
		Use:   "testnet",
		Short: "Run a ledger of several validators on this machine",
		Long: `Run a ledger of several validators, each a process of its own on loopback, with its home in
HOME/validator-1 and so on. Four survive the loss of any one; with two gone the ledger stands
still until one is back, and never forks. A validator that is killed stays so until it is started
by hand with "daulat node --home HOME/validator-2". A second start of the same HOME goes on where
the first stopped, with the settings that it was made with. Ctrl-C ends all validators that this
command started.

With --machines it founds the ledger for validators on machines of their own, starts nothing, and
says which home to copy to which machine; a later start of the same HOME prints invites to it.

Each start prints invites, with which providers and askers join. The default HOME is that of
"daulat up" with -testnet behind it.`,
		Example: `  daulat testnet
  daulat testnet --validators 4 --home /tmp/net
  daulat testnet --machines 10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4
  daulat provide INVITE --home /tmp/provider
  daulat ask --network INVITE --home /tmp/me "What is the capital of Indonesia?"
  daulat provide --ledger RPC-ADDRESS --home /tmp/provider
  daulat node INVITE --home /tmp/node`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.BlockTime < 10*time.Millisecond || o.BlockTime > time.Minute {
				return usage("--block-time must lie between 10ms and 1m")
			}
			if o.VotingPeriod < 2*time.Second || o.VotingPeriod > 30*24*time.Hour {
				return usage("--voting-period must lie between 2s and 720h")
			}
			if o.SnapshotEvery == 0 || o.ChallengeWindow == 0 || o.Invites < 0 || o.Invites > 16 {
				return usage("--snapshot-every and --challenge-window must be at least 1, and --invites 0 to 16")
			}
			if cmd.Flags().Changed("machines") && (len(o.Machines) == 0 || cmd.Flags().Changed("validators")) {
				return usage("--machines names one validator or more, each by an address, and takes no --validators")
			}
			if o.Home = a.home; !cmd.Flags().Changed("home") {
				o.Home += "-testnet"
			}
			return a.runtime.Testnet(cmd.Context(), o, a.progress(), func(t control.Testnet) {
				_ = a.print(t, func(w io.Writer) { sayTestnet(w, t) }) // nothing to do about a closed terminal
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Validators, "validators", 4, "how many, set at the founding")
	f.StringSliceVar(&o.Machines, "machines", nil, "a machine for each validator, as IP or IP:PORT (4748)")
	f.DurationVar(&o.BlockTime, "block-time", 500*time.Millisecond, "pause between two blocks, set at the founding")
	f.Uint64Var(&o.SnapshotEvery, "snapshot-every", 100, "blocks between two snapshots, set at the founding")
	f.Uint64Var(&o.ChallengeWindow, "challenge-window", control.TrialChallengeWindow, "seconds of withholding pay, set at the founding")
	f.DurationVar(&o.VotingPeriod, "voting-period", 48*time.Hour, "how long validators vote, set at the founding")
	f.IntVar(&o.Invites, "invites", 2, "how many invites to make")
	return cmd
}

// sayMachines says where the validators of a ledger for several machines run.
func sayMachines(w io.Writer, t control.Testnet) {
	fmt.Fprintf(w, "\nThe ledger %s has %d validators on machines of their own.\n", t.Chain, len(t.Machines))
	for _, m := range t.Machines {
		_, at, _ := strings.Cut(m.P2P, "@")
		fmt.Fprintf(w, "  %s  runs: %s\n", at, line(m.Restart))
	}
	if t.Trust == "" {
		fmt.Fprintf(w, `
Move each of these homes to its machine, whole and to one place only: two nodes with one key lose
their stake. Start all of them there. Then, here, this makes invites:
  %s testnet --home %s
`, quoted(os.Args[0]), line(quoted(t.Home)))
		return
	}
	fmt.Fprintf(w, "  trust   %s\n", t.Trust)
}

func sayTestnet(w io.Writer, t control.Testnet) {
	if len(t.Machines) > 0 {
		sayMachines(w, t)
		sayInvites(w, t)
		return
	}
	fmt.Fprintf(w, "\nThe ledger %s is up.\n  trust   %s\n", t.Chain, t.Trust)
	for _, v := range t.Validators {
		fmt.Fprintf(w, "  ledger  %s  process %d, again with: %s\n", v.Ledger, v.PID, line(v.Restart))
	}
	sayInvites(w, t)
	fmt.Fprint(w, "Ctrl-C here ends everything.\n")
}

func sayInvites(w io.Writer, t control.Testnet) {
	where := ""
	if len(t.Machines) == 0 {
		where = ", for this machine alone"
	}
	for _, i := range t.Invites {
		fmt.Fprintf(w, "\nAn invite%s:\n%s\n", where, line(i))
	}
	if len(t.Invites) > 0 {
		fmt.Fprintf(w, `
To sell answers:  %[1]s provide INVITE
To ask:           %[1]s ask --network INVITE "What is the capital of Indonesia?"
To follow it:     %[1]s node INVITE
`, there(len(t.Machines) == 0))
	}
}
