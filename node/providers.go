package node

import (
	"context"
	"errors"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
	"daulat/ui/control"
)

// Providers implements control.Operations.
func (o operations) Providers(ctx context.Context, model string) ([]control.Provider, error) {
	var wanted canon.CID
	if model != "" {
		e, err := backend{shelf: o.shelf, declared: o.declared}.find(ctx, model)
		if errors.Is(err, gateway.ErrUnknownModel) {
			err = control.WrongInput{Err: err}
		}
		if err != nil {
			return nil, err
		}
		wanted = e.ID
	}
	offers, err := o.wallet.Market(ctx, wanted)
	if err != nil {
		return nil, err
	}
	if _, err := o.declared.offered(ctx); err != nil { // names are known from then on
		return nil, err
	}
	all := []control.Provider{}
	for len(offers) > 0 { // a model at a time, each in this home's order
		var same, others []match.Candidate
		for _, c := range offers {
			if c.Offer.Model == offers[0].Offer.Model {
				same = append(same, c)
			} else {
				others = append(others, c)
			}
		}
		ranked, err := o.ranked(same)
		if err != nil {
			return nil, err
		}
		all, offers = append(all, ranked...), others
	}
	return all, nil
}

// ranked are the offers for one model: first those that this home would choose from,
// in that order, then the rest.
func (o operations) ranked(offers []match.Candidate) (all []control.Provider, err error) {
	wanted, err := anyTerms(offers[0].Offer.Model)
	if err != nil {
		return nil, err
	}
	fit, unfit := o.consumer.Ranking(wanted, offers, consumer.Owners{Spread: o.choice.Spread, PerOwner: o.choice.PerOwner})
	for i, r := range fit {
		var before *match.Ranked
		if i > 0 {
			before = &fit[i-1]
		}
		p := o.offered(r.Candidate, r.Reason(before))
		p.Place, p.Cost = i+1, r.Cost()
		all = append(all, p)
	}
	for _, u := range unfit {
		all = append(all, o.offered(u.Candidate, u.Why))
	}
	return all, nil
}

// anyTerms are those that decide an order of offers: how long prompts and answers
// are changes no place.
func anyTerms(model canon.CID) (job.Terms, error) {
	if artifact.IsDeclared(model) {
		return declaredTerms(model, consumer.Prompt{})
	}
	return terms(model, 1)
}

func (o operations) offered(c match.Candidate, reason string) control.Provider {
	return control.Provider{Reason: reason, Provider: c.Offer.Provider, Model: o.nameOf(c.Offer.Model), ModelID: c.Offer.Model.String(), Label: o.labelOf(c.Offer.Model), Digest: declared(o.shelf.store, c.Offer.Model).Digest, Executor: c.Offer.Executor,
		Price: control.Price(c.Offer.Price), Assurance: c.Offer.Assurance.String(), Slots: c.Offer.Slots, Complaints: c.Standing.Complaints,
		Unserved: c.Standing.Unserved, Sessions: c.Standing.Sessions, Served: c.Facts.Served, Failed: c.Facts.Failed,
		Latency: c.Facts.Latency, Answers: c.Facts.Answers, First: c.Facts.First, Speed: c.Facts.Speed}
}
