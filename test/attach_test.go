package test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daulat/ui/control"
)

// TestDeadNetworkGetsNoToken has another program sit where a killed network
// listened: commands say that nothing runs, and keep the token to themselves.
func TestDeadNetworkGetsNoToken(t *testing.T) {
	var heard []string
	squatter := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		heard = append(heard, r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	defer squatter.Close()
	home := t.TempDir()
	left, err := json.Marshal(control.Ready{API: squatter.URL + "/v1", Token: "dlt-secret"})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"format": []byte("1\n"), "up.json": left} {
		if err := os.WriteFile(filepath.Join(home, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t.Context(), t, home, "status")
	if r.status != 1 || !strings.Contains(r.stderr, "no daulat runs") || len(heard) > 0 {
		t.Fatalf("status %d, %q; the squatter heard %q", r.status, r.stderr, heard)
	}
}
