package registry

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	pb "daulat/gen/registry"
)

// Limits of what an account can put on record.
const (
	MaxAddresses    = 8
	MaxAddressBytes = 256
	MaxOffers       = 64 // per provider
	MaxExecutor     = 64 // bytes
	MaxSlots        = 1024
	// MaxPrice, in udlt per 1,000 tokens, keeps what 10¹⁰ tokens cost within 64
	// bits.
	MaxPrice = 1_000_000_000_000
)

// account returns the one text form of an account: bech32 also has one in
// upper case.
func (s *Store) account(text string) (string, error) {
	raw, err := s.addresses.StringToBytes(text)
	if err != nil {
		return "", fmt.Errorf("account: %w", err)
	}
	return s.addresses.BytesToString(raw)
}

func parseKey(text string) (key canon.PublicKey, err error) {
	if err = key.UnmarshalText([]byte(text)); err != nil {
		return key, fmt.Errorf("identity key: %w", err)
	}
	if key.IsZero() {
		return key, errors.New("identity key is zero")
	}
	return key, nil
}

func parseSignature(raw []byte) (sig canon.Signature, err error) {
	if len(raw) != len(sig) {
		return sig, fmt.Errorf("signature has %d bytes, not %d", len(raw), len(sig))
	}
	return canon.Signature(raw), nil
}

func parseModel(text string) (string, error) {
	id, err := canon.ParseCID(text)
	if err != nil {
		return "", fmt.Errorf("model: %w", err)
	}
	if id.Codec() != canon.DagCBOR {
		return "", errors.New("model is not a manifest")
	}
	return text, nil
}

// normal returns p with account and key in their one text form.
func (s *Store) normal(p pb.Provider) (pb.Provider, error) {
	account, err := s.account(p.Account)
	if err != nil {
		return p, err
	}
	key, err := parseKey(p.Key)
	if err != nil {
		return p, err
	}
	if len(p.Addresses) > MaxAddresses {
		return p, fmt.Errorf("a provider has at most %d addresses", MaxAddresses)
	}
	for _, a := range p.Addresses {
		if a == "" || len(a) > MaxAddressBytes || !utf8.ValidString(a) {
			return p, fmt.Errorf("an address has 1 to %d bytes of UTF-8", MaxAddressBytes)
		}
	}
	p.Account, p.Key = account, key.String()
	return p, nil
}

// normalOffer returns o with its provider in the one text form.
func (s *Store) normalOffer(o pb.Offer) (pb.Offer, error) {
	account, err := s.account(o.Provider)
	if err != nil {
		return o, err
	}
	if _, err := parseModel(o.Model); err != nil {
		return o, err
	}
	switch {
	case o.Executor == "" || len(o.Executor) > MaxExecutor || !utf8.ValidString(o.Executor):
		return o, fmt.Errorf("executor must have 1 to %d bytes of UTF-8", MaxExecutor)
	case o.InputPrice > MaxPrice || o.OutputPrice > MaxPrice:
		return o, fmt.Errorf("price exceeds %d udlt per 1,000 tokens", uint64(MaxPrice))
	case o.Assurance > uint64(job.Proven):
		return o, fmt.Errorf("assurance %d is unknown", o.Assurance)
	case o.Slots == 0 || o.Slots > MaxSlots:
		return o, fmt.Errorf("slots must be 1 to %d", MaxSlots)
	}
	o.Provider = account
	return o, nil
}

// parseArtifact reads a manifest strictly and states it in typed fields.
func parseArtifact(owner string, manifest []byte, registered uint64) (pb.Artifact, error) {
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
