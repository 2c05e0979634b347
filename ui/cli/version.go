package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which daulat this is, in one line",
		Example: "  daulat version",
		Args:    exactly(),
		RunE:    func(*cobra.Command, []string) error { return a.showVersion() },
	}
}

func (a *app) showVersion() error {
	v := a.runtime.Version()
	return a.print(v, func(w io.Writer) { fmt.Fprintln(w, versionLine(v)) })
}

func versionLine(v control.Version) string {
	parts := []string{"daulat " + cmp.Or(v.Module, "(devel)")}
	if v.Revision != "" {
		parts = append(parts, "revision "+v.Revision)
	}
	if v.Modified {
		parts = append(parts, "with changes")
	}
	if v.Program != "" {
		parts = append(parts, "file "+v.Program)
	}
	return strings.Join(append(parts, "home format "+v.HomeFormat, v.Go+" "+v.System), ", ")
}
