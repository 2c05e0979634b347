package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link/session"
	"daulat/ui/control"
)

// servingFile is where a process that runs a ledger node says how to reach it, and
// which account of the home acts there.
const servingFile = "ledger.json"

type serving struct {
	Ledgers []string `json:"ledgers"` // RPC addresses, any of which will do
	Chain   string   `json:"chain"`
	Account string   `json:"account"` // name in the keyring
	// Peers reach the ledger, for invites.
	Peers []string `json:"peers"`
}

// serve notes s in the home until the returned function is called.
func (h Home) serve(s serving) (end func() error, err error) {
	path := h.path(servingFile)
	return func() error { return os.Remove(path) }, saveJSON(path, s)
}

// dial reaches the ledger through whichever of its nodes answers.
func (s serving) dial() (client.RPC, error) {
	var all []client.Peer
	for _, address := range s.Ledgers {
		rpc, err := client.Dial(address)
		if err != nil {
			return nil, err
		}
		all = append(all, client.Peer{Name: address, RPC: rpc})
	}
	return client.NewPeers(all), nil
}

// Operate opens the account that acts for a home, at the node that runs there, or
// through the peers of the network that it joined.
func (Runtime) Operate(ctx context.Context, o control.OperateOptions, say control.Progress, use func(context.Context, control.Operator) error) error {
	home := Home{dir: o.Home}
	if _, err := os.Stat(home.path("format")); errors.Is(err, fs.ErrNotExist) { // none is made for this
		return control.ErrNotRunning
	}
	home, err := OpenHome(o.Home)
	if err != nil {
		return err
	}
	release, err := home.pass(ctx, say, never)
	if errors.Is(err, context.Canceled) {
		return err
	}
	if err != nil {
		return operateBeside(ctx, home, o, use)
	}
	defer release()
	t := &tenant{home: home, say: say, ask: o.Passphrase}
	return errors.Join(operateAsGuest(ctx, t, use), t.close())
}

// operateBeside acts beside the process that runs the home's node.
func operateBeside(ctx context.Context, home Home, o control.OperateOptions, use func(context.Context, control.Operator) error) error {
	var s serving
	if err := loadJSON(home.path(servingFile), &s); err != nil {
		return err
	}
	if len(s.Ledgers) == 0 && exists(home.path(runningFile)) {
		return errors.New("stop the daulat that runs in this home first: it sells or asks with the same account")
	}
	if len(s.Ledgers) == 0 {
		return errors.New("a daulat runs in this home that takes no commands: it starts or ends just now, or is busy with one command")
	}
	passphrase, source, err := home.passphrase(o.Passphrase)
	if err != nil {
		return err
	}
	keyring, err := client.OpenKeyring(home.path("keyring"), passphrase)
	if err != nil {
		return err
	}
	key, err := keyring.Account(s.Account)
	if err != nil {
		return err
	}
	rpc, err := s.dial()
	if err != nil {
		return err
	}
	acts := account{client.New(rpc, s.Chain, key)}
	return use(ctx, operator{rules: rules{acts}, home: home, runs: true, trust: acts.Trust,
		shown: control.Status{Ledger: s.Ledgers[0], Links: s.Peers, Passphrase: source}, peers: s.Peers})
}

