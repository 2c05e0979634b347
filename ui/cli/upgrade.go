package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) upgrade() *cobra.Command {
	cmd := group("upgrade", "Change the ledger's rules at a height that its validators vote on", a.proposeUpgrade(), a.voteUpgrade(), a.upgrades())
	cmd.Long = `Change the ledger's rules at a height that its validators vote on. At that height each node whose
program does not know the new rules ends with one sentence and status 5, and nothing is lost: the
new program goes on from the same home. It refuses to start before, as the old one does after.`
	return cmd
}

func (a *app) proposeUpgrade() *cobra.Command {
	return &cobra.Command{
		Use:     "propose PLAN HEIGHT",
		Short:   "Propose an upgrade, which locks a deposit of this home's coins",
		Example: "  daulat upgrade propose v2 120000 --home ~/.daulat-testnet",
		Args:    exactly("the name of a PLAN that the new program knows", "the HEIGHT of the first block under the new rules"),
		RunE: func(_ *cobra.Command, args []string) error {
			height, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || height < 1 {
				return usage("height %q is not the number of a block", args[1])
			}
			return a.operate(false, func(ctx context.Context, o control.Operator) error {
				id, err := o.ProposeUpgrade(ctx, args[0], height)
				if err != nil {
					return err
				}
				return a.print(map[string]any{"id": id}, func(w io.Writer) {
					fmt.Fprintf(w, "proposal %d: upgrade %s at block %d; validators vote with daulat upgrade vote %d yes\n", id, line(args[0]), height, id)
				})
			})
		},
	}
}

func (a *app) voteUpgrade() *cobra.Command {
	return &cobra.Command{
		Use:     "vote PROPOSAL yes|no",
		Short:   "Vote on an upgrade with this home's stake",
		Example: "  daulat upgrade vote 1 yes --home ~/.daulat-node",
		Args:    exactly("the number of a PROPOSAL", "yes or no"),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || id == 0 {
				return usage("proposal %q is no number of one", args[0])
			}
			if args[1] != "yes" && args[1] != "no" {
				return usage("a vote is yes or no, not %q", args[1])
			}
			return a.operate(false, func(ctx context.Context, o control.Operator) error {
				if err := o.Vote(ctx, id, args[1] == "yes"); err != nil {
					return err
				}
				return a.print(map[string]any{"id": id, "vote": args[1]}, func(w io.Writer) { fmt.Fprintf(w, "voted %s on proposal %d\n", args[1], id) })
			})
		},
	}
}

func (a *app) upgrades() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show what is planned, and what is voted on",
		Example: "  daulat upgrade status --home ~/.daulat-node",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			return books(a, control.Books.Upgrades, func(w io.Writer, u control.Upgrades) {
				fmt.Fprintf(w, "the ledger is at block %d; ", u.Height)
				if u.Plan == "" {
					fmt.Fprintln(w, "no upgrade is planned")
				} else {
					fmt.Fprintf(w, "upgrade %s is planned for block %d\n", line(u.Plan), u.At)
				}
				if len(u.Proposals) == 0 {
					return
				}
				rows := table{{"PROPOSAL", "PLAN", "HEIGHT", "STATE", "VOTE ENDS"}}
				for _, p := range u.Proposals {
					rows = rows.add(p.ID, line(p.Plan), p.Height, p.State, p.Ends.Local().Format(time.DateTime))
				}
				rows.write(w)
			})
		},
	}
}
