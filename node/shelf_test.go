package node

import (
	"path/filepath"
	"testing"
)

// TestImportBesideARunningHome has one process import a model while another has
// the shelf open: it is found there, and neither forgets what the other did.
func TestImportBesideARunningHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	file, err := noiseFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var shelves [2]*Shelf
	for i := range shelves {
		if shelves[i], err = shelfOf(home); err != nil {
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
