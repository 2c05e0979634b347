package cli

import (
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) model() *cobra.Command {
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
				if len(models) == 0 {
					fmt.Fprintln(w, "no models here yet: daulat model pull fetches one, daulat model import FILE takes yours")
				}
				var rows table
				for _, m := range models {
					rows = rows.add(m.Name, m.ID)
				}
				rows.write(w)
			})
		},
	}
	return group("model", "Fetch, import and list models", a.pullModel(), a.importModel(), ls)
}

func (a *app) pullModel() *cobra.Command {
	var o control.PullOptions
	cmd := &cobra.Command{
		Use:   "pull [URL]",
		Short: "Download the default model, or the GGUF file at an address, into this home",
		Example: `  daulat model pull
  daulat model pull https://example.org/models/my.gguf --licence Apache-2.0 --sha256 HEX`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("daulat model pull does not know what to do with %q", args[1])
			}
			if len(args) == 1 {
				o.URL = args[0]
			}
			if o.URL == "" && (o.SHA256 != "" || o.Name != "") {
				return usage("the default model has its own name and hash: --name and --sha256 go with a URL")
			}
			if err := checkSHA256(o.SHA256); err != nil {
				return err
			}
			o.Home = a.home
			m, err := a.runtime.PullModel(cmd.Context(), o, a.progress())
			if err != nil {
				return err
			}
			return a.printModel(m)
		},
	}
	modelFlags(cmd, &o.Name, &o.Licence)
	cmd.Flags().StringVar(&o.SHA256, "sha256", "", "take the file only if it has this hash; plain http needs it")
	return cmd
}

func checkSHA256(text string) error {
	if hash, err := hex.DecodeString(text); err != nil || text != "" && len(hash) != 32 {
		return usage("--sha256 %q is not 64 hexadecimal digits", text)
	}
	return nil
}

func (a *app) importModel() *cobra.Command {
	var name, licence string
	cmd := &cobra.Command{
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
	modelFlags(cmd, &name, &licence)
	return cmd
}

// modelFlags are what pull and import share.
func modelFlags(cmd *cobra.Command, name, licence *string) {
	cmd.Flags().StringVar(name, "name", "", "name to ask for it by (default: the file's)")
	cmd.Flags().StringVar(licence, "licence", "LicenseRef-unknown", "SPDX licence of the weights")
}

func (a *app) printModel(m control.Model) error {
	return a.print(m, func(w io.Writer) { fmt.Fprintf(w, "%s  %s\n", line(m.Name), line(m.ID)) })
}
