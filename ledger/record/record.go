// Package record is what the ledger's modules share in keeping records: the one
// form of what a message names, block time, events, pages, and core types as they
// lie in a store.
//
// Guarantees: a value that is accepted has one text form, so it is one key of a
// store; a page is bounded and never walks what it does not show; what
// [Canonical] stores are the very bytes that core signs and hashes.
package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/address"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"daulat/core/canon"
)

// Account returns the one text form of an account: bech32 also has one in upper
// case.
func Account(addresses address.Codec, text string) (string, error) {
	raw, err := addresses.StringToBytes(text)
	if err != nil {
		return "", fmt.Errorf("account: %w", err)
	}
	return addresses.BytesToString(raw)
}

// Key reads an Ed25519 key, which what names in errors.
func Key(what, text string) (key canon.PublicKey, err error) {
	if err = key.UnmarshalText([]byte(text)); err != nil {
		return key, fmt.Errorf("%s: %w", what, err)
	}
	if key.IsZero() {
		return key, fmt.Errorf("%s is zero", what)
	}
	return key, nil
}

// Signature reads an Ed25519 signature.
func Signature(raw []byte) (sig canon.Signature, err error) {
	if len(raw) != len(sig) {
		return sig, fmt.Errorf("signature has %d bytes, not %d", len(raw), len(sig))
	}
	return canon.Signature(raw), nil
}

// Time is block time in seconds.
func Time(ctx context.Context) uint64 {
	return uint64(max(0, sdk.UnwrapSDKContext(ctx).BlockTime().Unix()))
}

// Event writes an event of pairs of name and value.
func Event(ctx context.Context, kind string, pairs ...string) {
	var attributes []sdk.Attribute
	for i := 0; i < len(pairs); i += 2 {
		attributes = append(attributes, sdk.NewAttribute(pairs[i], pairs[i+1]))
	}
	sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(sdk.NewEvent(kind, attributes...))
}

// Number is how an event shows one.
func Number(n uint64) string { return strconv.FormatUint(n, 10) }

// OrZero reads an absent number as 0.
func OrZero(n uint64, err error) (uint64, error) {
	if errors.Is(err, collections.ErrNotFound) {
		return 0, nil
	}
	return n, err
}

// Atomic runs do over a copy of the state, and keeps what it wrote only if it
// succeeds.
func Atomic(ctx context.Context, do func(sdk.Context) error) error {
	branch, write := sdk.UnwrapSDKContext(ctx).CacheContext()
	if err := do(branch); err != nil {
		return err
	}
	write()
	return nil
}

// MaxPage is the most entries that one answer lists.
const MaxPage = 100

// Page caps a page. Offsets and totals are refused, as they walk everything.
func Page(r *query.PageRequest) (*query.PageRequest, error) {
	if r == nil {
		return &query.PageRequest{Limit: MaxPage}, nil
	}
	if r.Offset > 0 || r.CountTotal {
		return nil, status.Error(codes.InvalidArgument, "pages go by key: neither offset nor total is served")
	}
	page := *r
	if page.Limit == 0 || page.Limit > MaxPage {
		page.Limit = MaxPage
	}
	return &page, nil
}

// Canonical stores a core type as its canonical bytes.
type Canonical[T any] struct{}

// Encode implements collections' codec.ValueCodec.
func (Canonical[T]) Encode(v T) ([]byte, error) { return canon.Marshal(v) }

// Decode reads what Encode wrote, so nothing else than the store can be at fault.
func (Canonical[T]) Decode(data []byte) (v T, err error) { return v, canon.Restore(data, &v) }

// EncodeJSON implements collections' codec.ValueCodec.
func (Canonical[T]) EncodeJSON(v T) ([]byte, error) { return json.Marshal(v) }

// DecodeJSON implements collections' codec.ValueCodec.
func (Canonical[T]) DecodeJSON(data []byte) (v T, err error) { return v, json.Unmarshal(data, &v) }

// Stringify implements collections' codec.ValueCodec.
func (Canonical[T]) Stringify(v T) string { return fmt.Sprintf("%+v", v) }

// ValueType implements collections' codec.ValueCodec.
func (Canonical[T]) ValueType() string { return fmt.Sprintf("canonical/%T", *new(T)) }
