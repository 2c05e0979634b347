package artifact

import (
	"fmt"

	"daulat/core/canon"
)

// Declaration names a model by what its provider calls it. Nobody else has its
// bytes, so nothing it is said to answer can be run again: a declared model is
// never taken for one that a manifest describes, and the codec of its CID, which
// is raw, tells the two apart.
type Declaration struct {
	Version uint64 `cbor:"v"`
	Name    string `cbor:"name"` // as of a model's manifest
	// Digest is the SHA-256 that the provider's server states for the model, in
	// hexadecimal, or empty. It is the provider's word like the name.
	Digest string `cbor:"digest,omitempty"`
}

// maxDeclaration bounds a declaration's encoding, in bytes.
const maxDeclaration = 512

// IsDeclared reports that a model's CID is of a declaration and not of a manifest.
func IsDeclared(model canon.CID) bool { return model.Codec() == canon.Raw }

// DeclaredID names the declaration that has the given canonical bytes.
func DeclaredID(data []byte) canon.CID { return canon.NewCID(canon.Raw, canon.Sum(data)) }

// Encode returns the canonical bytes and the declared model's CID.
func (d Declaration) Encode() ([]byte, canon.CID, error) {
	if err := d.validate(); err != nil {
		return nil, canon.CID{}, fmt.Errorf("declaration: %w", err)
	}
	data, err := canon.Marshal(d)
	return data, DeclaredID(data), err
}

// DecodeDeclaration reads a declaration strictly. No bytes are both a declaration
// and a manifest, as each has fields that the other lacks.
func DecodeDeclaration(data []byte) (Declaration, error) {
	var d Declaration
	if len(data) > maxDeclaration {
		return d, fmt.Errorf("declaration: %d bytes exceed the limit of %d", len(data), maxDeclaration)
	}
	if err := canon.Unmarshal(data, &d); err != nil {
		return Declaration{}, fmt.Errorf("declaration: %w", err)
	}
	if err := d.validate(); err != nil {
		return Declaration{}, fmt.Errorf("declaration: %w", err)
	}
	return d, nil
}

// DecodeDeclarationAs reads a declaration that must have the given name.
func DecodeDeclarationAs(id canon.CID, data []byte) (Declaration, error) {
	if got := DeclaredID(data); got != id {
		return Declaration{}, fmt.Errorf("declaration: bytes are those of %s, not of %s", got, id)
	}
	return DecodeDeclaration(data)
}

func (d Declaration) validate() error {
	switch {
	case d.Version != canon.Version:
		return fmt.Errorf("version %d is unknown", d.Version)
	case !isText(d.Name) || !isModelName(d.Name):
		return fmt.Errorf("name must have 1 to %d bytes of printable ASCII without a space at either end", maxText)
	case d.Digest != "" && !isSHA256(d.Digest):
		return fmt.Errorf("digest must have 64 lower-case hexadecimal digits")
	}
	return nil
}

func isSHA256(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 64
}
