package cli

import (
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/spf13/cobra"
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
			written := map[string]any{"file": file, "bytes": len(e.Bundle), "trust": e.Trust}
			return a.print(written, func(w io.Writer) {
				fmt.Fprintf(w, "%s written (%d bytes)\nCheck it anywhere: daulat verify %s --trust %s\n", file, len(e.Bundle), file, e.Trust)
			})
		},
	}
	export.Flags().StringVarP(&file, "output", "o", "", "file to write (default: RECEIPT.receipt)")
	return group("receipt", "Take receipts out, to give to others", export)
}