// operateAsGuest acts through the network's peers, whose ledger is checked.
func operateAsGuest(ctx context.Context, t *tenant, use func(context.Context, control.Operator) error) error {
	guest, err := t.home.isGuest()
	if err != nil {
		return err
	}
	if !guest && validator.Exists(t.home.path("chain")) && exists(t.home.path(nodeFile)) {
		return errors.New("the ledger of this home is reached through its node alone: start that with daulat node --home " + t.home.dir)
	}
	if !guest && exists(t.home.path(foundedFile)) {
		return errors.New("the validators of this home don't run: start them with daulat testnet --home " + t.home.dir)
	}
	if !guest {
		return control.ErrNotRunning
	}
	f, _, err := t.home.fleet()
	if err != nil {
		return err
	}
	if err := errors.Join(t.open(), t.openGuest("")); err != nil {
		return err
	}
	n, _, err := openNetwork(t.home, t.caller, "", t.say)
	if err != nil {
		return err
	}
	c, err := t.openAccount(ctx, n)
	if err == nil {
		err = c.Current(ctx)
	}
	if err != nil {
		return n.unreached(err)
	}
	o := operator{rules: rules{account{c}}, home: t.home, trust: func(context.Context) (client.Trust, error) { return n.trustRoot() },
		shown: control.Status{Passphrase: t.passphrase}, peers: f.peers()}
	if exists(t.home.path(salesFile)) {
		if o.sales, err = session.OpenJournal(t.home.path(salesFile)); err != nil {
			return err
		}
		t.onClose(o.sales.Close)
	}
	return errors.Join(use(ctx, o), n.save())
}

// operator implements control.Operator.
type operator struct {
	rules
	home  Home
	runs  bool // the node of the home
	trust func(context.Context) (client.Trust, error)
	shown control.Status   // what is known of the home itself
	peers []string         // that reach the ledger, for invites; a guest knows them from others
	sales *session.Journal // nil where nothing was sold, or another process has it
}

var _ control.Operator = operator{}

// Account implements control.Operator.
func (o operator) Account(ctx context.Context) (control.Account, error) {
	balance, err := o.Balance(ctx, o.account.Account())
	return control.Account{Address: o.account.Account(), Balance: balance}, err
}

// Status implements control.Books.
func (o operator) Status(ctx context.Context) (s control.Status, err error) {
	s, s.Chain = o.shown, o.ChainID()
	if s.Height, s.Newest, err = o.account.Status(ctx); err != nil {
		return s, err
	}
	if s.Wallet, err = o.Account(ctx); err != nil {
		return s, err
	}
	trust, err := o.trust(ctx)
	if err != nil {
		return s, err
	}
	s.Trust = trust.String()
	if o.sales == nil {
		return s, nil
	}
	earned, err := pastEarnings(ctx, o.account, o.sales)
	s.Provider, s.Resting = &earned, "no daulat runs in this home; daulat provide starts it"
	return s, err
}

// Earned implements control.Books.
func (o operator) Earned(_ context.Context, days int) ([]control.EarnedDay, error) {
	if o.sales == nil {
		return nil, control.WrongInput{Err: errNothingSold}
	}
	return perDay(o.sales, time.Now(), days)
}

// NewInvite implements control.Books.
func (o operator) NewInvite(ctx context.Context, t control.InviteTerms) (control.NewInvite, error) {
	if len(o.peers) == 0 {
		return control.NewInvite{}, errGuestInvites
	}
	trust, err := o.account.Trust(ctx)
	if err != nil {
		return control.NewInvite{}, err
	}
	return makeInvite(ctx, o.account, trust, o.peers, t)
}

// Invites implements control.Books.
func (o operator) Invites(ctx context.Context) (control.Invites, error) {
	return invitesOf(ctx, o.account)
}

// RevokeInvite implements control.Books.
func (o operator) RevokeInvite(ctx context.Context, id string) error {
	return revokeInvite(ctx, o.account, id)
}

// rules are what an account sees of them.
type rules struct{ account }

// Validators implements control.Rules.
func (r rules) Validators(ctx context.Context) ([]control.Validator, error) {
	all, err := r.account.Validators(ctx)
	if err != nil {
		return nil, err
	}
	out := []control.Validator{}
	for _, v := range all {
		out = append(out, r.show(v))
	}
	return out, nil
}

func (r rules) show(v client.Validator) control.Validator {
	return control.Validator{Account: v.Account, Moniker: v.Moniker, Key: v.Key, State: stateOf(v), Power: v.Power(), Stake: v.Stake,
		Missed: v.Missed, Window: v.Window, Why: whyAside(v), Here: v.Account == r.account.Account()}
}

