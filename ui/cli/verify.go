package cli

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

// maxBundle bounds the file that verify reads, in bytes.
const maxBundle = 8 << 20

func (a *app) verify() *cobra.Command {
	var o control.VerifyOptions
	var against []string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check a receipt: run the model again and compare",
		Long: `Check a receipt without trusting anyone who made it. The ledger's validators are checked as a
light client does, from the trust line that you bring with --trust (the network's founder prints
it, and an invite has one in it; never take it from the receipt). In a home that founded or joined
a network it may be left out: that home's own is believed then, and the output says so. The model
is fetched by its ID from any provider, or read from --model, and runs again on this machine.

The status is 0 if the answer agrees, 3 if it does not or nobody can tell, 1 if the check could
not be done, and 2 for a wrong input such as a file that is no receipt. It is 4 where the model is
only declared: signatures and payment are checked then, and what it says is unaudited.

Of a declared model, --replay has the answer read again by what you believe to be that model: a
GGUF file, a model of this home, or the address of a llama.cpp server. A server must be yours or
of somebody you trust, and never the provider's: whoever replays decides what fits. If it wants a
key, that is in DAULAT_REPLAY_KEY, which each server that you name gets. The answer is compared
with what could have been run instead: a smaller model, its weights in 4 bits, half its layers, a
cut prompt, another sampler. A file gives all but the smaller model by itself; --against names
that, and for a server also the 4-bit and the half model (other servers). The table shows for each
how much the answer speaks for it, from where on it does not fit (an honest answer does so in 1 of
1000 cases at most), and in how many cases such an answer would be seen, at the least. Below 99 %,
or where one is not given, it is inconclusive. The status is 3 if the answer does not fit, else 4:
even consistent is a statistical statement by this home alone, and no yes.`,
		Example: `  daulat verify answer.receipt --trust daulat-1@0f3a…:12:9bc4…
  daulat verify answer.receipt --trust LINE --model SmolLM2-135M-Instruct.Q4_1.gguf
  daulat verify answer.receipt --trust LINE --replay llama-8b.gguf --against smaller=llama-1b.gguf
  daulat verify answer.receipt --trust LINE --replay http://127.0.0.1:8080 \
    --against smaller=http://127.0.0.1:8081`,
		Args: exactly("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Trust == "" && cmd.Flags().Changed("trust") {
				return usage("the --trust LINE is empty: whom else should the check believe?")
			}
			var err error
			if o.Against, err = alternatives(o.Replay, against); err != nil {
				return err
			}
			bundle, err := readBundle(args[0])
			if err != nil {
				return err
			}
			o.Home, o.Bundle, o.ReplayKey = a.home, bundle, os.Getenv("DAULAT_REPLAY_KEY")
			r, err := a.runtime.Verify(cmd.Context(), o, a.progress())
			if err != nil {
				return err
			}
			if err := a.print(r, func(w io.Writer) { sayReport(w, r) }); err != nil {
				return err
			}
			switch {
			case r.Verdict == "agree":
				return nil
			case r.Verdict == "unaudited", o.Replay != "" && r.Verdict != "disagree":
				return errUnaudited
			}
			return errDisagree
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Trust, "trust", "", "trust line of the network, or an invite to it")
	f.StringVar(&o.Model, "model", "", "GGUF file to run instead of fetching one; its ID must fit")
	f.StringVar(&o.Replay, "replay", "", "GGUF file, model or llama.cpp server that reads it again")
	f.StringArrayVar(&against, "against", nil, "KIND=WHERE; the kinds: smaller, 4-bit, half the layers")
	return cmd
}

// alternatives reads the values of --against.
func alternatives(replay string, against []string) (map[string]string, error) {
	if replay == "" && len(against) > 0 {
		return nil, usage("--against needs --replay WHERE")
	}
	all := map[string]string{}
	for _, a := range against {
		kind, where, ok := strings.Cut(a, "=")
		if _, twice := all[kind]; !ok || kind == "" || where == "" || twice {
			return nil, usage("--against is KIND=WHERE, each kind once: %q is not", a)
		}
		all[kind] = where
	}
	return all, nil
}

func readBundle(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, control.WrongInput{Err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBundle+1))
	if err != nil {
		return nil, control.WrongInput{Err: err}
	}
	if len(data) > maxBundle {
		return nil, usage("%s is larger than any receipt", path)
	}
	return data, nil
}

func sayReport(w io.Writer, r control.Report) {
	if r.Trust != "" {
		fmt.Fprintf(w, "trust: %s\n", line(r.Trust))
	}
	for _, s := range r.Steps {
		mark := "✓"
		if !s.OK {
			mark = "✗"
		}
		fmt.Fprintf(w, "%s %-18s %s\n", mark, line(s.Name), line(s.Detail))
	}
	if r.Replay != nil {
		sayReplay(w, *r.Replay)
	}
	fmt.Fprintf(w, "\n%s\n", line(r.Line))
}

// sayReplay shows each test. An honest answer's statistic reaches no threshold, but in the stated share of cases.
func sayReplay(w io.Writer, r control.Replay) {
	fmt.Fprintf(w, "\n%d tokens read again by %s; false alarms in at most %.1f %% of cases\n", r.Tokens, line(r.With), 100*r.FalseAlarm)
	fmt.Fprintf(w, "  %-18s %9s %9s %12s\n", "against", "statistic", "threshold", "power (least)")
	for _, t := range r.Tests {
		power := "not measured"
		if t.Power != nil {
			power = fmt.Sprintf("%.2f %%", math.Floor(1e4**t.Power)/100)
		}
		fmt.Fprintf(w, "  %-18s %9.2f %9.2f %12s\n", line(t.Against), t.Statistic, t.Threshold, power)
	}
}
