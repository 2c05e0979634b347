// Package artifact names immutable bytes. An artifact is described by a
// manifest: a canonical document that lists the artifact's parts by their
// BLAKE3 roots, what they are, under which licence, and from which parents they
// came. The manifest's CID is the name that jobs, offers and lineage use; two
// models that differ in one bit have different names.
//
// Start at [Manifest.ID] and [Decode].
package artifact

import (
	"fmt"
	"math"

	"daulat/core/canon"
)

// MaxManifest bounds a manifest's encoding, in bytes.
const MaxManifest = 64 << 10

const (
	maxParts   = 4096
	maxParents = 256
	maxText    = 256
)

// MediaModelGGUF is the media type of a language model in one GGUF file, which
// carries weights, tokenizer and chat template.
const MediaModelGGUF = "application/vnd.daulat.model.gguf"

// Weights is the role of the part that holds a model's weights.
const Weights = "weights"

// Manifest describes an artifact.
type Manifest struct {
	Version uint64      `cbor:"v"`
	Name    string      `cbor:"name"`    // for people; the CID is what counts; of a model printable ASCII
	Media   string      `cbor:"media"`   // media type of the whole
	Licence string      `cbor:"licence"` // SPDX expression
	Consent string      `cbor:"consent,omitempty"`
	Parts   []Part      `cbor:"parts"`
	Parents []canon.CID `cbor:"parents,omitempty"` // manifests it was made from
	Model   *Model      `cbor:"model,omitempty"`
}

// Part is one blob of an artifact.
type Part struct {
	Role string    `cbor:"role"`
	Blob canon.CID `cbor:"blob"`
	Size uint64    `cbor:"size"` // bytes
}

// Model says how a model is to be run, so that an answer is a function of the
// manifest and the request alone.
type Model struct {
	Semantics    string `cbor:"semantics"`    // meaning of the arithmetic, such as "float/1"
	Architecture string `cbor:"architecture"` // such as "llama"
	Context      uint64 `cbor:"context"`      // limit of prompt plus answer, in tokens
}

// Encode returns the canonical bytes and the manifest's name.
func (m Manifest) Encode() ([]byte, canon.CID, error) {
	if err := m.validate(); err != nil {
		return nil, canon.CID{}, fmt.Errorf("manifest: %w", err)
	}
	data, err := canon.Marshal(m)
	if err != nil {
		return nil, canon.CID{}, err
	}
	if len(data) > MaxManifest {
		return nil, canon.CID{}, fmt.Errorf("manifest: %d bytes exceed the limit of %d", len(data), MaxManifest)
	}
	return data, ID(data), nil
}

// ID names the manifest that has the given canonical bytes.
func ID(data []byte) canon.CID { return canon.NewCID(canon.DagCBOR, canon.Sum(data)) }

// Decode reads a manifest strictly.
func Decode(data []byte) (Manifest, error) {
	var m Manifest
	if len(data) > MaxManifest {
		return m, fmt.Errorf("manifest: %d bytes exceed the limit of %d", len(data), MaxManifest)
	}
	if err := canon.Unmarshal(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	if err := m.validate(); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

// DecodeAs reads a manifest that must have the given name.
func DecodeAs(id canon.CID, data []byte) (Manifest, error) {
	if got := ID(data); got != id {
		return Manifest{}, fmt.Errorf("manifest: bytes are those of %s, not of %s", got, id)
	}
	return Decode(data)
}

// Part returns the first part with the given role.
func (m Manifest) Part(role string) (Part, bool) {
	for _, p := range m.Parts {
		if p.Role == role {
			return p, true
		}
	}
	return Part{}, false
}

// Context is the model's limit of prompt plus answer, in tokens; the largest
// number if the manifest states none.
func (m Manifest) Context() uint64 {
	if m.Model == nil {
		return math.MaxUint64
	}
	return m.Model.Context
}

func (m Manifest) validate() error {
	switch {
	case m.Version != canon.Version:
		return fmt.Errorf("version %d is unknown", m.Version)
	case !isText(m.Name):
		return fmt.Errorf("name must have 1 to %d bytes of plain text", maxText)
	case m.Model != nil && !isModelName(m.Name):
		return fmt.Errorf("name of a model must be printable ASCII without a space at either end, not %q", m.Name)
	case !isText(m.Media):
		return fmt.Errorf("media type must have 1 to %d bytes of plain text", maxText)
	case !isText(m.Licence):
		return fmt.Errorf("licence must have 1 to %d bytes of plain text", maxText)
	case m.Consent != "" && !isText(m.Consent):
		return fmt.Errorf("consent must have at most %d bytes of plain text", maxText)
	case len(m.Parts) == 0 || len(m.Parts) > maxParts:
		return fmt.Errorf("must have 1 to %d parts", maxParts)
	case len(m.Parents) > maxParents:
		return fmt.Errorf("must have at most %d parents", maxParents)
	}
	for i, p := range m.Parts {
		if !isText(p.Role) || p.Blob.IsZero() {
			return fmt.Errorf("part %d lacks a role of 1 to %d bytes of plain text, or a blob", i, maxText)
		}
	}
	for i, p := range m.Parents {
		if p.Codec() != canon.DagCBOR {
			return fmt.Errorf("parent %d is not a manifest", i)
		}
	}
	return m.Model.validate()
}

func (m *Model) validate() error {
	if m == nil {
		return nil
	}
	if !isText(m.Semantics) || !isText(m.Architecture) || m.Context == 0 {
		return fmt.Errorf("model lacks semantics or architecture of 1 to %d bytes of plain text, or a context limit", maxText)
	}
	return nil
}

// isModelName reports that s looks like no other name that differs from it in
// the script or in a space at its end: models are chosen by what people read.
func isModelName(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return s[0] != ' ' && s[len(s)-1] != ' '
}

// isText reports that people can be shown s.
func isText(s string) bool { return s != "" && len(s) <= maxText && canon.Plain(s) }
