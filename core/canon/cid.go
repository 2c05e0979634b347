package canon

import (
	"bytes"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
)

// Codec says what the bytes behind a CID are.
type Codec byte

// The two codecs in use (multicodec table).
const (
	Raw     Codec = 0x55 // bytes as they are
	DagCBOR Codec = 0x71 // a canonical DAG-CBOR document
)

// CID is a CIDv1 with a BLAKE3-256 multihash: version, codec, 0x1e, 0x20, hash.
// The zero CID names nothing.
type CID [36]byte

const (
	cidVersion = 1
	blake3Code = 0x1e
	digestSize = 32
)

var cidText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewCID names the bytes that have the given hash.
func NewCID(codec Codec, h Hash) CID {
	var c CID
	c[0], c[1], c[2], c[3] = cidVersion, byte(codec), blake3Code, digestSize
	copy(c[4:], h[:])
	return c
}

// ParseCID reads the text form: multibase "b" and lower-case base32.
func ParseCID(text string) (CID, error) {
	if !strings.HasPrefix(text, "b") {
		return CID{}, fmt.Errorf("artifact ID %q does not start with b", clip(text))
	}
	raw, err := cidText.DecodeString(text[1:])
	if err != nil {
		return CID{}, fmt.Errorf("artifact ID %q is not base32", clip(text))
	}
	c, err := cidFromBytes(raw)
	if err != nil {
		return CID{}, fmt.Errorf("artifact ID %q: %w", clip(text), err)
	}
	if c.String() != text { // stray low bits of the last letter
		return CID{}, fmt.Errorf("artifact ID %q: %w", clip(text), ErrNotCanonical)
	}
	return c, nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

func cidFromBytes(raw []byte) (CID, error) {
	var c CID
	if len(raw) != len(c) {
		return c, fmt.Errorf("has %d bytes, not %d", len(raw), len(c))
	}
	copy(c[:], raw)
	if c[0] != cidVersion || c[2] != blake3Code || c[3] != digestSize {
		return CID{}, errors.New("is not a CIDv1 with BLAKE3-256")
	}
	if k := c.Codec(); k != Raw && k != DagCBOR {
		return CID{}, fmt.Errorf("has unknown codec 0x%x", byte(k))
	}
	return c, nil
}

// Codec returns what the named bytes are.
func (c CID) Codec() Codec { return Codec(c[1]) }

// Hash returns the BLAKE3-256 root of the named bytes.
func (c CID) Hash() Hash { return Hash(c[4:]) }

// IsZero reports the CID that names nothing.
func (c CID) IsZero() bool { return c == CID{} }

// String is the text form, which ParseCID reads.
func (c CID) String() string { return "b" + cidText.EncodeToString(c[:]) }

// MarshalText makes JSON show the text form.
func (c CID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the text form.
func (c *CID) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCID(string(text))
	return err
}

// cborLink is what precedes the 36 bytes of a CID in DAG-CBOR: tag 42, a byte
// string of 37 bytes, and the identity multibase prefix 0x00.
var cborLink = []byte{0xd8, 0x2a, 0x58, 0x25, 0x00}

// MarshalCBOR writes a DAG-CBOR link.
func (c CID) MarshalCBOR() ([]byte, error) {
	if _, err := cidFromBytes(c[:]); err != nil {
		return nil, fmt.Errorf("artifact ID %w", err)
	}
	return append(bytes.Clone(cborLink), c[:]...), nil
}

// UnmarshalCBOR reads a DAG-CBOR link.
func (c *CID) UnmarshalCBOR(data []byte) (err error) {
	raw, ok := bytes.CutPrefix(data, cborLink)
	if !ok {
		return errors.New("link is not tag 42 over a CIDv1")
	}
	*c, err = cidFromBytes(raw)
	return err
}
