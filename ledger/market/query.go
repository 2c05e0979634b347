package market

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	"github.com/cosmos/cosmos-sdk/types/query"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"daulat/core/job"
	pb "daulat/gen/market"
	"daulat/ledger/record"
)

// queries answers questions.
type queries struct{ *Store }

var _ pb.QueryServer = queries{}

// Params answers with the clocks of sessions that open from now on.
func (q queries) Params(ctx context.Context, _ *pb.QueryParams) (*pb.QueryParamsResponse, error) {
	w, err := q.windows.Get(ctx)
	return &pb.QueryParamsResponse{Params: pb.Params{CloseWindow: w.Close, ChallengeWindow: w.Challenge}}, err
}

// Order answers with one order.
func (q queries) Order(ctx context.Context, r *pb.QueryOrder) (*pb.QueryOrderResponse, error) {
	o, err := q.order(ctx, r.Id)
	if err != nil {
		return nil, absent(err)
	}
	w := wireOrder(o)
	return &pb.QueryOrderResponse{Order: &w}, nil
}

// Session answers with one session.
func (q queries) Session(ctx context.Context, r *pb.QuerySession) (*pb.QuerySessionResponse, error) {
	s, err := q.session(ctx, r.Id)
	if err != nil {
		return nil, absent(err)
	}
	w := wireSession(s)
	return &pb.QuerySessionResponse{Session: &w}, nil
}

// Orders lists orders by ID, those of one consumer if party is given.
func (q queries) Orders(ctx context.Context, r *pb.QueryOrders) (*pb.QueryOrdersResponse, error) {
	page, err := record.Page(r.Pagination)
	if err != nil {
		return nil, err
	}
	if r.Party == "" {
		list, next, err := query.CollectionPaginate(ctx, q.orders, page,
			func(_ uint64, o job.Order) (pb.Order, error) { return wireOrder(o), nil })
		return &pb.QueryOrdersResponse{Orders: list, Pagination: next}, err
	}
	party, err := record.Account(q.addresses, r.Party)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	list, next, err := query.CollectionPaginate(ctx, q.orderParties, page,
		func(k partyKey, _ collections.NoValue) (pb.Order, error) {
			o, err := q.order(ctx, k.K2())
			return wireOrder(o), err
		},
		query.WithCollectionPaginationPairPrefix[string, uint64](party))
	return &pb.QueryOrdersResponse{Orders: list, Pagination: next}, err
}

// Sessions lists sessions by ID: those in which party is consumer or provider,
// and those in the given state, if either is given.
func (q queries) Sessions(ctx context.Context, r *pb.QuerySessions) (*pb.QuerySessionsResponse, error) {
	page, err := record.Page(r.Pagination)
	if err != nil {
		return nil, err
	}
	wanted := func(s job.Session) bool { return r.State == "" || r.State == string(s.State) }
	if r.Party == "" {
		list, next, err := query.CollectionFilteredPaginate(ctx, q.sessions, page,
			func(_ uint64, s job.Session) (bool, error) { return wanted(s), nil },
			func(_ uint64, s job.Session) (pb.Session, error) { return wireSession(s), nil })
		return &pb.QuerySessionsResponse{Sessions: list, Pagination: next}, err
	}
	party, err := record.Account(q.addresses, r.Party)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	list, next, err := query.CollectionFilteredPaginate(ctx, q.sessionParties, page,
		func(k partyKey, _ collections.NoValue) (bool, error) {
			s, err := q.session(ctx, k.K2())
			return wanted(s), err
		},
		func(k partyKey, _ collections.NoValue) (pb.Session, error) {
			s, err := q.session(ctx, k.K2())
			return wireSession(s), err
		},
		query.WithCollectionPaginationPairPrefix[string, uint64](party))
	return &pb.QuerySessionsResponse{Sessions: list, Pagination: next}, err
}

// Complaints lists complaints by session and sequence number, those about one
// provider if provider is given.
func (q queries) Complaints(ctx context.Context, r *pb.QueryComplaints) (*pb.QueryComplaintsResponse, error) {
	page, err := record.Page(r.Pagination)
	if err != nil {
		return nil, err
	}
	if r.Provider == "" {
		list, next, err := query.CollectionPaginate(ctx, q.complaints, page,
			func(_ complaintKey, c job.Complaint) (pb.Complaint, error) { return wireComplaint(c), nil })
		return &pb.QueryComplaintsResponse{Complaints: list, Pagination: next}, err
	}
	provider, err := record.Account(q.addresses, r.Provider)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	list, next, err := query.CollectionPaginate(ctx, q.accused, page,
		func(k accusedKey, _ collections.NoValue) (pb.Complaint, error) {
			c, err := q.complaints.Get(ctx, k.K2())
			return wireComplaint(c), err
		},
		query.WithCollectionPaginationPairPrefix[string, complaintKey](provider))
	return &pb.QueryComplaintsResponse{Complaints: list, Pagination: next}, err
}

// Standing answers with what was seen of an account as a provider: nothing, if
// it never was one.
func (q queries) Standing(ctx context.Context, r *pb.QueryStanding) (*pb.QueryStandingResponse, error) {
	provider, err := record.Account(q.addresses, r.Provider)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	t, err := q.standing(ctx, provider)
	return &pb.QueryStandingResponse{Standing: wireStanding(t)}, err
}

// Standings lists what was seen of every account that served.
func (q queries) Standings(ctx context.Context, r *pb.QueryStandings) (*pb.QueryStandingsResponse, error) {
	page, err := record.Page(r.Pagination)
	if err != nil {
		return nil, err
	}
	list, next, err := query.CollectionPaginate(ctx, q.standings, page,
		func(provider string, t job.Standing) (pb.ProviderStanding, error) {
			return pb.ProviderStanding{Provider: provider, Standing: wireStanding(t)}, nil
		})
	return &pb.QueryStandingsResponse{Standings: list, Pagination: next}, err
}

func absent(err error) error {
	if errors.Is(err, errUnknown) {
		return status.Error(codes.NotFound, err.Error())
	}
	return err
}
