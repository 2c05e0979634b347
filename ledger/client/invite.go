package client

import (
	"context"
	"fmt"

	sdkquery "github.com/cosmos/cosmos-sdk/types/query"

	"daulat/core/canon"
	"daulat/core/invite"
	invitepb "daulat/gen/invite"
)

const inviteQuery = "/daulat.invite.v1.Query/"

// CreateInvite locks grant udlt of the account under a key, until block time
// expires, in seconds. No invite had the key before.
func (c *Client) CreateInvite(ctx context.Context, key canon.PublicKey, grant, expires uint64) error {
	err := c.send(ctx, nil, &invitepb.MsgCreate{Inviter: c.Account(), Key: key.String(), Grant: grant, Expires: expires})
	return wrap(err, "create invite")
}

// RevokeInvite takes an open invite of the account back, and its grant.
func (c *Client) RevokeInvite(ctx context.Context, key canon.PublicKey) error {
	return wrap(c.send(ctx, nil, &invitepb.MsgRevoke{Inviter: c.Account(), Key: key.String()}), "revoke invite %s", key)
}

// RedeemInvite carries the claim of an invite's key that guest gets the grant.
// The proof is the key's signature of an invite.Claim; the client's account
// needs coins of its own, and may be anybody's.
func (c *Client) RedeemInvite(ctx context.Context, key canon.PublicKey, guest string, proof canon.Signature) error {
	err := c.send(ctx, nil, &invitepb.MsgRedeem{Sender: c.Account(), Key: key.String(), Guest: guest, Proof: proof[:]})
	return wrap(err, "redeem invite %s", key)
}

// Invite returns the invite of a key: proven if the client is verified.
func (c *Client) Invite(ctx context.Context, key canon.PublicKey) (invite.Invite, error) {
	if c.follower != nil {
		var i invite.Invite
		err := c.verifiedRecord(ctx, inviteStore, inviteKey(key), &i)
		return i, wrap(err, "invite %s", key)
	}
	var r invitepb.QueryInviteResponse
	if err := c.query(ctx, inviteQuery+"Invite", &invitepb.QueryInvite{Key: key.String()}, &r); err != nil {
		return invite.Invite{}, fmt.Errorf("invite %s: %w", key, err)
	}
	if r.Invite == nil {
		return invite.Invite{}, fmt.Errorf("invite %s: %w", key, ErrNotFound)
	}
	i, err := parseInvite(*r.Invite)
	return i, wrap(err, "invite %s", key)
}

// Invites lists the invites of an inviter by key, or all for an empty name.
func (c *Client) Invites(ctx context.Context, inviter string) ([]invite.Invite, error) {
	invites, err := list(func(page *sdkquery.PageRequest) ([]invitepb.Invite, *sdkquery.PageResponse, error) {
		var r invitepb.QueryInvitesResponse
		err := c.query(ctx, inviteQuery+"Invites", &invitepb.QueryInvites{Inviter: inviter, Pagination: page}, &r)
		return r.Invites, r.Pagination, err
	})
	if err != nil {
		return nil, fmt.Errorf("list invites: %w", err)
	}
	return parseAll(invites, parseInvite)
}

// InviteLimits returns the ledger's bounds of invites that are made from now on.
func (c *Client) InviteLimits(ctx context.Context) (invite.Limits, error) {
	var r invitepb.QueryParamsResponse
	if err := c.query(ctx, inviteQuery+"Params", &invitepb.QueryParams{}, &r); err != nil {
		return invite.Limits{}, fmt.Errorf("limits of invites: %w", err)
	}
	return invite.Limits{MaxOpen: r.Params.MaxOpen, MaxGrant: r.Params.MaxGrant, MaxLife: r.Params.MaxLife}, nil
}

func parseInvite(w invitepb.Invite) (invite.Invite, error) {
	i := invite.Invite{Version: canon.Version, Inviter: w.Inviter, Grant: w.Grant, Expires: w.Expires,
		State: invite.State(w.State), Guest: w.Guest, Made: w.Made, Ended: w.Ended}
	if err := i.Key.UnmarshalText([]byte(w.Key)); err != nil {
		return i, fmt.Errorf("key: %w", err)
	}
	return i, nil
}

// Where the ledger keeps invites: the store's name, and a key of one byte and
// the invite's key.
const (
	inviteStore  = "invite"
	invitePrefix = 0x01
)

func inviteKey(key canon.PublicKey) []byte { return append([]byte{invitePrefix}, key[:]...) }

// InviteRecord returns an invite as the ledger stores it: the canonical bytes of
// an invite.Invite.
func (c *Client) InviteRecord(ctx context.Context, key canon.PublicKey) ([]byte, error) {
	record, err := c.ask(ctx, "/store/"+inviteStore+"/key", inviteKey(key))
	if err == nil && len(record) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("record of invite %s: %w", key, err)
	}
	return record, nil
}
