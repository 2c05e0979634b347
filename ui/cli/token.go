package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) token() *cobra.Command {
	return group("token", "Let other programs ask, each within limits of its own", a.newToken(), a.tokens(), a.revokeToken())
}

func (a *app) newToken() *cobra.Command {
	var t control.TokenTerms
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make an API token; its secret is shown this once",
		Long: `Make an API token for another program. Its bearer can ask through the OpenAI-compatible API, up to
the limits, and can do nothing else: not send coins, not see this home's receipts. The home keeps
only a hash of the secret, so note it now. A running daulat takes the token at once.`,
		Example: `  daulat token new bot
  daulat token new bot --daily 5000000 --at-once 2 --json | jq -r .token`,
		Args: exactly("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Name = args[0]
			if err := t.Check(); err != nil {
				return err
			}
			at, err := a.attach()
			if err != nil {
				return err
			}
			made, err := at.Operations.NewToken(cmd.Context(), t)
			if err != nil {
				return err
			}
			return a.print(made, func(w io.Writer) {
				fmt.Fprintf(w, "token %s may spend %d udlt a day, with %d requests at once\n%s\nNobody can show this again. To use it: OPENAI_BASE_URL=%s OPENAI_API_KEY=TOKEN\n",
					line(made.Name), made.Daily, made.AtOnce, line(made.Token), line(at.API))
			})
		},
	}
	cmd.Flags().Uint64Var(&t.Daily, "daily", 1_000_000, "udlt that it may spend in a UTC day")
	cmd.Flags().IntVar(&t.AtOnce, "at-once", 4, "requests that it may have at a time")
	return cmd
}

func (a *app) tokens() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the API tokens, what each may spend and spent today",
		Example: "  daulat token ls",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(a, control.Operations.Tokens, func(w io.Writer, all []control.Token) {
				rows := table{{"TOKEN", "UDLT TODAY", "OF UDLT A DAY", "AT ONCE"}}
				for _, t := range all {
					rows = rows.add(t.Name, t.Spent, t.Daily, t.AtOnce)
				}
				rows.write(w)
			})
		},
	}
}

func (a *app) revokeToken() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke NAME",
		Short:   "End an API token at once, with the answers that it is being given",
		Example: "  daulat token revoke bot",
		Args:    exactly("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := a.attach()
			if err != nil {
				return err
			}
			if err := at.Operations.RevokeToken(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.print(map[string]any{"name": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "token %s is revoked\n", args[0]) })
		},
	}
}
