package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"daulat/ui/control"
)

// operate has the account of this home act on the ledger by itself.
func (a *app) operate(ask bool, use func(context.Context, control.Operator) error) error {
	o := control.OperateOptions{Home: a.home}
	if ask {
		o.Passphrase = a.passphrase(a.ctx)
	}
	return a.runtime.Operate(a.ctx, o, a.progress(), use)
}

func (a *app) validator() *cobra.Command {
	var terms control.StakeTerms
	var ask bool
	cmd := group("validator", "Let this home's ledger node sign blocks, and see who does",
		a.validators(), a.unjail(), a.leaveValidators())
	cmd.Long = `Make the node of this home, which "daulat node INVITE" follows the ledger with, a validator: it
signs blocks, with the weight of what its account stakes. The node may run meanwhile, and has to
run from then on. A second call shows how it does.

The key that signs lies in this home alone. Never run a copy of it, not even after a loss: a key
that signs two blocks of one height is out for good, and 5 % of its stake are gone. A copy signs
nothing while the ledger's last blocks hold signatures that it does not know of.`
	cmd.Example = "  daulat validator --home ~/.daulat-node --stake 5000000 --moniker rumah\n" + cmd.Example
	help := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return help(cmd, args)
		}
		if terms.Stake == 0 && cmd.Flags().Changed("stake") {
			return badAmount("0")
		}
		return a.operate(ask, func(ctx context.Context, o control.Operator) error { return a.becomeValidator(ctx, o, terms) })
	}
	cmd.Flags().Uint64Var(&terms.Stake, "stake", 0, "udlt to stake (default: all that the account has)")
	cmd.Flags().StringVar(&terms.Moniker, "moniker", "daulat", "name that others see")
	passphraseFlag(cmd, &ask)
	return cmd
}

// becomeValidator stakes unless that was done, and says how the validator does.
func (a *app) becomeValidator(ctx context.Context, o control.Operator, terms control.StakeTerms) error {
	v, runs, err := o.Validator(ctx)
	if err == nil && v == nil {
		if err = o.Stake(ctx, terms); err == nil {
			v, runs, err = o.Validator(ctx)
		}
	}
	if err != nil {
		return err
	}
	if v == nil {
		return errors.New("the ledger does not show the validator yet: ask again with daulat validator")
	}
	return a.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "validator  %s, run by %s\nstate      %s, power %d, %d udlt staked\nmissed     %d of the last %d blocks\n",
			line(v.Moniker), v.Account, v.State, v.Power, v.Stake, v.Missed, v.Window)
		if v.Why != "" {
			fmt.Fprintf(w, "why        %s\n", v.Why)
		}
		if !runs {
			fmt.Fprintf(w, "Its node does not run: start it with daulat node --home %s\n", line(quoted(a.home)))
		}
	})
}

func (a *app) validators() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List who signs blocks, and who is set aside and why",
		Example: "  daulat validator ls --home ~/.daulat-node",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			return books(a, control.Books.Validators, func(w io.Writer, all []control.Validator) {
				rows := table{{"VALIDATOR", "NAME", "STATE", "POWER", "MISSED", "WHY"}}
				for _, v := range all {
					rows = rows.add(v.Account, line(v.Moniker), v.State, v.Power, fmt.Sprintf("%d/%d", v.Missed, v.Window), v.Why)
				}
				rows.write(w)
			})
		},
	}
}

func (a *app) unjail() *cobra.Command {
	return &cobra.Command{
		Use:     "unjail",
		Short:   "Return as a validator that missed too many blocks",
		Example: "  daulat validator unjail --home ~/.daulat-node",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			return a.operate(false, func(ctx context.Context, o control.Operator) error {
				if err := o.Unjail(ctx); err != nil {
					return err
				}
				return a.print(map[string]any{"state": control.ValidatorBonded}, func(w io.Writer) { fmt.Fprintln(w, "the validator is back") })
			})
		},
	}
}

func (a *app) leaveValidators() *cobra.Command {
	return &cobra.Command{
		Use:     "leave",
		Short:   "Stop being a validator, and get the stake back after three weeks",
		Example: "  daulat validator leave --home ~/.daulat-node",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			return a.operate(false, func(ctx context.Context, o control.Operator) error {
				stake, err := o.Leave(ctx)
				if err != nil {
					return err
				}
				return a.print(map[string]any{"stake_udlt": stake}, func(w io.Writer) {
					fmt.Fprintf(w, "the validator left; %d udlt come back in three weeks, unless it is found to have signed twice\n", stake)
				})
			})
		},
	}
}
