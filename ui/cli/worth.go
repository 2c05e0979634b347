package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"daulat/ui/control"
)

// worth are the flags of provide that start nothing: they say what the machine is
// and would earn, or put provide into the hands of systemd.
type worth struct {
	hardware, estimate, install, uninstall bool
	watts, perKWh                          uint64
}

// notInstalled are flags that a service is not started with.
var notInstalled = []string{"install", "uninstall", "hardware", "estimate", "watts", "electricity", "home", "json", "ask-passphrase", "until-eof", "help"}

func (w *worth) flags(f *pflag.FlagSet) {
	f.BoolVar(&w.hardware, "hardware", false, "show what this machine is, and start nothing")
	f.BoolVar(&w.estimate, "estimate", false, "show what this machine would earn, and register nothing")
	f.Uint64Var(&w.watts, "watts", 0, "with --estimate: what it draws at work (default: its energy counter)")
	f.Uint64Var(&w.perKWh, "electricity", 0, "with --estimate: udlt that a kWh is worth to you")
	f.BoolVar(&w.install, "install", false, "write a systemd user unit that provides with these flags")
	f.BoolVar(&w.uninstall, "uninstall", false, "remove that unit")
}

// chosen reports which of them is asked for, and refuses more than one.
func (w *worth) chosen(cmd *cobra.Command) (name string, err error) {
	for _, flag := range []string{"hardware", "estimate", "install", "uninstall"} {
		switch set, _ := cmd.Flags().GetBool(flag); {
		case set && name != "":
			return "", usage("provide takes --%s or --%s, not both", name, flag)
		case set:
			name = flag
		}
	}
	if name != "estimate" && (cmd.Flags().Changed("watts") || cmd.Flags().Changed("electricity")) {
		return "", usage("--watts and --electricity belong to --estimate")
	}
	return name, nil
}

func (a *app) showHardware(cmd *cobra.Command) error {
	h := a.runtime.Hardware(cmd.Context())
	return a.print(h, func(w io.Writer) { writeHardware(w, h) })
}

func writeHardware(w io.Writer, h control.Hardware) {
	t := table{}.add("system", h.OS+"/"+h.Arch).
		add("processor", orUnknown(h.CPU)+", "+control.Count(h.Cores, "core")).
		add("vectors", orUnknown(strings.Join(h.Features, " "))).
		add("memory", gibibytes(h.MemoryTotal)+", "+gibibytes(h.MemoryFree)+" free")
	for _, g := range h.GPUs {
		t = t.add("GPU", fmt.Sprintf("%s, memory %s, driver %s, bus %s", g.Name, gibibytes(g.MemoryTotal), orUnknown(g.Driver), orUnknown(g.Bus)))
	}
	if len(h.GPUs) == 0 {
		t = t.add("GPU", "none found")
	}
	for _, u := range h.Unknown {
		t = t.add("not known", u)
	}
	t.add("use", "models run on the processor; a GPU is shown and not used by this program's own engine").write(w)
}

func orUnknown(text string) string {
	if text == "" {
		return "not known"
	}
	return text
}

// gibibytes shows an amount with one digit, rounded down.
func gibibytes(n uint64) string {
	if n == 0 {
		return "not known"
	}
	return fmt.Sprintf("%d.%d GiB", n>>30, n&(1<<30-1)*10>>30)
}

func (a *app) showEstimate(cmd *cobra.Command, o control.ProvideOptions, w *worth) error {
	var p control.Power
	if cmd.Flags().Changed("watts") {
		if w.watts == 0 {
			return usage("--watts must be above 0")
		}
		p.Watts = &w.watts
	}
	if cmd.Flags().Changed("electricity") {
		p.PerKWh = &w.perKWh
	}
	e, err := a.runtime.Estimate(cmd.Context(), o, p, a.progress())
	if err != nil {
		return err
	}
	return a.print(e, func(w io.Writer) { writeEstimate(w, e) })
}

