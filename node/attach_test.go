package node

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"daulat/ui/control"
)

// TestDeadNetworkGetsNoToken has another program sit where a killed network
// listened: nothing is said to it, least of all a secret.
func TestDeadNetworkGetsNoToken(t *testing.T) {
	var heard atomic.Int32
	var serves atomic.Bool
	const secret = "dlc-of-the-start-before"
	squatter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard.Add(1)
		if serves.Load() && r.Header.Get("Authorization") == "Bearer "+secret {
			_, _ = w.Write([]byte(`{"token":"dlt-secret"}`))
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer squatter.Close()
	dir := t.TempDir()
	home, err := OpenHome(filepath.Join(dir, "home"))
	if err != nil {
		t.Fatal(err)
	}
	left, err := json.Marshal(running{Base: squatter.URL, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(home.path(runningFile), left, 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := (Runtime{}).Attach(home.dir); !errors.Is(err, control.ErrNotRunning) || heard.Load() > 0 {
		t.Fatalf("attached to %+v, %v; the squatter heard %d requests", a, err, heard.Load())
	}
	release, err := home.Lock() // now something runs there, and it is not that network
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if a, err := (Runtime{}).Attach(home.dir); !errors.Is(err, control.ErrNotRunning) {
		t.Fatalf("attached to %+v, %v", a, err)
	}
	serves.Store(true)
	if a, err := (Runtime{}).Attach(home.dir); err != nil || a.Token != "dlt-secret" {
		t.Fatalf("%+v, %v", a, err)
	}
}
