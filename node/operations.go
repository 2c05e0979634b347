package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/verify"
	"daulat/ledger/client"
	"daulat/link"
	"daulat/link/session"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
	"daulat/ui/control"
	"daulat/ui/web"
)

// operations are what a running network does for its command line.
type operations struct {
	*up
	trust client.Trust
}

var _ control.Operations = operations{}

// Ready implements control.Operations.
func (o operations) Ready(context.Context) (control.Ready, error) {
	o.met.Store(time.Now().UnixNano())
	return o.ready, nil
}

// Status implements control.Operations.
func (o operations) Status(ctx context.Context) (control.Status, error) {
	s, err := o.shown(ctx)
	if err == nil || o.network == nil || ctx.Err() != nil || !client.Silent(err) {
		return s, err
	}
	s = o.local()
	s.Unreached = o.network.unreached(err).Error()
	if o.sales == nil {
		return s, nil
	}
	today, err := o.Earned(ctx, 1)
	if err == nil {
		s.Today = &today[0]
	}
	return s, err
}

// Validators implements control.Rules.
func (o operations) Validators(ctx context.Context) ([]control.Validator, error) {
	return rules{o.wallet}.Validators(ctx)
}

// Upgrades implements control.Rules.
func (o operations) Upgrades(ctx context.Context) (control.Upgrades, error) {
	return rules{o.wallet}.Upgrades(ctx)
}

// shown is what runs here, with what the ledger says of it.
func (o operations) shown(ctx context.Context) (s control.Status, err error) {
	s = o.local()
	if s.Height, s.Newest, err = o.wallet.Status(ctx); err != nil {
		return s, err
	}
	if s.Wallet.Balance, err = o.wallet.Balance(ctx, o.wallet.Account()); err != nil {
		return s, err
	}
	switch {
	case o.sells():
		s.Provider = new(control.Earnings)
		*s.Provider, err = o.earnings(ctx)
	case o.sales != nil: // a guest who sold before
		s.Provider = new(control.Earnings)
		*s.Provider, err = pastEarnings(ctx, o.wallet, o.sales)
	}
	return s, err
}

// local is what this home knows by itself.
func (o operations) local() control.Status {
	s := control.Status{Chain: o.trust.ChainID, Trust: o.trust.String(), API: o.ready.API, Page: o.ready.Page, Ledger: o.ready.Ledger,
		Wallet: control.Account{Address: o.wallet.Account()}, Passphrase: o.passphrase}
	switch {
	case o.sells():
		s.Links, s.Relayed, s.Resting, s.Sells = o.peer.Addrs(), o.peer.Carried(), o.resting(), o.offering()
	case o.sales != nil:
		s.Resting = "this daulat only asks; end it, and daulat provide sells again"
	}
	if !o.sells() {
		s.Model = o.served.Name
	}
	return s
}

// Jobs implements control.Operations.
func (o operations) Jobs(ctx context.Context) ([]control.Job, error) {
	sessions, err := o.wallet.Sessions(ctx, o.wallet.Account(), "")
	if err != nil {
		return nil, err
	}
	orders, err := o.wallet.Orders(ctx, o.wallet.Account())
	if err != nil {
		return nil, err
	}
	complaints, err := o.complaints(ctx, "")
	if err != nil {
		return nil, err
	}
	jobs := []control.Job{}
	for _, s := range sessions {
		j, err := o.jobOf(s)
		if err != nil {
			return nil, err
		}
		j.Complaints = complaints[s.ID]
		jobs = append(jobs, j)
	}
	for _, order := range orders {
		if order.State != job.OrderMatched { // that one is a session
			jobs = append(jobs, o.jobOfOrder(order))
		}
	}
	slices.SortFunc(jobs, func(a, b control.Job) int { return cmp.Compare(a.ID, b.ID) })
	return jobs, nil
}

// complaints are the receipts complained about, by session; of all providers for
// an empty name.
func (o operations) complaints(ctx context.Context, provider string) (map[uint64][]string, error) {
	filed, err := o.wallet.Complaints(ctx, provider)
	if err != nil {
		return nil, err
	}
	by := map[uint64][]string{}
	for _, c := range filed {
		by[c.Session] = append(by[c.Session], consumer.ReceiptID(c.Session, c.Seq))
	}
	return by, nil
}

// Job implements control.Operations.
func (o operations) Job(ctx context.Context, id uint64) (control.Job, error) {
	s, err := o.wallet.Session(ctx, id)
	if errors.Is(err, client.ErrNotFound) {
		return o.unmatched(ctx, id)
	}
	if err != nil {
		return control.Job{}, err
	}
	j, err := o.jobOf(s)
	if err != nil {
		return j, err
	}
	j.Session = sessionOf(s)
	complaints, err := o.complaints(ctx, s.Provider)
	if err != nil {
		return control.Job{}, err
	}
	j.Complaints = complaints[id]
	known, err := o.asks.Transcripts(id)
	if err != nil {
		return control.Job{}, err
	}
	for _, t := range known {
		j.Receipts = append(j.Receipts, consumer.ReceiptID(id, t.Ask.Seq))
	}
	return j, nil
}

