package node

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/link/linktest"
	"daulat/ui/control"
)

// lineTo is an invite to the ledger of a genesis, with the header at a height.
func lineTo(genesis byte, height uint64, peers ...string) string {
	l := invite.Line{Version: invite.LineVersion, Chain: "daulat-net", Genesis: canon.Hash{genesis}, Height: height, Header: canon.Hash{byte(height)},
		Peers: peers, Seed: make(invite.Secret, 32), Grant: 1, Expires: 1}
	return l.Encode()
}

func joined(t *testing.T, home Home, line string) (*network, error) {
	t.Helper()
	n, _, err := openNetwork(home, nil, line, func(string) {})
	if err != nil {
		return nil, err
	}
	return n, n.save()
}

// A home keeps the network that it joined first, and what it verified there. A
// later invite brings newer peers, and a header only once its own is too old.
func TestAHomeBelongsToOneNetwork(t *testing.T) {
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	var wrong control.WrongInput
	if _, err := joined(t, home, ""); !errors.As(err, &wrong) {
		t.Fatalf("a home that joined nothing: %v", err)
	}
	a, b := linktest.Node(t, linktest.Key(t)).Addrs()[0], linktest.Node(t, linktest.Key(t)).Addrs()[0]
	n, err := joined(t, home, lineTo(1, 5, a))
	if err != nil {
		t.Fatal(err)
	}
	newest := client.Trust{ChainID: "daulat-net", GenesisHash: canon.Hash{1}.String(), Height: 90, Hash: canon.Hash{90}.String()}
	if err := errors.Join(n.verified(newest), n.save()); err != nil {
		t.Fatal(err)
	}
	if n, err = joined(t, home, lineTo(1, 7, a, b)); err != nil || n.known.Verified != newest.String() || len(n.paths) != 2 {
		t.Fatalf("another invite: %+v, %v", n, err)
	}
	if _, err := joined(t, home, lineTo(2, 7, b)); !errors.As(err, &wrong) {
		t.Fatalf("an invite to another network: %v", err)
	}
	if n, err = joined(t, home, ""); err != nil || n.known.Verified != newest.String() {
		t.Fatalf("without an invite: %+v, %v", n, err)
	}
	n.known.Seen = time.Now().Add(-client.TrustingPeriod)
	if err := n.save(); err != nil {
		t.Fatal(err)
	}
	if n, err = joined(t, home, lineTo(1, 100, b)); err != nil || n.known.Verified == newest.String() || n.known.Trust != n.known.Verified {
		t.Fatalf("after being away for too long: %+v, %v", n, err)
	}
}
