package node

import (
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
