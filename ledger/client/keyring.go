package client

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"github.com/99designs/keyring"
	"github.com/cosmos/cosmos-sdk/codec/address"
	"github.com/cosmos/cosmos-sdk/crypto/keys/secp256k1"
	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
)

// Keyring keeps account keys and other secrets in files of one folder, each
// encrypted under a passphrase (PBES2 with AES-256-GCM). A file appears whole
// or not at all.
type Keyring struct {
	dir    string
	pass   string
	mu     sync.Mutex // a name is created once
	opened keyring.Keyring
}

// ErrPassphrase says that a keyring was made with another passphrase.
var ErrPassphrase = errors.New("wrong passphrase")

// Names of what a keyring holds: a probe of the passphrase, and two kinds.
const (
	probeItem  = "passphrase"
	accountTag = "account."
	secretTag  = "secret."
)

// secretSize is the length of every secret, in bytes: an Ed25519 seed, or a
// secp256k1 key.
const secretSize = 32

var keyName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// OpenKeyring opens the keyring in dir, or makes one. An empty passphrase is
// refused.
func OpenKeyring(dir, passphrase string) (*Keyring, error) {
	if passphrase == "" {
		return nil, errors.New("open keyring: the passphrase is empty")
	}
	opened, err := openFolder(dir, passphrase)
	if err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	k := &Keyring{dir: dir, pass: passphrase, opened: opened}
	if err := k.probe(); err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	return k, nil
}

func openFolder(dir, passphrase string) (keyring.Keyring, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return keyring.Open(keyring.Config{
		AllowedBackends:  []keyring.BackendType{keyring.FileBackend},
		FileDir:          dir,
		FilePasswordFunc: keyring.FixedStringPrompt(passphrase),
	})
}

// probe keeps two passphrases from being mixed in one folder.
func (k *Keyring) probe() error {
	_, err := k.opened.Get(probeItem)
	if err == nil {
		return nil
	}
	if !errors.Is(err, keyring.ErrKeyNotFound) {
		return fmt.Errorf("%w: %w", ErrPassphrase, err)
	}
	names, err := k.opened.Keys()
	if err != nil {
		return err
	}
	for _, name := range names {
		if filepath.Ext(name) != scratchExt {
			return errors.New("the folder holds other files")
		}
	}
	return k.save(probeItem, []byte("ok"))
}

// scratchExt marks folders of a write that did not end.
const scratchExt = ".new"

// save encrypts in a scratch folder, then moves the synced file to its place.
func (k *Keyring) save(name string, data []byte) (err error) {
	scratch, err := os.MkdirTemp(k.dir, "*"+scratchExt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	side, err := openFolder(scratch, k.pass)
	if err != nil {
		return err
	}
	if err := side.Set(keyring.Item{Key: name, Data: data}); err != nil {
		return err
	}
	if err := syncFile(filepath.Join(scratch, name)); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(scratch, name), filepath.Join(k.dir, name)); err != nil {
		return err
	}
	return syncFile(k.dir)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// obtain returns the secret of that name, made at the first call.
func (k *Keyring) obtain(tag, name string) ([]byte, error) {
	if !keyName.MatchString(name) {
		return nil, fmt.Errorf("%q is no name: 1 to 64 of a-z, 0-9, - and _", name)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	item, err := k.opened.Get(tag + name)
	if errors.Is(err, keyring.ErrKeyNotFound) {
		return k.create(tag + name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPassphrase, err)
	}
	if len(item.Data) != secretSize {
		return nil, fmt.Errorf("%s has %d bytes, not %d", name, len(item.Data), secretSize)
	}
	return item.Data, nil
}

func (k *Keyring) create(name string) ([]byte, error) {
	data := make([]byte, secretSize)
	if _, err := rand.Read(data); err != nil {
		return nil, err
	}
	return data, k.save(name, data)
}

// Secret returns 32 random bytes that stay the same for a name, made at the
// first call.
func (k *Keyring) Secret(name string) ([]byte, error) {
	data, err := k.obtain(secretTag, name)
	if err != nil {
		return nil, fmt.Errorf("secret of keyring: %w", err)
	}
	return data, nil
}

// Holds reports that the keyring has a secret of that name.
func (k *Keyring) Holds(name string) (bool, error) { return k.has(secretTag + name) }

// HoldsAccount reports that the keyring has an account key of that name.
func (k *Keyring) HoldsAccount(name string) (bool, error) { return k.has(accountTag + name) }

func (k *Keyring) has(name string) (bool, error) {
	names, err := k.opened.Keys()
	if err != nil {
		return false, fmt.Errorf("list keyring: %w", err)
	}
	return slices.Contains(names, name), nil
}

// AccountKey is a secp256k1 key that owns money.
type AccountKey struct {
	key     secp256k1.PrivKey
	address string
}

// Account returns the account key of that name, made at the first call.
func (k *Keyring) Account(name string) (*AccountKey, error) {
	data, err := k.obtain(accountTag, name)
	if err != nil {
		return nil, fmt.Errorf("account of keyring: %w", err)
	}
	return NewAccountKey(data)
}

// NewAccountKey makes an account of 32 secret bytes. All but a share of 2⁻¹²⁷
// of them are valid.
func NewAccountKey(secret []byte) (*AccountKey, error) {
	if len(secret) != secretSize {
		return nil, fmt.Errorf("an account key has %d bytes, not %d", secretSize, len(secret))
	}
	a := &AccountKey{key: secp256k1.PrivKey{Key: secret}}
	text, err := address.NewBech32Codec(Prefix).BytesToString(a.key.PubKey().Address())
	if err != nil {
		return nil, fmt.Errorf("address of account key: %w", err)
	}
	a.address = text
	return a, nil
}

// Account is the key's address.
func (a *AccountKey) Account() string { return a.address }

// PublicKey is what the ledger checks signatures with.
func (a *AccountKey) PublicKey() cryptotypes.PubKey { return a.key.PubKey() }

// Sign signs the SHA-256 of message.
func (a *AccountKey) Sign(message []byte) ([]byte, error) { return a.key.Sign(message) }
