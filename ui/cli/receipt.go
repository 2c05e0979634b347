package cli

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

var receiptID = regexp.MustCompile(`^[1-9][0-9]{0,19}-[1-9][0-9]{0,19}$`)

func (a *app) receipt() *cobra.Command {
	var file string
	export := &cobra.Command{
		Use:   "export RECEIPT",
		Short: "Write everything that a stranger needs to check one answer",
		Long: `Write one file with everything that a stranger needs to check one answer: the question, the
answer, the provider's receipt and the ledger's proof of it. Whoever has the file can read the
question and the answer. A session that is still open is settled first.`,
		Example: `  daulat receipt export 1-1 -o answer.receipt`,
		Args:    exactly("a RECEIPT such as 1-1"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !receiptID.MatchString(args[0]) {
				return usage("receipt %q is not SESSION-NUMBER, such as 1-1", args[0])
			}
			at, err := a.attach()
			if err != nil {
				return err
			}
			e, err := at.Operations.Export(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if file == "" {
				file = args[0] + ".receipt"
			}
			if err := os.WriteFile(file, e.Bundle, 0o600); err != nil {
				return err
			}
			written := map[string]any{"receipt": args[0], "file": file, "bytes": len(e.Bundle), "trust": e.Trust}
			return a.print(written, func(w io.Writer) {
				fmt.Fprintf(w, "%s written (%d bytes)\nCheck it anywhere: daulat verify %s --trust %s\n", file, len(e.Bundle), file, e.Trust)
			})
		},
	}
	export.Flags().StringVarP(&file, "output", "o", "", "file to write (default: RECEIPT.receipt)")
	return group("receipt", "List receipts, and take them out to give to others", a.receipts(), export)
}

func (a *app) receipts() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the receipts of what this home asked",
		Example: "  daulat receipt ls",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(a, control.Operations.Receipts, func(w io.Writer, all []control.Receipt) {
				rows := table{{"RECEIPT", "SESSION OPENED", "UDLT", "MODEL"}}
				for _, r := range all {
					rows = rows.add(r.Receipt, r.Opened.Local().Format(time.DateTime), r.Price, modelText(r.Model, r.ModelID, r.Label))
				}
				rows.write(w)
			})
		},
	}
}