func (o operations) unmatched(ctx context.Context, id uint64) (control.Job, error) {
	order, err := o.wallet.Order(ctx, id)
	if errors.Is(err, client.ErrNotFound) {
		return control.Job{}, fmt.Errorf("no job %d", id)
	}
	if err != nil {
		return control.Job{}, fmt.Errorf("job %d: %w", id, err)
	}
	return o.jobOfOrder(order), nil
}

// jobOfOrder is an order that is no session.
func (o operations) jobOfOrder(order job.Order) control.Job {
	return control.Job{ID: order.ID, State: string(order.State), Reason: order.Explanation, Model: o.nameOf(order.Terms.Model), ModelID: order.Terms.Model.String(), Label: o.labelOf(order.Terms.Model),
		Consumer: order.Consumer, Escrow: order.Terms.Escrow}
}

// jobOf is a session as the ledger shows it and, of what that has not seen yet,
// as the journal does.
func (o operations) jobOf(s job.Session) (control.Job, error) {
	j := control.Job{ID: s.ID, State: string(s.State), Reason: string(s.Reason), Model: o.nameOf(s.Terms.Model), ModelID: s.Terms.Model.String(), Label: o.labelOf(s.Terms.Model),
		Consumer: s.Consumer, Provider: s.Provider, Escrow: s.Escrow.Deposited}
	if s.Claim != nil {
		j.Requests, j.Amount = s.Claim.Receipt.Seq, s.Claim.Due()
	}
	if over(s.State) {
		return j, nil
	}
	r, err := o.asks.Record(s.ID)
	if errors.Is(err, session.ErrNoRecord) { // somebody else's key asked
		return j, nil
	}
	if served := r.Served.Tally; err == nil && served.Range.Count >= j.Requests {
		j.Requests, j.Amount, j.Unsettled = served.Range.Count, served.Amount, true
	}
	return j, err
}

func sessionOf(s job.Session) *control.Session {
	e := s.Escrow
	c := &control.Session{SessionKey: s.SessionKey.String(), ProviderKey: s.ProviderKey.String(), Executor: s.Terms.Executor,
		Assurance: s.Terms.Assurance.String(), Privacy: string(s.Terms.Privacy), Price: control.Price(s.Price), Ceiling: control.Price(s.Terms.Ceiling),
		Step: s.Terms.Step, Opened: time.Unix(int64(s.Opened), 0).UTC(), Clock: time.Unix(int64(s.Clock), 0).UTC(),
		CloseWindow: s.Windows.Close, ChallengeWindow: s.Windows.Challenge, Locked: e.Locked, Withheld: e.Withheld, Paid: e.Paid, Refunded: e.Refunded}
	if s.Claim != nil {
		c.Root = s.Claim.Receipt.Root.String()
	}
	return c
}

// nameOf is the name by which the home knows a model, if it does.
func (o operations) nameOf(model canon.CID) string {
	for _, e := range o.shelf.List() {
		if e.ID == model {
			return e.Name
		}
	}
	return declared(o.shelf.store, model).Name
}

// labelOf is what is to be shown beside a model.
func (o operations) labelOf(model canon.CID) string {
	return label(ModelEntry{Name: o.nameOf(model), ID: model})
}

// Send implements control.Operations.
func (o operations) Send(ctx context.Context, to string, amount uint64) error {
	return o.wallet.Send(ctx, to, amount)
}

// Receipts implements control.Operations.
func (o operations) Receipts(context.Context) ([]control.Receipt, error) {
	records, err := o.asks.Records(func(session.Record) bool { return true })
	if err != nil {
		return nil, err
	}
	all := []control.Receipt{}
	for _, r := range records {
		known, err := o.asks.Transcripts(r.Session.ID)
		if err != nil {
			return nil, err
		}
		var paid job.Tally
		for _, t := range known {
			model := r.Session.Terms.Model
			after, err := paid.Add(t.Leaf(), r.Session.Price)
			if err != nil {
				return nil, err
			}
			all = append(all, control.Receipt{Receipt: consumer.ReceiptID(r.Session.ID, t.Ask.Seq), Model: o.nameOf(model),
				ModelID: model.String(), Label: o.labelOf(model), Price: after.Amount - paid.Amount, Opened: time.Unix(int64(r.Session.Opened), 0).UTC()})
			paid = after
		}
	}
	return all, nil
}

// Export implements control.Operations.
func (o operations) Export(ctx context.Context, receipt string) (control.Exported, error) {
	b, err := o.bundle(ctx, receipt)
	if err != nil {
		return control.Exported{}, err
	}
	data, err := canon.Marshal(b)
	return control.Exported{Bundle: data, Trust: o.trust.String()}, err
}

