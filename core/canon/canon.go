// Package canon is the one encoding of everything that Daulat signs, hashes or
// names: DAG-CBOR, BLAKE3-256, CIDv1 and Ed25519.
//
// Guarantees: a value has exactly one encoding, and [Unmarshal] accepts no
// other (it decodes, encodes again and compares); what is signed or hashed
// starts with its format version and its domain, so bytes made for one purpose
// never count for another; signatures are checked by one function, [Verify],
// everywhere.
//
// Start at [Marshal] and [Digest]; spec/canon.md states the format.
package canon

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Version is the format version that starts everything signed or hashed.
const Version = 1

// MaxSize bounds the encodings that Unmarshal looks at, in bytes.
const MaxSize = 8 << 20

var (
	encoder = must(cbor.EncOptions{
		Sort:          cbor.SortLengthFirst,
		IndefLength:   cbor.IndefLengthForbidden,
		NilContainers: cbor.NilContainerAsEmpty,
		ShortestFloat: cbor.ShortestFloatNone,
	}.EncMode())
	decoder = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   16,
		MaxArrayElements:  1 << 20,
		MaxMapPairs:       1 << 12,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic(err)
	}
	return mode
}

// ErrNotCanonical says that bytes decode to a value which encodes differently.
var ErrNotCanonical = errors.New("not the canonical encoding")

// Marshal encodes v, a struct of integers, strings, byte strings, booleans,
// slices, CIDs and further such structs, with `cbor:"name"` tags.
func Marshal(v any) ([]byte, error) {
	data, err := encoder.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return data, nil
}

// MustMarshal encodes one of the project's own types, which cannot fail.
func MustMarshal(v any) []byte {
	data, err := Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// Unmarshal decodes data into v if data is the one encoding of that value:
// unknown or repeated fields, unsorted keys, long integers and trailing bytes
// are refused. v is unspecified after an error.
func Unmarshal(data []byte, v any) error {
	if len(data) > MaxSize {
		return fmt.Errorf("decode %T: %d bytes exceed the limit of %d", v, len(data), MaxSize)
	}
	if err := decoder.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	again, err := Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("decode %T: %w", v, ErrNotCanonical)
	}
	return nil
}

// Restore decodes what Marshal wrote and this program kept where nobody else
// writes, such as a ledger's state. It does not compare as Unmarshal does: never
// give it bytes from outside.
func Restore(data []byte, v any) error {
	if err := decoder.Unmarshal(data, v); err != nil {
		return fmt.Errorf("restore %T: %w", v, err)
	}
	return nil
}

// sealed is the array [version, domain, body] that is signed and hashed.
type sealed struct {
	_       struct{} `cbor:",toarray"`
	Version uint64
	Domain  string
	Body    any
}

// Seal returns the bytes that stand for body in the given domain.
func Seal(domain string, body any) []byte {
	return MustMarshal(sealed{Version: Version, Domain: domain, Body: body})
}

// Digest hashes body in the given domain.
func Digest(domain string, body any) Hash { return Sum(Seal(domain, body)) }
