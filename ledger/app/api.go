package app

import (
	"context"
	"strings"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/grpc/cmtservice"
	"github.com/cosmos/cosmos-sdk/server/grpc/gogoreflection"
	grpctypes "github.com/cosmos/cosmos-sdk/types/grpc"
	"github.com/cosmos/cosmos-sdk/types/module"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	authtx "github.com/cosmos/cosmos-sdk/x/auth/tx"
	gogogateway "github.com/cosmos/gogogateway"
	gwruntime "github.com/grpc-ecosystem/grpc-gateway/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
)

// GRPCCodec is for both ends of a connection: it knows what the ledger's
// messages may contain.
func (a *App) GRPCCodec() encoding.Codec { return a.codecs.proto.GRPCCodec() }

// RegisterAPI serves on s each module's queries, blocks and validators,
// transactions, and the description of all that. node
// runs the application. Only the modules' queries can be asked over ABCI too.
func (a *App) RegisterAPI(s *grpc.Server, node client.CometRPC) {
	c := a.clientContext().WithClient(node)
	// The header is not compared: between a block's two steps it is of another
	// height than the state, and queries would fail for no reason.
	a.RegisterGRPCServerWithSkipCheckHeader(s, true)
	txtypes.RegisterServiceServer(s, &transactions{app: a,
		sdk: authtx.NewTxServer(c, a.Simulate, a.codecs.registry)})
	cmtservice.RegisterServiceServer(s, cmtservice.NewQueryServer(c, a.codecs.registry, a.Query))
	gogoreflection.Register(s)
}

// Router translates HTTP with JSON into calls on conn: every field has the name
// it has in proto, and is there even if empty; 64-bit integers are strings, and
// bytes are base64.
func (a *App) Router(conn *grpc.ClientConn) *gwruntime.ServeMux {
	mux := gwruntime.NewServeMux(
		gwruntime.WithMarshalerOption(gwruntime.MIMEWildcard,
			&gogogateway.JSONPb{OrigName: true, EmitDefaults: true, AnyResolver: a.codecs.registry}),
		gwruntime.WithProtoErrorHandler(gwruntime.DefaultHTTPProtoErrorHandler),
		gwruntime.WithIncomingHeaderMatcher(heightHeader))
	module.NewBasicManagerFromManager(a.modules, nil).
		RegisterGRPCGatewayRoutes(a.clientContext().WithGRPCClient(conn), mux)
	authtx.RegisterGRPCGatewayRoutes(conn, mux)
	cmtservice.RegisterGRPCGatewayRoutes(conn, mux)
	return mux
}

// heightHeader passes on the one header that means something: of which block
// the state is asked.
func heightHeader(key string) (string, bool) {
	return grpctypes.GRPCBlockHeightHeader, strings.EqualFold(key, grpctypes.GRPCBlockHeightHeader)
}

func (a *App) clientContext() client.Context {
	return client.Context{}.WithCodec(a.codecs.proto).WithInterfaceRegistry(a.codecs.registry).WithTxConfig(a.codecs.tx)
}

// transactions is the SDK's service but for what needs an index of
// transactions, which nodes do not keep, and for the encoding before protobuf.
type transactions struct {
	txtypes.UnimplementedServiceServer
	app *App
	sdk txtypes.ServiceServer
}

// BroadcastTx hands a signed transaction to the node, and waits at most for the
// first check.
func (t *transactions) BroadcastTx(ctx context.Context, r *txtypes.BroadcastTxRequest) (*txtypes.BroadcastTxResponse, error) {
	if r.Mode != txtypes.BroadcastMode_BROADCAST_MODE_SYNC && r.Mode != txtypes.BroadcastMode_BROADCAST_MODE_ASYNC {
		return nil, status.Error(codes.InvalidArgument, "the mode of a broadcast is sync or async")
	}
	if err := t.bounded(len(r.TxBytes)); err != nil {
		return nil, err
	}
	return t.sdk.BroadcastTx(ctx, r)
}

// Simulate runs a transaction on a copy of the state and tells its gas.
func (t *transactions) Simulate(ctx context.Context, r *txtypes.SimulateRequest) (*txtypes.SimulateResponse, error) {
	if err := t.bounded(max(len(r.TxBytes), r.Tx.Size())); err != nil {
		return nil, err
	}
	return t.sdk.Simulate(ctx, r)
}

// TxDecode makes the fields of a transaction readable.
func (t *transactions) TxDecode(ctx context.Context, r *txtypes.TxDecodeRequest) (*txtypes.TxDecodeResponse, error) {
	if err := t.bounded(len(r.TxBytes)); err != nil {
		return nil, err
	}
	return t.sdk.TxDecode(ctx, r)
}

// GetBlockWithTxs answers with a block and its transactions.
func (t *transactions) GetBlockWithTxs(ctx context.Context, r *txtypes.GetBlockWithTxsRequest) (*txtypes.GetBlockWithTxsResponse, error) {
	state, err := t.app.CreateQueryContextWithCheckHeader(0, false, false)
	if err != nil {
		return nil, err
	}
	return t.sdk.GetBlockWithTxs(state.WithContext(ctx), r)
}

func (t *transactions) bounded(size int) error {
	if size > MaxTxBytes {
		return status.Errorf(codes.InvalidArgument, "a transaction has at most %d bytes", MaxTxBytes)
	}
	return nil
}
