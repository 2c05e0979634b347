package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) earned() *cobra.Command {
	var days int
	cmd := &cobra.Command{
		Use:   "earned",
		Short: "Plot what this home's provider earned, day by day",
		Long: `Plot what this home's provider earned: for each day (UTC) the pay of the sessions that ended on
it, released or still withheld.`,
		Example: "  daulat provider earned\n  daulat provider earned --days 7 --json",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			return books(a, with(control.Books.Earned, days), plotDays)
		},
	}
	cmd.Flags().IntVar(&days, "days", 14, "how many days, today included")
	return cmd
}

// plotWidth is the longest bar, in characters.
const plotWidth = 40

// plotDays draws a bar for each day, the longest for the best.
func plotDays(w io.Writer, days []control.EarnedDay) {
	var best, sum uint64
	for _, d := range days {
		best, sum = max(best, d.Earned), sum+d.Earned
	}
	rows := table{}
	for _, d := range days {
		rows = rows.add(d.Day, bar(d.Earned, best), fmt.Sprintf("%d udlt", d.Earned), control.Count(d.Requests, "request")+" in "+control.Count(d.Sessions, "session"))
	}
	rows.write(w)
	fmt.Fprintf(w, "%d udlt in %d days\n", sum, len(days))
}

// bar is as long as part is of whole, to an eighth of a character; what is more
// than nothing can be seen.
func bar(part, whole uint64) string {
	if part == 0 {
		return ""
	}
	eighths := max(1, int(float64(part)/float64(whole)*plotWidth*8+0.5))
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return text
}

func (a *app) rest() *cobra.Command {
	return &cobra.Command{
		Use:   "rest",
		Short: "Take the machine back: no work until \"daulat provider work\"",
		Long: `Take the machine back. What is under way stops at once and goes on elsewhere, the offers are taken
back, and what was earned is still settled. It lasts until "daulat provider work" or a restart.`,
		Example: "  daulat provider rest",
		Args:    exactly(),
		RunE:    func(*cobra.Command, []string) error { return a.setRest(true) },
	}
}

func (a *app) work() *cobra.Command {
	return &cobra.Command{
		Use:     "work",
		Short:   "Let the machine work again, as its rules have it",
		Example: "  daulat provider work",
		Args:    exactly(),
		RunE:    func(*cobra.Command, []string) error { return a.setRest(false) },
	}
}

func (a *app) setRest(rest bool) error {
	at, err := a.runtime.Attach(a.home) // who serves nothing rests already
	if err != nil {
		return err
	}
	if err := at.Operations.Rest(a.ctx, rest); err != nil {
		return err
	}
	s, err := at.Operations.Status(a.ctx)
	if err != nil {
		return err
	}
	return a.print(s, func(w io.Writer) { fmt.Fprintln(w, line(control.Work(s.Resting))) })
}
