package registry

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	"github.com/cosmos/cosmos-sdk/types/query"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "daulat/gen/registry"
	"daulat/ledger/record"
)

// queries answers questions.
type queries struct{ *Store }

var _ pb.QueryServer = queries{}

// Provider answers with one provider, with its key as it stands now.
func (q queries) Provider(ctx context.Context, r *pb.QueryProvider) (*pb.QueryProviderResponse, error) {
	account, err := record.Account(q.addresses, r.Account)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	p, _, err := q.provider(ctx, account)
	if err != nil {
		return nil, absent(err, "provider "+account)
	}
	return &pb.QueryProviderResponse{Provider: &p}, nil
}

// Providers lists providers in the order of their accounts.
func (q queries) Providers(ctx context.Context, r *pb.QueryProviders) (*pb.QueryProvidersResponse, error) {
	page, err := record.Page(r.Pagination)
	if err != nil {
		return nil, err
	}
	list, next, err := query.CollectionPaginate(ctx, q.providers, page,
		func(account string, _ pb.Provider) (pb.Provider, error) {
			p, _, err := q.provider(ctx, account)
			return p, err
		})
	return &pb.QueryProvidersResponse{Providers: list, Pagination: next}, err
}

// Offers lists offers, of one model if the model is given.
func (q queries) Offers(ctx context.Context, r *pb.QueryOffers) (*pb.QueryOffersResponse, error) {
	page, err := record.Page(r.Pagination)
	if err != nil {
		return nil, err
	}
	if r.Model == "" {
		list, next, err := query.CollectionPaginate(ctx, q.offers, page,
			func(_ offerKey, o pb.Offer) (pb.Offer, error) { return o, nil })
		return &pb.QueryOffersResponse{Offers: list, Pagination: next}, err
	}
	model, err := parseModel(r.Model)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	list, next, err := query.CollectionPaginate(ctx, q.offers.Indexes.Model, page,
		func(k collections.Pair[string, offerKey], _ collections.NoValue) (pb.Offer, error) {
			return q.offers.Get(ctx, k.K2())
		},
		query.WithCollectionPaginationPairPrefix[string, offerKey](model))
	return &pb.QueryOffersResponse{Offers: list, Pagination: next}, err
}

// Artifact answers with one artifact and its manifest.
func (q queries) Artifact(ctx context.Context, r *pb.QueryArtifact) (*pb.QueryArtifactResponse, error) {
	id, err := parseModel(r.Id)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	a, err := q.artifacts.Get(ctx, id)
	if err != nil {
		return nil, absent(err, "artifact "+id)
	}
	return &pb.QueryArtifactResponse{Artifact: &a}, nil
}

// Artifacts lists artifacts without their manifests, which may have 64 KiB each.
func (q queries) Artifacts(ctx context.Context, r *pb.QueryArtifacts) (*pb.QueryArtifactsResponse, error) {
	page, err := record.Page(r.Pagination)
	if err != nil {
		return nil, err
	}
	list, next, err := query.CollectionPaginate(ctx, q.artifacts, page, func(_ string, a pb.Artifact) (pb.Artifact, error) {
		a.Manifest = nil
		return a, nil
	})
	return &pb.QueryArtifactsResponse{Artifacts: list, Pagination: next}, err
}

func absent(err error, what string) error {
	if errors.Is(err, collections.ErrNotFound) {
		return status.Error(codes.NotFound, what+" is not on record")
	}
	return err
}
