package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
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
	if _, err := n.reach(t.Context(), showing(t, doc), trust, &c); err == nil || !strings.Contains(err.Error(), "which ledger node") {
		t.Fatalf("the genesis of the invite, from a peer that answers nothing else: %v", err)
	}
}

// TestNodeWithoutSnapshot: where no peer has a snapshot, a node gets all blocks, says
// so in one line, and goes on with them after a restart.
func TestNodeWithoutSnapshot(t *testing.T) {
	var homes []string
	var founders []validator.Founder
	for i := range 2 {
		homes = append(homes, filepath.Join(t.TempDir(), "chain"))
		keys, err := validator.MakeKeys(homes[i])
		if err != nil {
			t.Fatal(err)
		}
		key, err := client.NewAccountKey(bytes.Repeat([]byte{byte(i + 1)}, 32))
		if err != nil {
			t.Fatal(err)
		}
		founders = append(founders, validator.Founder{Account: key.Account(), Keys: keys})
	}
	doc, err := validator.NewGenesis(validator.Genesis{ChainID: "daulat-x"}, founders)
	if err != nil {
		t.Fatal(err)
	}
	at, err := validator.ReserveP2P(homes...)
	if err != nil {
		t.Fatal(err)
	}
	config := func(home string) validator.Config {
		c := validator.Config{Home: home, TimeoutCommit: 50 * time.Millisecond, SnapshotEvery: 1 << 40}
		for i, h := range homes {
			if h != home {
				c.Peers = append(c.Peers, founders[i].Keys.Node+"@"+at[i])
			}
		}
		return c
	}
	var all []*validator.Validator
	for _, home := range homes {
		if err := validator.Adopt(home, doc); err != nil {
			t.Fatal(err)
		}
		v, err := validator.Start(t.Context(), config(home))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = v.Stop() })
		all = append(all, v)
	}
	reached(t, all[0], 5)
	trust, err := client.New(all[0].RPC(), "daulat-x", nil).Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	c := config(filepath.Join(t.TempDir(), "joining"))
	if err := validator.Adopt(c.Home, doc); err != nil {
		t.Fatal(err)
	}
	c.Sync = &validator.StateSync{Trust: trust, RPC: []string{all[0].RPCAddress(), all[1].RPCAddress()}, Rounds: 1}
	var said []string
	begin := func() *ledgerNode {
		t.Helper()
		said = nil
		n := &ledgerNode{tip: 7, tenant: tenant{say: func(line string) { said = append(said, line) }}}
		t.Cleanup(func() { _ = n.close() })
		if err := n.start(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := begin()
	if len(said) != 3 || said[2] != "no peer has a snapshot of the ledger that can be used: getting all of its 7 blocks instead" {
		t.Fatalf("said %q", said)
	}
	reached(t, n.validator, trust.Height+5)
	first := int64(1)
	if b, err := n.validator.RPC().Block(t.Context(), &first); err != nil || b.Block == nil {
		t.Fatalf("its first block: %v", err)
	}
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	if n = begin(); len(said) != 1 || n.validator.Hunts() {
		t.Fatalf("started again it said %q", said)
	}
	reached(t, n.validator, trust.Height+8)

	// The blocks are those that the trust line names, or the node ends.
	n.trust = trust
	if err := n.validator.Holds(t.Context(), trust); err != nil {
		t.Error(err)
	}
	n.trust.Hash = strings.Repeat("0", 64)
	if err := n.validator.Holds(t.Context(), n.trust); !errors.Is(err, validator.ErrForeignBlock) {
		t.Fatalf("another history: %v", err)
	}
	if err := <-n.foreign(t.Context()); !strings.Contains(err.Error(), strings.ToLower(trust.Hash)) {
		t.Errorf("another history: %v", err)
	}
}

// reached waits for a block.
func reached(t *testing.T, v *validator.Validator, height int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := v.WaitBlock(ctx, height); err != nil {
		t.Fatal(err)
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

// TestArrival: a node says that the ledger is here once it is, by its own word and
// by the tip that peers proved, and before that how far it is now and then.
func TestArrival(t *testing.T) {
	start := time.Unix(1000, 0)
	a := arrival{tip: 74, spoke: start}
	for i, step := range []struct {
		after    time.Duration
		height   int64
		catching bool
		want     string
	}{
		{0, 0, true, ""},
		{time.Second, 1, true, ""},
		{2 * time.Second, 1, false, ""},
		{arrivalSpeaks, 40, true, "getting the ledger: at block 40 of 74"},
		{arrivalSpeaks + time.Second, 60, true, ""},
		{2 * arrivalSpeaks, 80, true, "getting the ledger: at block 80, and more were made meanwhile"},
		{2*arrivalSpeaks + time.Second, 90, false, "the ledger is here, at block 90"},
		{9 * arrivalSpeaks, 99, false, ""},
	} {
		if said := a.at(start.Add(step.after), step.height, step.catching); said != step.want {
			t.Errorf("step %d: it says %q and not %q", i, said, step.want)
		}
	}
}
