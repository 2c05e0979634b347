package validator_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daulat/ledger/validator"
)

// A ledger that lies on this machine alone does not begin again from nothing when its
// data are gone, and what is half there is left to its owner.
func TestLostDataWithoutPeers(t *testing.T) {
	home := t.TempDir()
	if err := validator.Init(home, validator.Genesis{ChainID: "daulat-lost", ValidatorAccount: as(t, network(t), aliceSeed).Account()}); err != nil {
		t.Fatal(err)
	}
	start := func() error {
		v, err := validator.Start(t.Context(), validator.Config{Home: home, Sole: true})
		if err == nil {
			err = errors.Join(errors.New("it began again"), v.Stop())
		}
		return err
	}
	data := filepath.Join(home, "data")
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := start(); !errors.Is(err, validator.ErrLost) {
		t.Errorf("all is gone: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(data, "blockstore.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "remove all of "+data) {
		t.Errorf("blocks are left: %v", err)
	}
}
