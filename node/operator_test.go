package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"daulat/ledger/client"
)

// TestWhoMayReturn: a validator that missed too many blocks may return after its time
// aside, and one that signed twice never.
func TestWhoMayReturn(t *testing.T) {
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, row := range map[string]struct {
		v    client.Validator
		now  time.Time
		want string
	}{
		"it signs":     {client.Validator{Stake: client.MinStake, Bonded: true}, until, "is not set aside"},
		"too early":    {client.Validator{Stake: client.MinStake, Jailed: true, Until: until}, until.Add(-time.Second), "from 2026-01-02 03:04:05 UTC on"},
		"in time":      {client.Validator{Stake: client.MinStake, Jailed: true, Until: until}, until, ""},
		"signed twice": {client.Validator{Stake: client.MinStake, Jailed: true, Tombstoned: true, Until: until}, until.Add(time.Hour), "its key signed two blocks of one height: it is out for good"},
		"left":         {client.Validator{Stake: client.MinStake - 1, Jailed: true}, until, "it left"},
	} {
		err := mayReturn(row.v, row.now)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnyNodeOfAHomeServes: a command of a testnet's home reaches the ledger while one of
// its validators is left, whichever that is.
func TestAnyNodeOfAHomeServes(t *testing.T) {
	node := func() *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var call struct {
				ID json.RawMessage `json:"id"`
			}
			if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, call.ID)
		}))
		t.Cleanup(s.Close)
		return s
	}
	alive, killed := node(), node()
	killed.Close()
	address := func(s *httptest.Server) string { return "tcp://" + s.Listener.Addr().String() }
	for _, ledgers := range [][]string{{address(alive), address(killed)}, {address(killed), address(alive)}} {
		rpc, err := serving{Ledgers: ledgers}.dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rpc.Status(t.Context()); err != nil {
			t.Errorf("of %v one serves, and: %v", ledgers, err)
		}
	}
}
