package registry

import (
	"fmt"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	pb "daulat/gen/registry"
	"daulat/ledger/record"
)

// Limits of what an account can put on record.
const (
	MaxAddresses    = 8
	MaxAddressBytes = 256
	MaxOffers       = 64 // per provider
)

// parseBinding reads a provider's keys.
func parseBinding(p pb.Provider) (b match.Binding, err error) {
	b.From = p.KeyFrom
	if p.Key != "" {
		if b.Key, err = record.Key("identity key", p.Key); err != nil {
			return b, err
		}
	}
	if p.NextKey != "" {
		b.Next, err = record.Key("identity key", p.NextKey)
	}
	return b, err
}

// bind writes a provider's keys.
func bind(p pb.Provider, b match.Binding) pb.Provider {
	p.Key, p.NextKey, p.KeyFrom = keyText(b.Key), keyText(b.Next), b.From
	return p
}

func keyText(key canon.PublicKey) string {
	if key.IsZero() {
		return ""
	}
	return key.String()
}

// parseModel reads the name of a model, which a manifest describes or a
// declaration.
func parseModel(text string) (string, error) {
	if _, err := canon.ParseCID(text); err != nil {
		return "", fmt.Errorf("model: %w", err)
	}
	return text, nil
}

// normal returns p with account and keys in their one text form.
func (s *Store) normal(p pb.Provider) (pb.Provider, error) {
	account, err := record.Account(s.addresses, p.Account)
	if err != nil {
		return p, err
	}
	b, err := parseBinding(p)
	if err != nil {
		return p, err
	}
	if len(p.Addresses) > MaxAddresses {
		return p, fmt.Errorf("a provider has at most %d addresses", MaxAddresses)
	}
	for _, a := range p.Addresses {
		if a == "" || len(a) > MaxAddressBytes || !canon.Plain(a) {
			return p, fmt.Errorf("an address has 1 to %d bytes of UTF-8", MaxAddressBytes)
		}
	}
	p.Account = account
	return bind(p, b), nil
}

// normalOffer returns o with its provider in the one text form.
func (s *Store) normalOffer(o pb.Offer) (pb.Offer, error) {
	account, err := record.Account(s.addresses, o.Provider)
	if err != nil {
		return o, err
	}
	offer, err := parseOffer(o)
	if err != nil {
		return o, err
	}
	o.Provider = account
	return o, offer.Validate()
}

func parseOffer(o pb.Offer) (match.Offer, error) {
	model, err := canon.ParseCID(o.Model)
	if err != nil {
		return match.Offer{}, fmt.Errorf("model: %w", err)
	}
	return match.Offer{Provider: o.Provider, Model: model, Executor: o.Executor,
		Price:     job.Price{Input: o.InputPrice, Output: o.OutputPrice},
		Assurance: job.Assurance(o.Assurance), Slots: o.Slots}, nil
}

// parseArtifact reads a manifest, or a declaration in its place, strictly and
// states it in typed fields. No bytes are both.
func parseArtifact(owner string, manifest []byte, registered uint64) (pb.Artifact, error) {
	if d, err := artifact.DecodeDeclaration(manifest); err == nil {
		return pb.Artifact{Id: artifact.DeclaredID(manifest).String(), Owner: owner, Name: d.Name,
			Manifest: manifest, Registered: registered}, nil
	}
	m, err := artifact.Decode(manifest)
	if err != nil {
		return pb.Artifact{}, err
	}
	a := pb.Artifact{Id: artifact.ID(manifest).String(), Owner: owner, Name: m.Name, Media: m.Media,
		Licence: m.Licence, Manifest: manifest, Registered: registered}
	for _, p := range m.Parents {
		a.Parents = append(a.Parents, p.String())
	}
	return a, nil
}
