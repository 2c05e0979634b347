package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Where a keyring's passphrase comes from, as `daulat status` says it.
const (
	passphraseAsked      = "asked for at each start, and nowhere on disk"
	passphraseCredential = "a systemd credential"
	passphraseInHome     = "in the home, readable by this user alone"
)

// credential is the name under which systemd hands the passphrase over.
const credential = "daulat.passphrase"

// passphrase returns the keyring's passphrase and where it comes from: from ask,
// if that is not nil, which hears whether it is for a new keyring; else from a
// systemd credential; else from a random one in the home.
func (h Home) passphrase(ask func(fresh bool) (string, error)) (text, source string, err error) {
	file := h.path("passphrase")
	kept, err := readLine(file)
	if err != nil {
		return "", "", err
	}
	if ask != nil {
		if kept != "" {
			return "", "", fmt.Errorf("the keys of this home are under the passphrase in %s, so there is none to ask for", file)
		}
		text, err := ask(!h.hasKeys())
		return text, passphraseAsked, err
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		text, err := readLine(filepath.Join(dir, credential))
		if err != nil || text != "" {
			return text, passphraseCredential, err
		}
	}
	if kept != "" {
		return kept, passphraseInHome, nil
	}
	if h.hasKeys() {
		return "", "", errors.New("the passphrase of this home's keys is not in it: start with --ask-passphrase")
	}
	fresh, err := randomHex(32)
	if err != nil {
		return "", "", err
	}
	return fresh, passphraseInHome, writeFile(file, []byte(fresh+"\n"))
}

func (h Home) hasKeys() bool {
	entries, err := os.ReadDir(h.path("keyring"))
	return err == nil && len(entries) > 0
}

// readLine returns what a file holds, or nothing if there is none.
func readLine(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read passphrase: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
