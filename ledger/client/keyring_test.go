package client

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func open(t *testing.T, dir, pass string) *Keyring {
	t.Helper()
	k, err := OpenKeyring(dir, pass)
	check(t, err)
	return k
}

func secret(t *testing.T, k *Keyring, name string) []byte {
	t.Helper()
	s, err := k.Secret(name)
	check(t, err)
	return s
}

func TestKeyringKeepsSecrets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := open(t, dir, "pass")
	identity, session := secret(t, k, "identity"), secret(t, k, "session")
	if len(identity) != 32 || bytes.Equal(identity, session) {
		t.Fatal("secrets are not 32 bytes each, or equal")
	}
	main, err := k.Account("main")
	check(t, err)
	if !strings.HasPrefix(main.Account(), Prefix+"1") {
		t.Fatalf("address %s", main.Account())
	}
	signature, err := main.Sign([]byte("message"))
	check(t, err)
	if !main.PublicKey().VerifySignature([]byte("message"), signature) {
		t.Fatal("signature does not verify")
	}

	again := open(t, dir, "pass")
	if !bytes.Equal(secret(t, again, "identity"), identity) || !bytes.Equal(secret(t, again, "session"), session) {
		t.Fatal("a secret changed")
	}
	if same, err := again.Account("main"); err != nil || same.Account() != main.Account() {
		t.Fatalf("account changed: %v", err)
	}
	// An account and a secret of one name are two things.
	if bytes.Equal(secret(t, again, "main"), main.key.Key) {
		t.Fatal("a secret is an account's key")
	}
}

func TestKeyringIsEncrypted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := open(t, dir, "pass")
	s := secret(t, k, "identity")
	files, err := os.ReadDir(dir)
	check(t, err)
	if len(files) != 2 {
		t.Fatalf("%d files, not a probe and a secret", len(files))
	}
	for _, f := range files {
		info, err := f.Info()
		check(t, err)
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		check(t, err)
		if info.Mode().Perm() != 0o600 || bytes.Contains(data, s) {
			t.Errorf("%s has mode %o or holds the secret in clear", f.Name(), info.Mode().Perm())
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v", err)
	}
	if _, err := OpenKeyring(dir, "other"); !errors.Is(err, ErrPassphrase) {
		t.Fatalf("other passphrase: %v", err)
	}
	if _, err := OpenKeyring(dir, ""); err == nil {
		t.Fatal("an empty passphrase was taken")
	}
}

func TestKeyringRefusesDamageAndOddNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := open(t, dir, "pass")
	secret(t, k, "identity")
	file := filepath.Join(dir, secretTag+"identity")
	check(t, os.Truncate(file, 40))
	if _, err := k.Secret("identity"); err == nil {
		t.Fatal("a damaged secret was replaced")
	}
	for _, name := range []string{"", "..", "a/b", "../up", "Upper", strings.Repeat("x", 65)} {
		if _, err := k.Secret(name); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	// Without its probe a folder with keys is not taken for a new one.
	check(t, os.Remove(filepath.Join(dir, probeItem)))
	if _, err := OpenKeyring(dir, "other"); err == nil {
		t.Fatal("a folder with keys got a new passphrase")
	}
}

func TestKeyringMakesASecretOnce(t *testing.T) {
	k := open(t, t.TempDir(), "pass")
	secrets := make([][]byte, 8)
	var group sync.WaitGroup
	for i := range secrets {
		group.Go(func() { secrets[i], _ = k.Secret("identity") })
	}
	group.Wait()
	for _, s := range secrets {
		if len(s) != 32 || !bytes.Equal(s, secrets[0]) {
			t.Fatal("concurrent calls got different secrets")
		}
	}
}
