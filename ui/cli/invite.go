package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) invite() *cobra.Command {
	var t control.InviteTerms
	cmd := group("invite", "Let somebody else's machine join, with one line of text", a.invites(), a.revokeInvite())
	cmd.Long = `Make an invite: one line that lets somebody without coins join this network, as a provider
(daulat provide INVITE) or to ask (daulat ask --network INVITE). It holds the network's addresses
and trusted header, and a key under which the ledger locks a welcome grant. Whoever has the line
first has the grant, so send it as you would send money. It works once, and where the addresses are
reached: those of "daulat up --link IP:PORT", or else of this machine alone.`
	cmd.Example = "  daulat invite\n  daulat invite --grant 500000 --expires 24h\n" +
		"  daulat invite --peer /ip4/203.0.113.7/tcp/4700/p2p/12D3KooW...\n" + cmd.Example
	help := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return help(cmd, args)
		}
		return books(a, with(control.Books.NewInvite, t), func(w io.Writer, made control.NewInvite) {
			fmt.Fprintf(w, `An invite for one machine, good until %s, with %d udlt. %s:

%s

%[7]sTo sell answers there:  %[5]s provide INVITE
To ask from there:      %[5]s ask --network INVITE "What is the capital of Indonesia?"
To take it back:        %[6]s
`, made.Expires.Local().Format(time.DateTime), made.Grant, whom(made), line(made.Line), there(made.OnlyHere), a.typed("invite revoke "+short(made.ID)), sendAlong(made))
			if made.OnlyHere {
				fmt.Fprint(w, `
For friends elsewhere a network needs an address that they reach: start it with "daulat up --link
IP:PORT", or found one with "daulat testnet --machines IP,IP,...", and invite again.
`)
			}
			if made.Near != "" {
				fmt.Fprintf(w, `
The address in the line is one of your own network: the line works for machines there. For friends
elsewhere have your router pass its port on to this machine, and invite again with
--peer %s
`, line(passedOn(made.Near)))
			}
		})
	}
	cmd.Flags().Uint64Var(&t.Grant, "grant", 1_000_000, "udlt that the newcomer gets, from this home's wallet")
	cmd.Flags().DurationVar(&t.Life, "expires", 7*24*time.Hour, "how long the line is good")
	cmd.Flags().StringArrayVar(&t.Peers, "peer", nil, "`ADDRESS` of one more peer that relays, as its daulat node shows it")
	return cmd
}

// sendAlong is what a friend who never heard of daulat needs beside the line.
func sendAlong(made control.NewInvite) string {
	if made.OnlyHere {
		return ""
	}
	return `Tell your friend: this line lets your machine into our network, where people answer each other's
questions with AI; all it needs is one file, the program daulat. (make dist makes that file for each
system, in dist/.)

`
}

// passedOn is where a peer is reached whose router passes the port on.
func passedOn(near string) string {
	parts := strings.Split(near, "/") // the first is empty
	if len(parts) > 2 {
		parts[1], parts[2] = "ip4", "PUBLIC-IP"
	}
	return strings.Join(parts, "/")
}

// whom says for whom the line of an invite is.
func whom(made control.NewInvite) string {
	if made.OnlyHere {
		return "It works on this machine alone"
	}
	if made.Near != "" {
		return "Send this line to a friend in your own network"
	}
	return "Send this line to a friend"
}

// there is the program as a guest types it, who on this machine needs a home of its
// own.
func there(onlyHere bool) string {
	if onlyHere {
		return quoted(os.Args[0]) + " --home OTHER-HOME"
	}
	return "daulat"
}

// short is enough of an ID to tell it from others of the same home.
func short(id string) string { return line(id[:min(len(id), 8)]) }

func (a *app) invites() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the invites of this home, what they cost and what bounds them",
		Example: "  daulat invite ls",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return books(a, control.Books.Invites, func(w io.Writer, all control.Invites) {
				rows := table{{"INVITE", "STATE", "UDLT", "EXPIRES", "GUEST"}}
				for _, i := range all.Invites {
					rows = rows.add(short(i.ID), i.State, i.Grant, i.Expires.Local().Format(time.DateTime), cmp.Or(i.Guest, "-"))
				}
				rows.write(w)
				fmt.Fprintf(w, "%d of %d invites are open and lock %d udlt; guests got %d udlt. One grants %d udlt at the most.\n",
					all.Open, all.MaxOpen, all.Locked, all.Given, all.MaxGrant)
			})
		},
	}
}

func (a *app) revokeInvite() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke INVITE",
		Short:   "Take an invite that nobody redeemed back, and its grant",
		Example: "  daulat invite revoke 3f9a1c02",
		Args:    exactly("an INVITE, as daulat invite ls shows it"),
		RunE: func(_ *cobra.Command, args []string) error {
			revoke := func(b control.Books, ctx context.Context) (map[string]any, error) {
				return map[string]any{"id": args[0]}, b.RevokeInvite(ctx, args[0])
			}
			return books(a, revoke, func(w io.Writer, _ map[string]any) { fmt.Fprintf(w, "invite %s is revoked\n", line(args[0])) })
		},
	}
}
