package node

import (
	"context"

	"daulat/core/canon"
	"daulat/core/match"
	"daulat/ui/control"
)

// Providers implements control.Operations.
func (o operations) Providers(ctx context.Context, model string) ([]control.Provider, error) {
	var wanted canon.CID
	if model != "" {
		e, err := o.shelf.Find(model)
		if err != nil {
			return nil, control.WrongInput{Err: err}
		}
		wanted = e.ID
	}
	offers, err := o.wallet.Market(ctx, wanted)
	if err != nil {
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
	wanted, err := terms(offers[0].Offer.Model, 1) // the context changes no place
	if err != nil {
		return nil, err
	}
	fit, unfit := o.consumer.Ranking(wanted, offers)
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

func (o operations) offered(c match.Candidate, reason string) control.Provider {
	return control.Provider{Reason: reason, Provider: c.Offer.Provider, Model: o.nameOf(c.Offer.Model), ModelID: c.Offer.Model.String(), Executor: c.Offer.Executor,
		Price: control.Price(c.Offer.Price), Assurance: c.Offer.Assurance.String(), Slots: c.Offer.Slots, Complaints: c.Standing.Complaints,
		Unserved: c.Standing.Unserved, Sessions: c.Standing.Sessions, Served: c.Facts.Served, Failed: c.Facts.Failed,
		Latency: c.Facts.Latency, First: c.Facts.First, Speed: c.Facts.Speed}
}
