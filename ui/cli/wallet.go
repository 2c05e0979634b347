package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

func (a *app) wallet() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "wallet",
		Short:   "Show this home's account and send coins",
		Example: "  daulat wallet\n  daulat wallet send ADDRESS 1000",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			held, err := a.held()
			if err != nil {
				return err
			}
			return a.print(held, func(w io.Writer) {
				fmt.Fprintf(w, "%s  %d udlt (test coins, worth nothing)\n", held.Address, held.Balance)
			})
		},
	}
	send := &cobra.Command{
		Use:     "send ADDRESS UDLT",
		Short:   "Send coins to an account",
		Example: "  daulat wallet send ADDRESS 1000",
		Args:    exactly("an ADDRESS", "an amount in UDLT"),
		RunE: func(_ *cobra.Command, args []string) error {
			amount, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil || amount == 0 {
				return badAmount(args[1])
			}
			send := func(b control.Books, ctx context.Context) (map[string]any, error) {
				return map[string]any{"to": args[0], "amount_udlt": amount}, b.Send(ctx, args[0], amount)
			}
			return books(a, send, func(w io.Writer, _ map[string]any) { fmt.Fprintf(w, "%d udlt sent to %s\n", amount, args[0]) })
		},
	}
	send.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if amount := negative.FindStringSubmatch(err.Error()); amount != nil {
			return badAmount(amount[1])
		}
		return control.WrongInput{Err: err}
	})
	cmd.AddCommand(send)
	return cmd
}

// held is what the home's account has: at the daulat that runs there, or on the
// ledger itself.
func (a *app) held() (held control.Account, err error) {
	if at, err := a.runtime.Attach(a.home); err == nil {
		s, err := at.Operations.Status(a.ctx)
		if err == nil && s.Unreached != "" {
			err = errors.New(s.Unreached)
		}
		return s.Wallet, err
	}
	return held, started(a.operate(false, func(ctx context.Context, o control.Operator) error {
		held, err = o.Account(ctx)
		return err
	}))
}

// negative finds an amount that was taken for a flag, in what is said of it.
var negative = regexp.MustCompile(` in (-[0-9]\S*)$`)

func badAmount(text string) error {
	return usage("amount %q is not a number of udlt above 0", text)
}

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show what runs here and what it earned",
		Example: "  daulat status",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return books(a, control.Books.Status, sayStatus)
		},
	}
}

func sayStatus(w io.Writer, s control.Status) {
	at, ledger, coins := fmt.Sprintf(" at height %d%s", s.Height, old(time.Since(s.Newest))), cmp.Or(s.Ledger, "reached through peers, which are not trusted"),
		fmt.Sprintf("  %d udlt", s.Wallet.Balance)
	if s.Unreached != "" {
		at, ledger, coins = "", "can't be asked now: "+line(s.Unreached), ""
	}
	fmt.Fprintf(w, "chain     %s%s\n", s.Chain, at)
	if s.Model != "" {
		fmt.Fprintf(w, "model     %s\n", line(s.Model))
	}
	if s.Page != "" {
		fmt.Fprintf(w, "page      %s   (its address holds the token: keep it to yourself)\n", s.Page)
	}
	if s.API != "" {
		fmt.Fprintf(w, "API       %s\n", s.API)
	}
	fmt.Fprintf(w, "ledger    %s\ntrust     %s\nwallet    %s%s\n", ledger, s.Trust, s.Wallet.Address, coins)
	if s.Provider != nil {
		sayEarnings(w, *s.Provider)
	}
	if d := s.Today; d != nil {
		fmt.Fprintf(w, "provider  %d udlt today for %s, by the journal here\n", d.Earned, control.Count(d.Requests, "request"))
	}
	if s.Provider != nil || s.Today != nil {
		if len(s.Sells) > 0 {
			fmt.Fprintf(w, "          %s\n", sells(s.Sells))
		}
		fmt.Fprintf(w, "          %s\n", line(control.Work(s.Resting)))
	}
	fmt.Fprintf(w, "keys      encrypted in the home; their passphrase: %s\n", s.Passphrase)
}

// oldBlock is how old the newest block may be without a word. Clocks differ.
const oldBlock = 30 * time.Second

// old says that the ledger stands still, as its newest block is of so long ago, or that
// it can't be of so long ago.
func old(age time.Duration) string {
	if age.Abs() < oldBlock {
		return ""
	}
	if age < 0 {
		return fmt.Sprintf(", whose time is %s ahead of this machine's clock: set the clock", -age.Round(time.Second))
	}
	return fmt.Sprintf(", %s old: it makes no blocks now, or this machine's clock is wrong", age.Round(time.Second))
}

func sayEarnings(w io.Writer, e control.Earnings) {
	fmt.Fprintf(w, "provider  %s\n          %s in %s, %s\n", e.Address,
		control.Count(e.Requests, "request"), control.Count(e.Sessions, "session"), control.Count(e.Complaints, "complaint"))
	fmt.Fprintf(w, "          %d udlt in open sessions, %d withheld, %d released\n", e.Open, e.Withheld, e.Released)
	rate, why := e.Audits()
	fmt.Fprintf(w, "          %s,\n          %s\n", rate, why)
}

// sells says what is on offer, which all has one price.
func sells(all []control.Sold) string {
	var names []string
	for _, m := range all {
		names = append(names, line(m.Model))
	}
	return fmt.Sprintf("sells %s for %d udlt in and %d udlt out per 1,000 tokens", strings.Join(names, ", "), all[0].Price.Input, all[0].Price.Output)
}
