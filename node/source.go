package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/match"
	"daulat/data/transfer"
	"daulat/ledger/client"
	"daulat/link"
)

// modelSource gets models that are on record from those who offer them.
type modelSource struct {
	shelf  *Shelf
	ledger interface {
		Artifact(ctx context.Context, id canon.CID) ([]byte, error)
		Artifacts(ctx context.Context) ([]client.Artifact, error)
		Offers(ctx context.Context, model canon.CID) ([]match.Offer, error)
		Addresses(ctx context.Context, provider string) ([]string, error)
	}
	peer transfer.Dialer
}

// errNoSource says that nobody offers a model.
var errNoSource = errors.New("nobody offers the model")

// obtain sees to it that manifest and weights of a model are here.
func (m modelSource) obtain(ctx context.Context, model canon.CID) error {
	store := m.shelf.store
	if !artifact.IsDeclared(model) && !store.Has(model) {
		data, err := m.ledger.Artifact(ctx, model)
		if err != nil {
			return err
		}
		if _, err := store.PutBytes(canon.DagCBOR, data); err != nil {
			return err
		}
	}
	manifest, err := m.shelf.Manifest(ctx, model)
	if err != nil {
		return err
	}
	weights, ok := manifest.Part(artifact.Weights)
	if !ok || store.Has(weights.Blob) {
		return nil
	}
	return m.fetch(ctx, model, weights.Blob)
}

func (m modelSource) fetch(ctx context.Context, model, blob canon.CID) error {
	offers, err := m.ledger.Offers(ctx, model)
	if err != nil {
		return err
	}
	if len(offers) == 0 {
		return errNoSource
	}
	var sources [][]string
	for _, o := range offers {
		addrs, err := m.ledger.Addresses(ctx, o.Provider)
		if err != nil {
			return err
		}
		sources = append(sources, link.ByPeer(addrs)...)
	}
	return transfer.Fetch(ctx, m.peer, m.shelf.store, blob, sources, nil)
}

// pull puts a model of the network on the shelf, by its manifest ID, or by a name
// that only one model on record has.
func (m modelSource) pull(ctx context.Context, name string) (ModelEntry, error) {
	id, err := m.find(ctx, name)
	if err != nil {
		return ModelEntry{}, err
	}
	if err := m.obtain(ctx, id); err != nil {
		return ModelEntry{}, fmt.Errorf("get model %s from the network: %w", name, err)
	}
	manifest, err := m.shelf.Manifest(ctx, id)
	if err != nil {
		return ModelEntry{}, err
	}
	if err := genuine(manifest.Name, id); err != nil {
		return ModelEntry{}, err
	}
	e := ModelEntry{Name: manifest.Name, ID: id}
	return e, m.shelf.add(e)
}

// commonest is the ID of the model that most offers serve, and the default one if
// none leads it. A declared model is one only if that will do and there is no other.
func (m modelSource) commonest(ctx context.Context, declared bool) (string, error) {
	offers, err := m.ledger.Offers(ctx, canon.CID{})
	if err != nil {
		return "", err
	}
	isDeclared := func(o match.Offer) bool { return artifact.IsDeclared(o.Model) }
	if others := slices.DeleteFunc(slices.Clone(offers), isDeclared); len(others) > 0 || !declared {
		offers = others
	}
	best, count := DefaultModelID.String(), map[string]int{}
	for _, o := range offers {
		id := o.Model.String()
		if count[id]++; count[id] > count[best] {
			best = id
		}
	}
	return best, nil
}

func (m modelSource) find(ctx context.Context, name string) (canon.CID, error) {
	if id, err := canon.ParseCID(name); err == nil {
		return id, nil
	}
	if strings.EqualFold(name, DefaultModel) {
		return DefaultModelID, nil
	}
	all, err := m.ledger.Artifacts(ctx)
	if err != nil {
		return canon.CID{}, err
	}
	var found []client.Artifact
	for _, a := range all {
		if strings.EqualFold(a.Name, name) && !artifact.IsDeclared(a.ID) {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return canon.CID{}, fmt.Errorf("%w: %q, neither in this home nor on the network", ErrNoModel, name)
	case 1:
		return found[0].ID, nil
	}
	return canon.CID{}, fmt.Errorf("%d models of the network are called %q: name one by its ID", len(found), name)
}
