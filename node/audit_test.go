package node

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/data/transfer"
	"daulat/ledger/client"
	"daulat/link/linktest"
)

// offering is a ledger that shows one provider.
type offering struct {
	manifest []byte
	addrs    []string
}

func (o offering) Artifact(context.Context, canon.CID) ([]byte, error) { return o.manifest, nil }
func (o offering) Offers(context.Context, canon.CID) ([]match.Offer, error) {
	return []match.Offer{{Provider: "somebody"}}, nil
}
func (o offering) Addresses(context.Context, string) ([]string, error) { return o.addrs, nil }

// agreeing is a runner for which every answer is true.
type agreeing struct{}

func (agreeing) Replay(context.Context, canon.CID, receipt.Request, receipt.Answer) (verify.Verdict, error) {
	return verify.Verdict{Outcome: verify.Agree}, nil
}

func freshShelf(t *testing.T) *Shelf {
	t.Helper()
	s, err := shelfOf(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (o offering) Artifacts(context.Context) ([]client.Artifact, error) {
	return []client.Artifact{{ID: artifact.ID(o.manifest), Name: NoiseModel}}, nil
}

// TestAuditFetchesTheModel: from a provider that serves it, and what none serves
// is unavailable, which is another thing than a question that was given up.
func TestAuditFetchesTheModel(t *testing.T) {
	theirs := freshShelf(t)
	e, err := importNoise(t.Context(), theirs)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := theirs.ManifestBytes(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	server := linktest.Node(t, linktest.Key(t))
	ledger := offering{manifest, server.Addrs()}
	mine := freshShelf(t)
	a := auditor{agreeing{}, modelSource{mine, ledger, linktest.Node(t, linktest.Key(t))}}
	replay := func(ctx context.Context) error {
		_, err := a.Replay(ctx, e.ID, receipt.Request{}, receipt.Answer{})
		return err
	}
	if err := replay(t.Context()); !errors.Is(err, verify.ErrUnavailable) {
		t.Fatalf("nobody serves it: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := replay(over); err == nil || errors.Is(err, verify.ErrUnavailable) {
		t.Fatalf("the question was given up: %v", err)
	}
	transfer.Serve(server, theirs.store, transfer.ServeOptions{})
	if err := replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := mine.Manifest(t.Context(), e.ID)
	if err != nil || !mine.store.Has(m.Parts[0].Blob) {
		t.Fatalf("the model is not here: %v", err)
	}
}
