package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) key() *cobra.Command {
	ls := &cobra.Command{
		Use:     "ls",
		Short:   "List this home's keys, as the ledger knows them",
		Example: "  daulat key ls",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(a, control.Operations.Keys, func(w io.Writer, keys []control.Key) {
				rows := table{{"KEY", "KIND", "STATE", "PUBLIC"}}
				for _, k := range keys {
					rows = rows.add(k.Name, k.Kind, keyState(k), k.Key)
				}
				rows.write(w)
			})
		},
	}
	return group("key", "Look at this home's keys, rotate and revoke them", ls, a.rotateKey(), a.revokeKey())
}

func keyState(k control.Key) string {
	if k.From == nil {
		return k.State
	}
	return k.State + ", from " + k.From.Local().Format(time.DateTime)
}

func (a *app) rotateKey() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate NAME",
		Short: "Have a fresh key take the place of this home's identity key",
		Long: `Have a fresh key take the place of the identity key, which signs the provider's receipts. The home
may sell meanwhile, or be stopped. The fresh key takes over after the ledger's delay; until then,
and for sessions that are open by then, the old one signs on. Answers go on all the while, and
nothing has to be restarted. Receipts that the old key signed stay good. Rotating again before the
delay is over replaces the key that waits.`,
		Example: "  daulat key rotate identity",
		Args:    exactly("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(a, with(control.Operations.RotateKey, args[0]), func(w io.Writer, k control.Key) {
				fmt.Fprintf(w, "%s key %s is %s\n", line(k.Name), line(k.Key), line(keyState(k)))
			})
		},
	}
}

func (a *app) revokeKey() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Put this home's identity key out of force, at once and for good",
		Long: `Put the identity key out of force, at once and for good: for a key that somebody else may have.
Nobody is matched with this provider until a fresh key takes over, after the ledger's delay; a
rotation begins by itself, unless one is under way. Sessions that are open keep the old key.`,
		Example: "  daulat key revoke identity",
		Args:    exactly("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(a, with(control.Operations.RevokeKey, args[0]), func(w io.Writer, k control.Key) {
				fmt.Fprintf(w, "%s key revoked; %s is %s, and nobody is matched until then\n", line(k.Name), line(k.Key), line(keyState(k)))
			})
		},
	}
}
