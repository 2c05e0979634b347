package invite

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"daulat/core/canon"
	"daulat/core/invite"
	pb "daulat/gen/invite"
	"daulat/ledger/coins"
	"daulat/ledger/record"
)

// server answers messages. It may assume that the account that a message's
// signer option names did sign it, and that an error undoes the message.
type server struct{ *Store }

var _ pb.MsgServer = server{}

// Create locks a grant under a key that no invite had before.
func (s server) Create(ctx context.Context, m *pb.MsgCreate) (*pb.MsgCreateResponse, error) {
	inviter, err := record.Account(s.addresses, m.Inviter)
	if err != nil {
		return nil, refuse(err)
	}
	key, err := record.Key("invite key", m.Key)
	if err != nil {
		return nil, refuse(err)
	}
	limits, err := s.limits.Get(ctx)
	if err != nil {
		return nil, err
	}
	i, err := invite.Make(key, inviter, m.Grant, m.Expires, record.Time(ctx), limits)
	if err != nil {
		return nil, refuse(err)
	}
	if err := s.admit(ctx, i, limits); err != nil {
		return nil, err
	}
	if err := s.vault.Lock(ctx, inviter, i.Grant); err != nil {
		return nil, err
	}
	record.Event(ctx, "invite_created", "invite", key.String(), "inviter", inviter)
	return &pb.MsgCreateResponse{}, s.put(ctx, invite.Invite{}, i)
}

// admit refuses a key that has an invite, and one open invite too many.
func (s server) admit(ctx context.Context, i invite.Invite, l invite.Limits) error {
	known, err := s.invites.Has(ctx, i.Key[:])
	if err != nil {
		return err
	}
	if known {
		return refuse(fmt.Errorf("make invite: %w", invite.ErrKey))
	}
	open, err := s.openOf(ctx, i.Inviter)
	if err != nil {
		return err
	}
	if err := l.Room(open); err != nil {
		return refuse(err)
	}
	return nil
}

// Revoke takes an open invite back and refunds its grant.
func (s server) Revoke(ctx context.Context, m *pb.MsgRevoke) (*pb.MsgRevokeResponse, error) {
	inviter, err := record.Account(s.addresses, m.Inviter)
	if err != nil {
		return nil, refuse(err)
	}
	before, err := s.named(ctx, m.Key)
	if err != nil {
		return nil, refuse(err)
	}
	after, err := before.Revoke(inviter, record.Time(ctx))
	if err != nil {
		return nil, refuse(err)
	}
	return &pb.MsgRevokeResponse{}, s.end(ctx, before, after)
}

// Redeem sends a grant to the guest that the invite's key named. An account is
// the guest of one invite at most.
func (s server) Redeem(ctx context.Context, m *pb.MsgRedeem) (*pb.MsgRedeemResponse, error) {
	if _, err := record.Account(s.addresses, m.Sender); err != nil {
		return nil, refuse(err)
	}
	guest, err := record.Account(s.addresses, m.Guest)
	if err != nil {
		return nil, refuse(err)
	}
	before, err := s.named(ctx, m.Key)
	if err != nil {
		return nil, refuse(err)
	}
	proof, err := record.Signature(m.Proof)
	if err != nil {
		return nil, refuse(err)
	}
	c := sdk.UnwrapSDKContext(ctx)
	c.GasMeter().ConsumeGas(authtypes.DefaultSigVerifyCostED25519, "signed claim")
	if err := (invite.Claim{Chain: c.ChainID(), Key: before.Key, Guest: guest}).Check(proof); err != nil {
		return nil, refuse(err)
	}
	after, err := before.Redeem(guest, record.Time(ctx))
	if err != nil {
		return nil, refuse(err)
	}
	welcome, err := s.guests.Has(ctx, guest)
	if err != nil {
		return nil, err
	}
	if welcome {
		return nil, refuse(fmt.Errorf("redeem invite: %w", invite.ErrGuest))
	}
	return &pb.MsgRedeemResponse{}, s.end(ctx, before, after)
}

// end saves an invite that has ended, says so, and pays.
func (s *Store) end(ctx context.Context, before, after invite.Invite) error {
	if err := s.put(ctx, before, after); err != nil {
		return err
	}
	to := after.Payee()
	if err := s.vault.Pay(ctx, to, after.Grant); err != nil {
		return refuse(err)
	}
	record.Event(ctx, "invite_ended", "invite", after.Key.String(), "state", string(after.State), "to", to, "amount", record.Number(after.Grant))
	return nil
}

// named loads the invite of the key that text states.
func (s *Store) named(ctx context.Context, text string) (invite.Invite, error) {
	key, err := record.Key("invite key", text)
	if err != nil {
		return invite.Invite{}, err
	}
	return s.invite(ctx, key)
}

// invite loads an invite.
func (s *Store) invite(ctx context.Context, key canon.PublicKey) (invite.Invite, error) {
	i, err := s.invites.Get(ctx, key[:])
	if errors.Is(err, collections.ErrNotFound) {
		return i, fmt.Errorf("invite %s: %w", key, errUnknown)
	}
	return i, err
}

var errUnknown = errors.New("it does not exist")

// refuse gives an error the code that clients act on.
func refuse(err error) error {
	switch {
	case errors.Is(err, errUnknown):
		return sdkerrors.ErrNotFound.Wrap(err.Error())
	case errors.Is(err, invite.ErrStranger), errors.Is(err, canon.ErrSignature), errors.Is(err, coins.ErrPayment):
		return sdkerrors.ErrUnauthorized.Wrap(err.Error())
	}
	return sdkerrors.ErrInvalidRequest.Wrap(err.Error())
}
