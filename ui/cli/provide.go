package cli

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) provide() *cobra.Command {
	var o control.ProvideOptions
	var ask bool
	var m manners
	var w worth
	cmd := &cobra.Command{
		Use:   "provide [INVITE]",
		Short: "Sell answers from this machine on a network of others",
		Long: `Sell answers from this machine. One line from a friend, the INVITE, is all it takes: no coins, no
open port. The home remembers the network, so later starts need no line. The ledger is reached
through the friend's peers and is not trusted: what money hangs on comes with proofs.
Its pay is withheld for the challenge window, and its answers are run again at a rate that falls
as it earns.

Where Ollama, a llama.cpp server or vLLM runs on this machine (ports 11434, 8080 and 8000, or
OLLAMA_HOST), its models are offered instead: by the names that it gives them, as unaudited (A0,
declared), since nobody else can run them again. --upstream names another OpenAI-compatible
server, whose key, if it wants one, is in DAULAT_UPSTREAM_KEY; --upstream none looks for none. While
the server is gone its offers are taken back.

Ctrl-C takes its offers back and ends it; the ledger releases withheld pay without it.

The machine stays yours: it rests on battery, and with the flags below in the hours that you name,
while you use it and beyond what you give. A rest is at once: what is under way goes on elsewhere.
The page whose address it prints shows what it sells, does and earns, and why, as "daulat status"
does from another terminal; "daulat provider rest" takes the machine back, and "daulat provider
earned" plots the days. Once this has ended, "daulat up" in the same home asks on the network.

Before it serves it measures how fast this machine, or the server, runs the first model. --estimate
shows that, and what it would earn against electricity: it gets the model, but redeems no invite and
registers nothing.
--install has systemd start it at each login; the unit holds no secret.

With --ledger it sells beside a "daulat up" on the same machine, in a home of its own, and asks
for its first coin by its address.`,
		Example: `  daulat provide INVITE
  daulat provide
  daulat provide --when-idle 5m --quiet-hours 22:00-07:00 --max-cpu 50 --max-memory 4GiB
  daulat provide INVITE --estimate --watts 65 --electricity 250000
  daulat provide --install
  daulat model import my.gguf && daulat provide --model my --output-price 500
  daulat provide --upstream http://127.0.0.1:1234 --model qwen3:8b
  daulat provide --home ~/.daulat-provider --ledger ADDRESS`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if err := checkInvite(args[0]); err != nil {
					return err
				}
				o.Invite = args[0]
			}
			chosen, err := w.chosen(cmd)
			if err != nil {
				return err
			}
			if o.Manners, err = m.given(); err != nil {
				return err
			}
			if o.Ledger != "" && !isRPC(o.Ledger) {
				return usage("--ledger %q is not of the form tcp://HOST:PORT, as daulat status shows it", o.Ledger)
			}
			o.Home, o.UpstreamKey, o.Probe = a.home, os.Getenv("DAULAT_UPSTREAM_KEY"), probes()
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
				_ = a.print(p, func(w io.Writer) { a.sayProviding(w, p) }) // nothing to do about a closed terminal
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Ledger, "ledger", "", "RPC address of a ledger node on this machine, as daulat status shows it")
	f.StringVar(&o.Listen, "listen", "", "address of the page (default: a free port of loopback)")
	f.StringVar(&o.Link, "link", "", "IP:PORT open to others (default: the last; none: the invite's peers)")
	f.StringVar(&o.Model, "model", "", "name or ID of a model (default: all of a server's, or the network's)")
	f.StringVar(&o.Upstream, "upstream", "", "OpenAI-compatible server whose models to offer, or none")
	f.Uint64Var(&o.InputPrice, "input-price", 200, "udlt per 1,000 prompt tokens")
	f.Uint64Var(&o.OutputPrice, "output-price", 1000, "udlt per 1,000 answer tokens")
	m.flags(f)
	w.flags(f)
	passphraseFlag(cmd, &ask)
	return cmd
}

// isRPC reports that an address is of the form of a ledger node's RPC.
func isRPC(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "tcp" || u.Scheme == "http" || u.Scheme == "https") && u.Port() != ""
}

func (a *app) sayProviding(w io.Writer, p control.Providing) {
	var names []string
	for _, m := range p.Models {
		names = append(names, line(m.Name))
	}
	fmt.Fprintf(w, "serving %s for %d udlt in and %d udlt out per 1,000 tokens, as %s\n", strings.Join(names, ", "), p.Price.Input, p.Price.Output, line(p.Account))
	if len(p.Upstreams) > 0 {
		fmt.Fprintf(w, "answered by %s; %s\n", line(strings.Join(p.Upstreams, " and ")), line(p.Label))
	}
	fmt.Fprintf(w, "page    %s\n        (what it sells and earns; the address holds the token: keep it to yourself)\n", p.Page)
	fmt.Fprintf(w, "(Ctrl-C here ends it; in another terminal this shows what it does and earns:  %s)\n", a.typed("status"))
}

// probes are the addresses at which a server of models may run on this machine:
// where Ollama, llama.cpp and vLLM listen unless they are told otherwise, or those
// in DAULAT_UPSTREAM_PROBE, separated by commas.
func probes() []string {
	if set, ok := os.LookupEnv("DAULAT_UPSTREAM_PROBE"); ok {
		return strings.FieldsFunc(set, func(r rune) bool { return r == ',' || r == ' ' })
	}
	return []string{ollama(os.Getenv("OLLAMA_HOST")), "http://127.0.0.1:8080", "http://127.0.0.1:8000"}
}

// ollama is where an Ollama is reached that listens at host, in the forms that its
// own variable may have.
func ollama(host string) string {
	const port = "11434"
	scheme, rest, ok := strings.Cut(host, "://")
	if !ok {
		scheme, rest = "http", host
	}
	name, number, ok := strings.Cut(strings.TrimRight(rest, "/"), ":")
	if !ok {
		number = port
	}
	if name == "" || name == "0.0.0.0" {
		name = "127.0.0.1"
	}
	return scheme + "://" + name + ":" + cmp.Or(number, port)
}
