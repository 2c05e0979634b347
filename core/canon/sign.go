package canon

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// PublicKey is an Ed25519 key that signs receipts (identity) or vouchers (session).
type PublicKey [ed25519.PublicKeySize]byte

// Signature is an Ed25519 signature over a sealed body.
type Signature [ed25519.SignatureSize]byte

// PrivateKey signs. Its zero value is unusable.
type PrivateKey struct{ key ed25519.PrivateKey }

// ErrSignature says that a signature is not of that key over those bytes.
var ErrSignature = errors.New("signature does not verify")

// GenerateKey makes a key from 32 bytes of randomness.
func GenerateKey(random io.Reader) (PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return PrivateKey{}, fmt.Errorf("generate key: %w", err)
	}
	return PrivateKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// KeyFromSeed restores a key from the 32 bytes that Seed returned.
func KeyFromSeed(seed []byte) (PrivateKey, error) {
	if len(seed) != ed25519.SeedSize {
		return PrivateKey{}, fmt.Errorf("a key seed has %d bytes, not %d", ed25519.SeedSize, len(seed))
	}
	return PrivateKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// Seed returns the 32 secret bytes of the key.
func (k PrivateKey) Seed() []byte { return k.key.Seed() }

// Public returns the key's public half.
func (k PrivateKey) Public() PublicKey { return PublicKey(k.key.Public().(ed25519.PublicKey)) }

// Sign signs body in the given domain.
func (k PrivateKey) Sign(domain string, body any) Signature {
	return Signature(ed25519.Sign(k.key, Seal(domain, body)))
}

// Verify is the one place where Daulat checks an Ed25519 signature: single
// verification as in crypto/ed25519, never in batches, which accept other
// signatures.
func Verify(key PublicKey, domain string, body any, sig Signature) error {
	if !ed25519.Verify(key[:], Seal(domain, body), sig[:]) {
		return fmt.Errorf("%s: %w", domain, ErrSignature)
	}
	return nil
}

// String is lower-case hexadecimal.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// IsZero reports the absent key.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// MarshalText makes JSON show hexadecimal.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (k *PublicKey) UnmarshalText(text []byte) error { return (*Hash)(k).UnmarshalText(text) }

// MarshalText makes JSON show hexadecimal.
func (s Signature) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(s[:])), nil }

// UnmarshalText reads 128 hexadecimal digits.
func (s *Signature) UnmarshalText(text []byte) error {
	if len(text) != 2*len(s) {
		return fmt.Errorf("a signature has %d hexadecimal digits, not %d", 2*len(s), len(text))
	}
	_, err := hex.Decode(s[:], text)
	return err
}