// Upgrades implements control.Rules.
func (r rules) Upgrades(ctx context.Context) (control.Upgrades, error) {
	u := control.Upgrades{Proposals: []control.Proposal{}}
	var err error
	if u.Height, _, err = r.Status(ctx); err != nil {
		return u, err
	}
	plan, err := r.Planned(ctx)
	if err != nil && !errors.Is(err, client.ErrNotFound) {
		return u, err
	}
	u.Plan, u.At = plan.Name, plan.Height
	all, err := r.Proposals(ctx)
	for _, p := range all {
		u.Proposals = append(u.Proposals, control.Proposal(p))
	}
	return u, err
}

func stateOf(v client.Validator) string {
	switch {
	case v.Jailed:
		return control.ValidatorAside
	case v.Bonded:
		return control.ValidatorBonded
	}
	return control.ValidatorWaits
}

// whyAside is why a validator does not sign, and what its operator can do.
func whyAside(v client.Validator) string {
	switch {
	case !v.Jailed:
		return ""
	case v.Tombstoned:
		return "its key signed two blocks of one height: it is out for good"
	case v.Stake < client.MinStake:
		return "it left"
	case v.Until.Unix() > 0:
		return fmt.Sprintf("it missed too many blocks; daulat validator unjail brings it back from %s on", v.Until.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return "it took its own stake back"
}

// Validator implements control.Operator.
func (o operator) Validator(ctx context.Context) (*control.Validator, bool, error) {
	v, err := o.account.Validator(ctx, o.account.Account())
	if errors.Is(err, client.ErrNotFound) {
		return nil, o.runs, nil
	}
	if err != nil {
		return nil, o.runs, err
	}
	shown := o.show(v)
	return &shown, o.runs, nil
}

// Unjail implements control.Operator.
func (o operator) Unjail(ctx context.Context) error {
	v, err := o.account.Validator(ctx, o.account.Account())
	if errors.Is(err, client.ErrNotFound) {
		return errors.New("this home has no validator")
	}
	if err != nil {
		return err
	}
	_, now, err := o.account.Status(ctx)
	if err != nil {
		return err
	}
	if err := mayReturn(v, now); err != nil {
		return err
	}
	return o.account.Unjail(ctx)
}

// mayReturn is why a validator can't return at a time of the ledger's.
func mayReturn(v client.Validator, now time.Time) error {
	switch {
	case !v.Jailed:
		return errors.New("the validator is not set aside")
	case v.Tombstoned || v.Stake < client.MinStake || now.Before(v.Until):
		return fmt.Errorf("the validator cannot return: %s", whyAside(v))
	}
	return nil
}

// Stake implements control.Operator.
func (o operator) Stake(ctx context.Context, t control.StakeTerms) error {
	chain := o.home.path("chain")
	if !validator.Exists(chain) {
		return control.WrongInput{Err: errors.New("this home has no node that could sign: daulat node INVITE makes it one")}
	}
	keys, err := validator.MakeKeys(chain)
	if err != nil {
		return err
	}
	held, err := o.Account(ctx)
	if err != nil {
		return err
	}
	stake := t.Stake
	if stake == 0 {
		stake = held.Balance
	}
	if need := max(stake, client.MinStake); held.Balance < need {
		return fmt.Errorf("the account of this home has %d udlt and needs %d: somebody who has coins sends the rest with daulat wallet send %s %d",
			held.Balance, need, held.Address, need-held.Balance)
	}
	return o.CreateValidator(ctx, keys.Validator, stake, t.Moniker)
}

// ProposeUpgrade implements control.Operator.
func (o operator) ProposeUpgrade(ctx context.Context, plan string, height int64) (uint64, error) {
	return o.account.ProposeUpgrade(ctx, plan, height)
}
