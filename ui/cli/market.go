package cli

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) job() *cobra.Command {
	ls := &cobra.Command{
		Use:     "ls",
		Short:   "List the jobs that this home ordered, those that nobody took too",
		Example: "  daulat job ls",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(a, control.Operations.Jobs, func(w io.Writer, jobs []control.Job) {
				rows := table{{"JOB", "STATE", "REQUESTS", "UDLT", "MODEL", "REASON"}}
				for _, j := range jobs {
					rows = rows.add(j.ID, j.State, j.Requests, j.Amount, modelText(j.Model, j.ModelID, j.Label), reason(j))
				}
				rows.write(w)
			})
		},
	}
	show := &cobra.Command{
		Use:     "show JOB",
		Short:   "Show one job whole",
		Example: "  daulat job show 1 --json",
		Args:    exactly("a JOB number"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usage("job %q is not a number", args[0])
			}
			return show(a, with(control.Operations.Job, id), func(w io.Writer, j control.Job) { sayJob(w, j) })
		},
	}
	return group("job", "Look at orders and sessions", ls, show)
}

// modelText is a model's name, or its ID, and what of its label is a warning.
func modelText(name, id, label string) string {
	text := cmp.Or(name, id)
	if warning, _, _ := strings.Cut(label, ":"); strings.HasPrefix(label, "unaudited") {
		text += ", " + warning
	}
	return text
}

// reason is why a job left the open state, whether its figures are the ledger's
// yet, and whether its consumer complained.
func reason(j control.Job) string {
	var parts []string
	if j.Reason != "" {
		parts = append(parts, j.Reason)
	}
	if j.Unsettled {
		parts = append(parts, notSettled)
	}
	if len(j.Complaints) > 0 {
		parts = append(parts, "complaint about "+strings.Join(j.Complaints, " "))
	}
	return strings.Join(parts, "; ")
}

const notSettled = "not settled yet"

func sayJob(w io.Writer, j control.Job) {
	fmt.Fprintf(w, "job       %d, %s\n", j.ID, line(j.State))
	if j.Reason != "" {
		fmt.Fprintf(w, "reason    %s\n", line(j.Reason))
	}
	note := ""
	if j.Unsettled {
		note = "; " + notSettled
	}
	fmt.Fprintf(w, "model     %s\nconsumer  %s\nprovider  %s\nrequests  %d for %d udlt, of %d in escrow%s\n",
		line(strings.TrimSpace(modelText(j.Model, "", j.Label)+"  "+j.ModelID)), line(j.Consumer), line(cmp.Or(j.Provider, "none")), j.Requests, j.Amount, j.Escrow, note)
	if len(j.Complaints) > 0 {
		fmt.Fprintf(w, "complaint the consumer found a lie in %s\n", line(strings.Join(j.Complaints, " ")))
	}
	if len(j.Receipts) > 0 {
		fmt.Fprintf(w, "receipts  %s\n", line(strings.Join(j.Receipts, " ")))
	}
}

func (a *app) provider() *cobra.Command {
	ls := &cobra.Command{
		Use:   "ls [MODEL]",
		Short: "List all offers on the network, as this home would choose",
		Long: `List all offers on the network, for one model if it is named, in the order in which this home
would choose: who served before, and then who costs the least, with what waiting for it and being
failed by it is worth. One session in 16 goes to a provider that nobody knows yet.`,
		Example: "  daulat provider ls",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			model := strings.Join(args, "")
			return show(a, with(control.Operations.Providers, model), func(w io.Writer, offers []control.Provider) {
				rows := table{{"#", "PROVIDER", "UDLT IN/OUT PER 1,000", "TOKENS/S", "MS", "HERE", "COMPLAINTS", "UNSERVED", "MODEL", "REASON"}}
				for _, o := range offers {
					rows = rows.add(place(o), o.Provider, fmt.Sprintf("%d/%d", o.Price.Input, o.Price.Output), speed(o), measured(o.Latency),
						fmt.Sprintf("%d of %d", o.Served, o.Served+o.Failed), o.Complaints, fmt.Sprintf("%d of %d", o.Unserved, o.Sessions), modelText(cmp.Or(o.Model, o.ModelID)+control.DigestText(o.Digest), "", o.Label), o.Reason)
				}
				rows.write(w)
			})
		},
	}
	return group("provider", "Look at who serves, and at this machine as one of them", ls, a.earned(), a.rest(), a.work())
}

// place is where an offer stands, if it gets orders.
func place(o control.Provider) string { return measured(uint64(o.Place)) }

func speed(o control.Provider) string {
	if o.Speed == 0 {
		return "-"
	}
	return fmt.Sprintf("%d.%d", o.Speed/1000, o.Speed%1000/100)
}

// measured is a number that may not be known.
func measured(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}
