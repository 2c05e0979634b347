// Package linktest gives tests keys and peers on loopback.
package linktest

import (
	"crypto/rand"
	"testing"

	"daulat/core/canon"
	"daulat/link"
)

// Key is a fresh key.
func Key(t testing.TB) canon.PrivateKey {
	t.Helper()
	key, err := canon.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Node is a peer with that key, which the test's end closes.
func Node(t testing.TB, key canon.PrivateKey) *link.Node {
	t.Helper()
	n, err := link.Open(link.Config{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}
