package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) model() *cobra.Command {
	pull := &cobra.Command{
		Use:     "pull",
		Short:   "Fetch the default model into this home",
		Example: "  daulat model pull",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.runtime.PullModel(cmd.Context(), a.home, a.progress())
			if err != nil {
				return err
			}
			return a.printModel(m)
		},
	}
	var name, licence string
	load := &cobra.Command{
		Use:     "import FILE",
		Short:   "Put a GGUF file on this home's shelf",
		Example: "  daulat model import ~/models/my.gguf --licence Apache-2.0",
		Args:    exactly("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name == "" {
				name = strings.TrimSuffix(filepath.Base(args[0]), ".gguf")
			}
			m, err := a.runtime.ImportModel(cmd.Context(), a.home, args[0], name, licence, a.progress())
			if err != nil {
				return err
			}
			return a.printModel(m)
		},
	}
	load.Flags().StringVar(&name, "name", "", "name to ask for it by (default: the file's)")
	load.Flags().StringVar(&licence, "licence", "LicenseRef-unknown", "SPDX licence of the weights")
	ls := &cobra.Command{
		Use:     "ls",
		Short:   "List the models of this home",
		Example: "  daulat model ls",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			models, err := a.runtime.Models(a.home)
			if err != nil {
				return err
			}
			return a.print(models, func(w io.Writer) {
				for _, m := range models {
					fmt.Fprintf(w, "%-28s %s\n", m.Name, m.ID)
				}
			})
		},
	}
	return group("model", "Fetch, import and list models", pull, load, ls)
}

func (a *app) printModel(m control.Model) error {
	return a.print(m, func(w io.Writer) { fmt.Fprintf(w, "%s  %s\n", m.Name, m.ID) })
}
