package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) node() *cobra.Command {
	var o control.NodeOptions
	var ask bool
	cmd := &cobra.Command{
		Use:   "node [INVITE]",
		Short: "Follow the ledger of a network as a full node",
		Long: `Follow the ledger of a network: check and keep every block, and serve the ledger to others. The
INVITE names the network and is not used up. An empty home gets the ledger's state from a snapshot
of its peers, checked against the trusted header of the invite, or block by block if the ledger is
young or no peer has a snapshot. The home remembers the network, so later starts need no line.
Peers are reached through their links: no port has to be open, here or there. Ctrl-C ends it.

In the home of a testnet's validator it is that validator. While the ledger's last 100 blocks hold
signatures of its key that the home does not know of, it signs nothing and ends: another home has
the key. Where the ledger stands still without it, and no other home is left, --sole lets it sign.`,
		Example: `  daulat node INVITE --home ~/.daulat-node
  daulat node --home ~/.daulat-node
  daulat node --home ~/.daulat-testnet/validator-2`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if err := checkInvite(args[0]); err != nil {
					return err
				}
				o.Invite = args[0]
			}
			o.Home = a.home
			if ask {
				o.Passphrase = a.passphrase(cmd.Context())
			}
			return a.runtime.Node(cmd.Context(), o, a.progress(), func(n control.Node) {
				_ = a.print(n, func(w io.Writer) { // nothing to do about a closed terminal
					fmt.Fprintf(w, "ledger %s: RPC %s, REST %s, gRPC %s, P2P %s\n", n.Chain, n.Ledger, n.REST, n.GRPC, n.P2P)
					for _, at := range n.Link {
						fmt.Fprintf(w, "peers reach it at %s   (daulat invite --peer takes this)\n", at)
					}
				})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.P2P, "p2p", "", "IP:PORT at which other nodes reach this one (default a port of loopback)")
	f.StringVar(&o.Link, "link", "", "IP:PORT where peers reach it (default: the last; none: of loopback)")
	f.BoolVar(&o.Sole, "sole", false, "sign even so: no other home has the validator's key any more")
	passphraseFlag(cmd, &ask)
	return cmd
}
