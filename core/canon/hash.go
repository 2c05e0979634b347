package canon

import (
	"encoding/hex"
	"fmt"
)

// Hash is a BLAKE3-256 digest.
type Hash [32]byte

// Sum hashes data: by a library with assembly, or under the tag purego by its
// portable twin.
func Sum(data []byte) Hash { return sum(data) }

// String is lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports the hash that no data has.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText writes lower-case hexadecimal, so that JSON shows it readably.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 64 {
		return fmt.Errorf("a hash has 64 hexadecimal digits, not %d", len(text))
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("read hash: %w", err)
	}
	return nil
}
