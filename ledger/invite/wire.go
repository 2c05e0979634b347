package invite

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"daulat/core/canon"
	"daulat/core/invite"
	pb "daulat/gen/invite"
)

// account returns the one text form of an account: bech32 also has one in
// upper case.
func (s *Store) account(text string) (string, error) {
	raw, err := s.addresses.StringToBytes(text)
	if err != nil {
		return "", fmt.Errorf("account: %w", err)
	}
	return s.addresses.BytesToString(raw)
}

func parseKey(text string) (key canon.PublicKey, err error) {
	if err = key.UnmarshalText([]byte(text)); err != nil {
		return key, fmt.Errorf("invite key: %w", err)
	}
	if key.IsZero() {
		return key, errors.New("invite key is zero")
	}
	return key, nil
}

func parseSignature(raw []byte) (sig canon.Signature, err error) {
	if len(raw) != len(sig) {
		return sig, fmt.Errorf("proof: a signature has %d bytes, not %d", len(sig), len(raw))
	}
	return canon.Signature(raw), nil
}

func wireLimits(l invite.Limits) pb.Params {
	return pb.Params{MaxOpen: l.MaxOpen, MaxGrant: l.MaxGrant, MaxLife: l.MaxLife}
}

func parseLimits(w pb.Params) invite.Limits {
	return invite.Limits{MaxOpen: w.MaxOpen, MaxGrant: w.MaxGrant, MaxLife: w.MaxLife}
}

func wireInvite(i invite.Invite) pb.Invite {
	return pb.Invite{Key: i.Key.String(), Inviter: i.Inviter, Grant: i.Grant, Expires: i.Expires, State: string(i.State),
		Guest: i.Guest, Made: i.Made, Ended: i.Ended}
}

func parseInvite(w pb.Invite) (invite.Invite, error) {
	key, err := parseKey(w.Key)
	return invite.Invite{Version: canon.Version, Key: key, Inviter: w.Inviter, Grant: w.Grant, Expires: w.Expires,
		State: invite.State(w.State), Guest: w.Guest, Made: w.Made, Ended: w.Ended}, err
}

// clock is block time in seconds.
func clock(ctx context.Context) uint64 {
	return uint64(max(0, sdk.UnwrapSDKContext(ctx).BlockTime().Unix()))
}

// emit writes an event of pairs of name and value.
func emit(ctx context.Context, kind string, pairs ...string) {
	var attributes []sdk.Attribute
	for i := 0; i < len(pairs); i += 2 {
		attributes = append(attributes, sdk.NewAttribute(pairs[i], pairs[i+1]))
	}
	sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(sdk.NewEvent(kind, attributes...))
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
