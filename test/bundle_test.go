package test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"daulat/core/canon"
	"daulat/core/verify"
	"daulat/node"
	"daulat/ui/control"
)

// TestSpoiltReceipts changes a true receipt in every way: byte by byte, by
// length, and by lies that keep it well-formed. None may be believed. A changed
// receipt is accepted only where the change says nothing: in its hints where to
// fetch the model, and in the signatures over the block that the trust line
// already names by its hash.
func TestSpoiltReceipts(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	u := up(t, home)
	must[map[string]any](t, home, "ask", "--max-tokens", "24", "hello")
	must[map[string]any](t, home, "ask", "--max-tokens", "24", "again")
	file := filepath.Join(dir, "receipt")
	must[map[string]any](t, home, "receipt", "export", "1-2", "-o", file)
	s := spoiler{home: filepath.Join(dir, "stranger"), trust: u.Trust}
	var err error
	if s.bundle, err = os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	if s.report, err = s.check(t, s.bundle); err != nil || s.report.Verdict != "agree" {
		t.Fatalf("the true receipt: %v, %v", s.report, err)
	}
	t.Run("Bytes", s.bytes)
	t.Run("Lengths", s.lengths)
	t.Run("Lies", s.lies)
}

type spoiler struct {
	home, trust string
	bundle      []byte
	report      control.Report // on the true bundle
}

// check is what `daulat verify` runs, in this process.
func (s spoiler) check(t *testing.T, bundle []byte) (control.Report, error) {
	return node.Runtime{}.Verify(t.Context(), control.VerifyOptions{Home: s.home, Bundle: bundle, Trust: s.trust}, func(string) {})
}

func (s spoiler) bytes(t *testing.T) {
	const tries = 1000
	random := rand.New(rand.NewPCG(7, 7))
	for range tries {
		at := random.IntN(len(s.bundle))
		changed := bytes.Clone(s.bundle)
		changed[at] ^= 1 << random.IntN(8)
		r, err := s.check(t, changed)
		if err == nil && !(reflect.DeepEqual(r, s.report) && sameClaim(t, s.bundle, changed)) {
			t.Errorf("with byte %d of %d changed from %02x to %02x: %s", at, len(s.bundle), s.bundle[at], changed[at], r.Line)
		}
	}
}

// sameClaim reports that two bundles differ in hints and ledger proof alone.
func sameClaim(t *testing.T, a, b []byte) bool {
	t.Helper()
	var plain [2][]byte
	for i, data := range [][]byte{a, b} {
		bundle, err := verify.DecodeBundle(data)
		if err != nil {
			t.Fatal(err)
		}
		bundle.Sources, bundle.Ledger = nil, nil
		if plain[i], err = canon.Marshal(bundle); err != nil {
			t.Fatal(err)
		}
	}
	return bytes.Equal(plain[0], plain[1])
}

func (s spoiler) lengths(t *testing.T) {
	for n := 0; n < len(s.bundle); n += 1 + n/8 {
		if r, err := s.check(t, s.bundle[:n]); err == nil {
			t.Errorf("the first %d of %d bytes: %s", n, len(s.bundle), r.Line)
		}
	}
	for _, more := range [][]byte{{0}, {0xf6}, s.bundle} {
		if r, err := s.check(t, slices.Concat(s.bundle, more)); err == nil {
			t.Errorf("with %d bytes more: %s", len(more), r.Line)
		}
	}
}

func (s spoiler) lies(t *testing.T) {
	for name, lie := range lies {
		changed, err := forged(s.bundle, lie)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r, err := s.check(t, changed); err == nil {
			t.Errorf("a lie about the %s: %s", name, r.Line)
		}
	}
}
