package node

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"daulat/core/match"
	"daulat/platform/consumer"
)

// What an older program kept is read: failures and shuns hold, and its speeds, of
// nobody knows which model, don't.
func TestProvidersOfAnOlderProgram(t *testing.T) {
	k := knownProviders(filepath.Join(t.TempDir(), "providers.json"))
	err := os.WriteFile(string(k), []byte(`{"sessions": 3, "newcomers": 1, "providers": {
  "p": {"served": 5, "failed": 2, "latency_ms": 9, "first_token_ms": 40, "tokens_per_1000_s": 8000000, "seen": 7, "shunned": 8, "lied": true}}}`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	want := consumer.Memory{Sessions: 3, Newcomers: 1, Providers: map[string]consumer.Remembered{
		"p": {Facts: match.Facts{Served: 5, Failed: 2, Latency: 9}, Seen: 7, Shunned: 8, Lied: true}}}
	if m, err := k.Load(); err != nil || !reflect.DeepEqual(m, want) {
		t.Fatalf("%+v, %v", m, err)
	}
	r := want.Providers["p"]
	r.Models = map[string]consumer.Measured{"m": {Pace: match.Pace{Answers: 1, First: 2, Speed: 3}, Seen: 4}}
	want.Providers["p"] = r
	if err := k.Save(want); err != nil {
		t.Fatal(err)
	}
	if m, err := k.Load(); err != nil || !reflect.DeepEqual(m, want) {
		t.Fatalf("%+v, %v", m, err)
	}
}
