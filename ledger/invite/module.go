package invite

import (
	"context"
	"encoding/json"
	"fmt"

	"cosmossdk.io/core/appmodule"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/types/msgservice"
	gwruntime "github.com/grpc-ecosystem/grpc-gateway/runtime"

	pb "daulat/gen/invite"
)

// Module plugs invites into the application.
type Module struct {
	cdc   codec.Codec
	store *Store
}

var (
	_ module.AppModuleBasic   = Module{}
	_ module.HasServices      = Module{}
	_ module.HasGenesis       = Module{}
	_ appmodule.HasEndBlocker = Module{}
)

// NewModule wraps a store.
func NewModule(cdc codec.Codec, s *Store) Module { return Module{cdc: cdc, store: s} }

// IsOnePerModuleType marks a module that is there once.
func (Module) IsOnePerModuleType() {}

// IsAppModule marks a module.
func (Module) IsAppModule() {}

// Name is the module's name.
func (Module) Name() string { return Name }

// ConsensusVersion counts breaking changes of the module's state.
func (Module) ConsensusVersion() uint64 { return 1 }

// RegisterLegacyAminoCodec registers nothing: messages are protobuf only.
func (Module) RegisterLegacyAminoCodec(*codec.LegacyAmino) {}

// RegisterInterfaces makes the module's messages known.
func (Module) RegisterInterfaces(r codectypes.InterfaceRegistry) {
	r.RegisterImplementations((*sdk.Msg)(nil), &pb.MsgCreate{}, &pb.MsgRevoke{}, &pb.MsgRedeem{})
	msgservice.RegisterMsgServiceDesc(r, &pb.Msg_serviceDesc)
}

// RegisterGRPCGatewayRoutes serves the queries over HTTP.
func (Module) RegisterGRPCGatewayRoutes(c client.Context, mux *gwruntime.ServeMux) {
	if err := pb.RegisterQueryHandlerClient(context.Background(), mux, pb.NewQueryClient(c)); err != nil {
		panic(err)
	}
}

// RegisterServices serves messages and queries.
func (m Module) RegisterServices(cfg module.Configurator) {
	pb.RegisterMsgServer(cfg.MsgServer(), server{m.store})
	pb.RegisterQueryServer(cfg.QueryServer(), queries{m.store})
}

// EndBlock ends invites whose time is over.
func (m Module) EndBlock(ctx context.Context) error { return m.store.EndBlock(ctx) }

// DefaultGenesis has no invites, and the default limits.
func (Module) DefaultGenesis(cdc codec.JSONCodec) json.RawMessage {
	return cdc.MustMarshalJSON(&pb.GenesisState{Params: wireLimits(DefaultLimits)})
}

// ValidateGenesis checks a genesis state.
func (m Module) ValidateGenesis(cdc codec.JSONCodec, _ client.TxEncodingConfig, raw json.RawMessage) error {
	var g pb.GenesisState
	if err := cdc.UnmarshalJSON(raw, &g); err != nil {
		return fmt.Errorf("invite genesis: %w", err)
	}
	_, _, err := m.store.parse(&g)
	return err
}

// InitGenesis fills the store, and panics on a bad genesis state, as the chain
// can't start from it.
func (m Module) InitGenesis(ctx sdk.Context, cdc codec.JSONCodec, raw json.RawMessage) {
	var g pb.GenesisState
	cdc.MustUnmarshalJSON(raw, &g)
	if err := m.store.load(ctx, &g); err != nil {
		panic(err)
	}
}

// ExportGenesis reads the store.
func (m Module) ExportGenesis(ctx sdk.Context, cdc codec.JSONCodec) json.RawMessage {
	g, err := m.store.dump(ctx)
	if err != nil {
		panic(err)
	}
	return cdc.MustMarshalJSON(g)
}
