package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daulat/ledger/client"
)

// start opens the keyring of a home as daulat does.
func startKeys(dir string, ask func(bool) (string, error)) (source string, err error) {
	h, err := OpenHome(dir)
	if err != nil {
		return "", err
	}
	text, source, err := h.passphrase(ask)
	if err != nil {
		return "", err
	}
	_, err = client.OpenKeyring(h.path("keyring"), text)
	return source, err
}

func TestAskedPassphraseIsNotOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	var heard []bool
	say := func(text string) func(bool) (string, error) {
		return func(fresh bool) (string, error) {
			heard = append(heard, fresh)
			return text, nil
		}
	}
	for range 2 {
		if source, err := startKeys(dir, say("correct horse")); err != nil || source != passphraseAsked {
			t.Fatalf("%q: %v", source, err)
		}
	}
	if len(heard) != 2 || !heard[0] || heard[1] {
		t.Fatalf("asked for a fresh one: %v", heard)
	}
	if _, err := startKeys(dir, say("battery staple")); err == nil || !strings.Contains(err.Error(), "wrong passphrase") {
		t.Fatalf("a wrong passphrase: %v", err)
	}
	if _, err := startKeys(dir, nil); err == nil || !strings.Contains(err.Error(), "--ask-passphrase") {
		t.Fatalf("nobody was asked: %v", err)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "correct horse") {
			t.Errorf("%s has the passphrase", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPassphraseInTheHome(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	for range 2 {
		if source, err := startKeys(dir, nil); err != nil || source != passphraseInHome {
			t.Fatalf("%q: %v", source, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "passphrase"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if _, err := startKeys(dir, func(bool) (string, error) { return "mine", nil }); err == nil {
		t.Fatal("another passphrase was asked for than the one in the home")
	}
}

func TestPassphraseAsCredential(t *testing.T) {
	folder, dir := t.TempDir(), filepath.Join(t.TempDir(), "home")
	t.Setenv("CREDENTIALS_DIRECTORY", folder)
	if err := os.WriteFile(filepath.Join(folder, credential), []byte("from systemd\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	if source, err := startKeys(dir, nil); err != nil || source != passphraseCredential {
		t.Fatalf("%q: %v", source, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "passphrase")); !os.IsNotExist(err) {
		t.Fatalf("a passphrase lies in the home as well: %v", err)
	}
}
