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
// listened: nothing is said to it, least of all the token.
func TestDeadNetworkGetsNoToken(t *testing.T) {
	var heard atomic.Int32
	squatter := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	defer squatter.Close()
	dir := t.TempDir()
	home, err := OpenHome(filepath.Join(dir, "home"))
	if err != nil {
		t.Fatal(err)
	}
	left, err := json.Marshal(control.Ready{API: squatter.URL + "/v1", Token: "dlt-secret"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(home.path(readyFile), left, 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := (Runtime{}).Attach(home.dir); !errors.Is(err, ErrNotRunning) || heard.Load() > 0 {
		t.Fatalf("attached to %+v, %v; the squatter heard %d requests", a, err, heard.Load())
	}
	release, err := home.Lock() // now a network runs there
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if a, err := (Runtime{}).Attach(home.dir); err != nil || a.Token != "dlt-secret" {
		t.Fatalf("%+v, %v", a, err)
	}
}
