package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	cmtjson "github.com/cometbft/cometbft/libs/json"
	cmttypes "github.com/cometbft/cometbft/types"

	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link/linktest"
)

// showing is a peer whose ledger calls answer with a genesis.
func showing(t *testing.T, doc *cmttypes.GenesisDoc) (addrs []string) {
	t.Helper()
	peer := linktest.Node(t, linktest.Key(t))
	raw, err := cmtjson.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			ID json.RawMessage `json:"id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&call) // the client's
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": call.ID, "result": map[string]any{"genesis": json.RawMessage(raw)}})
	})}
	go func() { _ = server.Serve(peer.Listen(ledgerProtocol, 4)) }() // until Close
	t.Cleanup(func() { server.Close() })
	return peer.Addrs()
}

// A node that joins takes the ledger that the invite names and no other: a peer
// with an altered genesis is left out, and the home stays empty.
func TestPeerWithAnotherGenesis(t *testing.T) {
	home := filepath.Join(t.TempDir(), "chain")
	if err := validator.Init(home, validator.Genesis{ChainID: "daulat-x", ValidatorAccount: address(t)}); err != nil {
		t.Fatal(err)
	}
	doc, err := cmttypes.GenesisDocFromFile(filepath.Join(home, "config", "genesis.json"))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := client.GenesisHash(doc)
	if err != nil {
		t.Fatal(err)
	}
	trust := client.Trust{ChainID: "daulat-x", GenesisHash: hash, Height: 1, Hash: hash}
	altered := *doc
	altered.GenesisTime = doc.GenesisTime.Add(time.Second)
	n := &ledgerNode{tenant: tenant{caller: linktest.Node(t, linktest.Key(t))}}
	c := validator.Config{Home: filepath.Join(t.TempDir(), "joining"), Sync: &validator.StateSync{Trust: trust}}
	if _, err := n.reach(t.Context(), showing(t, &altered), trust, &c); !errors.Is(err, ErrGenesis) {
		t.Fatalf("an altered genesis: %v", err)
	}
	if validator.Exists(c.Home) || len(c.Peers) > 0 {
		t.Fatal("the home has a ledger that the invite does not name")
	}
	if _, err := n.reach(t.Context(), showing(t, doc), trust, &c); err == nil || errors.Is(err, ErrGenesis) {
		t.Fatalf("the genesis of the invite, from a peer that answers nothing else: %v", err)
	}
}

func address(t *testing.T) string {
	t.Helper()
	k, err := client.NewAccountKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k.Account()
}