func (o operations) bundle(ctx context.Context, receipt string) (verify.Bundle, error) {
	id, seq, err := consumer.ParseReceiptID(receipt)
	if err != nil {
		return verify.Bundle{}, err
	}
	return o.consumer.Export(ctx, evidence{o}, id, seq)
}

// evidence is what the ledger and the shelf add to a bundle.
type evidence struct{ operations }

var _ consumer.Evidence = evidence{}

// ProveSession implements consumer.Evidence.
func (e evidence) ProveSession(ctx context.Context, id uint64) ([]byte, error) {
	return e.wallet.ProveSession(ctx, id, e.trust.Height)
}

// Manifest implements consumer.Evidence.
func (e evidence) Manifest(ctx context.Context, id canon.CID) ([]byte, error) {
	if artifact.IsDeclared(id) {
		return e.declared.bytes(ctx, id)
	}
	return e.shelf.ManifestBytes(ctx, id)
}

// maxSources bounds the peers that a bundle names.
const maxSources = 8

// Sources implements consumer.Evidence.
func (e evidence) Sources(ctx context.Context, model canon.CID) ([][]string, error) {
	offers, err := e.wallet.Offers(ctx, model)
	if err != nil {
		return nil, err
	}
	var all [][]string
	if e.peer != nil {
		all = append(all, e.peer.Addrs())
	}
	for _, o := range offers {
		addrs, err := e.wallet.Addresses(ctx, o.Provider)
		if err != nil {
			return nil, err
		}
		if all = append(all, link.ByPeer(addrs)...); len(all) >= maxSources {
			return all[:maxSources], nil
		}
	}
	return all, nil
}

// page is what the page shows of the same operations.
type page struct{ operations }

var (
	_ web.API     = page{}
	_ web.Selling = page{}
)

// plotDays are shown on the page.
const plotDays = 14

// Status implements web.API.
func (p page) Status(ctx context.Context) (web.Status, error) {
	s, err := p.shown(ctx)
	if err != nil {
		return web.Status{}, err
	}
	shown := web.Status{
		Network: web.Network{Chain: s.Chain, Height: uint64(s.Height), Test: true},
		Asks:    p.ready.API != "",
		Liar:    p.validator != nil,
		Wallet:  web.Wallet{Account: s.Wallet.Address, Balance: s.Wallet.Balance},
	}
	if e := s.Provider; e != nil {
		rate, why := e.Audits()
		shown.Provider = &web.Provider{Account: e.Address, State: control.Work(s.Resting), Audits: rate + ", " + why,
			Earned: e.Open + e.Withheld + e.Released, Withheld: e.Withheld, Released: e.Released, Requests: e.Requests}
		for _, m := range s.Sells {
			shown.Provider.Sells = append(shown.Provider.Sells, web.Sold{Model: m.Model, Label: m.Label, Input: m.Price.Input, Output: m.Price.Output})
		}
		days, err := p.Earned(ctx, plotDays)
		if err != nil {
			return web.Status{}, err
		}
		for _, d := range days {
			shown.Provider.Days = append(shown.Provider.Days, web.Day{Day: d.Day, Earned: d.Earned})
		}
	}
	return shown, nil
}

// Verify implements web.API: the same check as `daulat verify`, on this home's
// own shelf.
func (p page) Verify(ctx context.Context, receipt string) (web.Check, error) {
	b, err := p.bundle(ctx, receipt)
	if errors.Is(err, consumer.ErrUnknownReceipt) || errors.Is(err, consumer.ErrNoReceiptID) {
		return web.Check{}, fmt.Errorf("%w: %w", web.ErrUnknownReceipt, err)
	}
	if err != nil {
		return web.Check{}, err
	}
	r, err := check(ctx, b, p.trust, p.shelf, p.library, func(string) {})
	if err != nil {
		return web.Check{}, err
	}
	return checkOf(r), nil
}

// Liar implements web.API. Who asks for it has an API token alone, so what it
// may cost counts against that token's limit.
func (p page) Liar(ctx context.Context) (web.Check, error) {
	if p.validator == nil {
		return web.Check{}, web.ErrUnavailable
	}
	charge := func() error { return p.gateway.Charge(ctx, liarCost) }
	r, err := p.liar(ctx, charge, func(string) {})
	switch {
	case errors.Is(err, errLying):
		return web.Check{}, web.ErrBusy
	case errors.Is(err, gateway.ErrSpend):
		return web.Check{}, fmt.Errorf("%w: %w", web.ErrSpent, err)
	case err != nil:
		return web.Check{}, err
	}
	return checkOf(r), nil
}

func checkOf(r control.Report) web.Check {
	c := web.Check{Verdict: r.Verdict, Summary: r.Line, Receipt: r.Receipt, Model: r.Model, ModelID: r.ModelID, Label: r.Label}
	if r.Verdict == unaudited {
		c.Verdict = web.Inconclusive
	}
	for _, s := range r.Steps {
		c.Steps = append(c.Steps, web.Step(s))
	}
	return c
}
