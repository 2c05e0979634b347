package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

// maxBundle bounds the file that verify reads, in bytes.
const maxBundle = 8 << 20

func (a *app) verify() *cobra.Command {
	var o control.VerifyOptions
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check a receipt: run the model again and compare",
		Long: `Check a receipt without trusting anyone who made it. The ledger's validators are checked as a
light client does, from the trust line that you bring (the network's founder prints it; never
take it from the receipt). The model is fetched by its ID from any provider, or read from
--model, and runs again on this machine.

The status is 0 if the answer agrees, 3 if it does not or nobody can tell, 1 if the check could
not be done, and 2 for a wrong input such as a file that is no receipt. It is 4 where the model is
only declared: signatures and payment are checked then, and what it says is unaudited.`,
		Example: `  daulat verify answer.receipt --trust daulat-1@0f3a…:12:9bc4…
  daulat verify answer.receipt --trust LINE --model SmolLM2-135M-Instruct.Q4_1.gguf`,
		Args: exactly("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Trust == "" {
				return usage("verify needs --trust LINE: whom else should the check believe?")
			}
			bundle, err := readBundle(args[0])
			if err != nil {
				return err
			}
			o.Home, o.Bundle = a.home, bundle
			r, err := a.runtime.Verify(cmd.Context(), o, a.progress())
			if err != nil {
				return err
			}
			if err := a.print(r, func(w io.Writer) { sayReport(w, r) }); err != nil {
				return err
			}
			switch r.Verdict {
			case "agree":
				return nil
			case "unaudited":
				return errUnaudited
			}
			return errDisagree
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Trust, "trust", "", "trust line of the network")
	f.StringVar(&o.Model, "model", "", "GGUF file to run instead of fetching one; its ID must fit")
	return cmd
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
	for _, s := range r.Steps {
		mark := "✓"
		if !s.OK {
			mark = "✗"
		}
		fmt.Fprintf(w, "%s %-18s %s\n", mark, line(s.Name), line(s.Detail))
	}
	fmt.Fprintf(w, "\n%s\n", line(r.Line))
}
