package node

import (
	"path/filepath"
	"testing"

	"daulat/data/blob"
)

// TestImportBesideARunningHome has one process import a model while another has
// the shelf open: it is found there, and neither forgets what the other did.
func TestImportBesideARunningHome(t *testing.T) {
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := blob.Open(home.path("blobs"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := noiseFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var shelves [2]*Shelf
	for i := range shelves {
		if shelves[i], err = OpenShelf(home, store, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"one", "two"} {
		if _, err := shelves[i].Import(t.Context(), file, name, NoiseModelLicence); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range shelves {
		for _, name := range []string{"one", "two"} {
			if _, err := s.Find(name); err != nil {
				t.Error(err)
			}
		}
	}
}
