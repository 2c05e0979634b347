package invite

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	"github.com/cosmos/cosmos-sdk/types/query"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"daulat/core/canon"
	"daulat/core/invite"
	pb "daulat/gen/invite"
	"daulat/ledger/record"
)

// queries answers questions.
type queries struct{ *Store }

var _ pb.QueryServer = queries{}

// Params answers with the bounds of invites that are made from now on.
func (q queries) Params(ctx context.Context, _ *pb.QueryParams) (*pb.QueryParamsResponse, error) {
	l, err := q.limits.Get(ctx)
	return &pb.QueryParamsResponse{Params: wireLimits(l)}, err
}

// Invite answers with one invite.
func (q queries) Invite(ctx context.Context, r *pb.QueryInvite) (*pb.QueryInviteResponse, error) {
	key, err := record.Key("invite key", r.Key)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	i, err := q.invite(ctx, key)
	if errors.Is(err, errUnknown) {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	if err != nil {
		return nil, err
	}
	w := wireInvite(i)
	return &pb.QueryInviteResponse{Invite: &w}, nil
}

// Invites lists invites by key, those of one inviter if inviter is given.
func (q queries) Invites(ctx context.Context, r *pb.QueryInvites) (*pb.QueryInvitesResponse, error) {
	page, err := record.Page(r.Pagination)
	if err != nil {
		return nil, err
	}
	if r.Inviter == "" {
		list, next, err := query.CollectionPaginate(ctx, q.invites, page,
			func(_ []byte, i invite.Invite) (pb.Invite, error) { return wireInvite(i), nil })
		return &pb.QueryInvitesResponse{Invites: list, Pagination: next}, err
	}
	inviter, err := record.Account(q.addresses, r.Inviter)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	list, next, err := query.CollectionPaginate(ctx, q.inviters, page,
		func(k inviterKey, _ collections.NoValue) (pb.Invite, error) {
			if len(k.K2()) != len(canon.PublicKey{}) {
				return pb.Invite{}, status.Error(codes.InvalidArgument, "that is no key of a page")
			}
			i, err := q.invite(ctx, canon.PublicKey(k.K2()))
			return wireInvite(i), err
		},
		query.WithCollectionPaginationPairPrefix[string, []byte](inviter))
	return &pb.QueryInvitesResponse{Invites: list, Pagination: next}, err
}
