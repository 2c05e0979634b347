package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A mirror serves one file, as badly as told.
type mirror struct {
	*httptest.Server
	data   []byte
	etag   string
	breaks int // answers that end in the middle of what was asked for
	asked  []string
	serve  func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
}

func newMirror(t *testing.T) *mirror {
	before := downloadPause
	downloadPause = 0
	t.Cleanup(func() { downloadPause = before })
	m := &mirror{data: bytes.Repeat([]byte("model weights, "), 200_000), etag: `"one"`}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked = append(m.asked, r.Header.Get("Range"))
		if m.serve != nil && m.serve(w, r) {
			return
		}
		w.Header().Set("ETag", m.etag)
		if m.breaks > 0 {
			m.breaks--
			w = &broken{w, len(m.data) / 4}
		}
		http.ServeContent(w, r, "model.gguf", time.Time{}, bytes.NewReader(m.data))
	}))
	t.Cleanup(m.Close)
	return m
}

// broken ends the connection after so many bytes.
type broken struct {
	http.ResponseWriter
	left int
}

func (c *broken) Write(p []byte) (int, error) {
	if len(p) > c.left {
		c.ResponseWriter.Write(p[:c.left])
		http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

// get downloads from the mirror.
func (m *mirror) get(t *testing.T, hash string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	err := fetchURL(t.Context(), m.URL+"/a/model.gguf?x=1", hash, path, func(string) {})
	if err != nil {
		return err
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, m.data) {
		t.Fatalf("%d bytes came, of %d: %v", len(got), len(m.data), err)
	}
	return nil
}

func TestDownload(t *testing.T) {
	m := newMirror(t)
	sum := sha256.Sum256(m.data)
	hash := strings.ToUpper(hex.EncodeToString(sum[:]))
	if err := m.get(t, hash); err != nil {
		t.Fatal(err)
	}
	if err := m.get(t, strings.Repeat("0", 64)); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Fatalf("another file's hash: %v", err)
	}
}

func TestDownloadGoesOn(t *testing.T) {
	m := newMirror(t)
	m.breaks = 2 // each brings something, so they do not count as failures in a row
	if err := m.get(t, ""); err != nil {
		t.Fatal(err)
	}
	quarter := len(m.data) / 4
	want := fmt.Sprint([]string{"", fmt.Sprintf("bytes=%d-", quarter), fmt.Sprintf("bytes=%d-", 2*quarter)})
	if got := fmt.Sprint(m.asked); got != want {
		t.Fatalf("asked for %s, not %s", got, want)
	}
}

func TestDownloadOfAFileThatChanges(t *testing.T) {
	m := newMirror(t)
	m.breaks = 1
	m.serve = func(http.ResponseWriter, *http.Request) bool {
		if len(m.asked) == 2 {
			m.data, m.etag = bytes.Repeat([]byte("other weights, "), 100_000), `"two"`
		}
		return false
	}
	if err := m.get(t, ""); err != nil { // whole, and the new one
		t.Fatal(err)
	}
}

func TestDownloadGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request)
		times int
		says  string
	}{
		"absent": {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, 1, "404"},
		"broken": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, downloadTries, "500"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(int64(maxDownload)+1))
		}, 1, "too many"},
		"redirect to plain http elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://198.51.100.7/model.gguf", http.StatusFound)
		}, downloadTries, "only https"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			m.serve = func(w http.ResponseWriter, r *http.Request) bool { c.serve(w, r); return true }
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err := fetchURL(ctx, m.URL, "", filepath.Join(t.TempDir(), "file"), func(string) {})
			if err == nil || !strings.Contains(err.Error(), c.says) || len(m.asked) != c.times {
				t.Fatalf("%d requests: %v", len(m.asked), err)
			}
		})
	}
}

func TestDownloadAddresses(t *testing.T) {
	for address, good := range map[string]bool{
		"https://example.org/m.gguf": true, "http://127.0.0.1:9/m.gguf": true, "http://[::1]/m": true, "http://localhost/m": true,
		"http://example.org/m.gguf": false, "http://127.0.0.1.example.org/m": false, "ftp://localhost/m": false, "https://%zz": false,
		"http://localhost@example.org/m": false,
	} {
		if _, err := checkURL(address, ""); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
		hashed := good || strings.HasPrefix(address, "http://")
		if _, err := checkURL(address, strings.Repeat("0", 64)); (err == nil) != hashed {
			t.Errorf("%s, with a hash: %v", address, err)
		}
	}
	if got := nameOf("https://example.org/a/My-Model.gguf?download=true"); got != "My-Model" {
		t.Errorf("name %q", got)
	}
}