func writeEstimate(w io.Writer, e control.Estimate) {
	table{}.add("machine", e.Hardware.Line).
		add("model", estimated(e)).
		add("speed", fmt.Sprintf("%s prompt and %s answer tokens per second, one answer at a time: %s", control.Thousandths(e.Speed.Prefill), control.Thousandths(e.Speed.Decode), measuredBy(e))).
		add("price", fmt.Sprintf("%d udlt in and %d udlt out per 1,000 tokens", e.Price.Input, e.Price.Output)).
		add("a request", fmt.Sprintf("%d prompt and %d answer tokens pay %d udlt and take %s", e.Prompt, e.Answer, e.PerRequest, (time.Duration(e.RequestMicro)*time.Microsecond).Round(time.Millisecond))).
		add("power", powerText(e)).write(w)
	fmt.Fprintln(w)
	table{{"A DAY", "PAY UDLT", "ENERGY", "ELECTRICITY UDLT", "RESULT UDLT"}}.
		add(dayRow("at full use", e.Full)...).add(dayRow("at present use", e.Present)...).write(w)
	fmt.Fprintln(w)
	fmt.Fprintln(w, presentBasis(e.Use))
	if e.Full.Result == nil {
		fmt.Fprintln(w, "No price source exists yet for the coin: with --electricity UDLT, what a kWh is worth to you, and known power this shows pay minus electricity.")
	}
	fmt.Fprintln(w, "Nothing was started or registered. The coins of a test network are worthless.")
}

// estimated is the model that an estimate is about.
func estimated(e control.Estimate) string {
	text := modelText(e.Model, e.ModelID, e.Label)
	if e.Server != "" {
		text += ", at " + e.Server
	}
	if e.Models > 1 {
		text += fmt.Sprintf(": the first of %d there, and --model NAME takes another", e.Models)
	}
	return text
}

func measuredBy(e control.Estimate) string {
	if e.Server != "" {
		return "one short answer, measured here by the tokens that the server counts"
	}
	return fmt.Sprintf("the middle of %d measured here", e.Speed.Rounds)
}

func powerText(e control.Estimate) string {
	if e.Milliwatts == 0 {
		return "not known: " + e.PowerFrom
	}
	return control.Thousandths(e.Milliwatts) + " W: " + e.PowerFrom
}

func dayRow(name string, d control.EstimatedDay) []any {
	row := []any{name, d.Pay, "-", "-", "-"}
	if d.WattHours != nil {
		row[2] = control.Thousandths(*d.WattHours) + " kWh"
	}
	if d.Electricity != nil && d.Result != nil {
		row[3], row[4] = *d.Electricity, *d.Result
	}
	return row
}

// presentBasis says what present use rests on.
func presentBasis(u control.Use) string {
	hours := control.Thousandths(u.Seconds * 1000 / 3600)
	if u.Sessions == 0 {
		return fmt.Sprintf("Present use is nothing so far: the ledger shows no settled session for this model in the last %s hours.", hours)
	}
	return fmt.Sprintf("Present use rests on %s of the last %s hours, which paid %d udlt; other providers of the model: %d, with %s. It gives this machine its slots' share of that and is no promise.",
		control.Count(u.Sessions, "settled session"), hours, u.Paid, u.Providers, control.Count(u.Slots, "slot"))
}

// installProvide writes the unit, with the flags that were given and no invite:
// that is a secret, and a unit is none.
func (a *app) installProvide(cmd *cobra.Command, o control.ProvideOptions) error {
	switch {
	case o.Invite != "":
		return usage("an invite is a secret and would lie open in the service: run \"daulat provide INVITE\" once, then \"daulat provide --install\"")
	case o.Ledger == "" && !a.runtime.Guest(a.home):
		return usage("this home has joined no network that a service could serve: run \"daulat provide INVITE\" once before")
	case cmd.Flags().Changed("ask-passphrase"):
		return usage("a service has nobody to ask for a passphrase")
	}
	s, err := a.runtime.Install(o, given(cmd.Flags()))
	if err != nil {
		return err
	}
	return a.print(s, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s\nstart it, now and at each login:  %s\nsee what it says:                 %s\n", line(s.Unit), s.Start, s.Log)
		if s.Lacks != "" {
			fmt.Fprintln(w, s.Lacks)
		}
	})
}

// given are the flags of a command line that a service is started with, too.
func given(flags *pflag.FlagSet) (words []string) {
	flags.Visit(func(f *pflag.Flag) {
		if slices.Contains(notInstalled, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if several, ok := f.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, v := range values {
			words = append(words, "--"+f.Name+"="+v)
		}
	})
	return words
}

func (a *app) uninstallProvide() error {
	s, err := a.runtime.Uninstall()
	if err != nil {
		return err
	}
	return a.print(s, func(w io.Writer) {
		fmt.Fprintf(w, "removed %s\nif it runs, end it:  %s\n", line(s.Unit), s.Stop)
	})
}
