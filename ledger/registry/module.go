package registry

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

	pb "daulat/gen/registry"
)

// Module plugs the registry into the application.
type Module struct {
	cdc   codec.Codec
	store *Store
}

var (
	_ module.AppModuleBasic = Module{}
	_ module.HasServices    = Module{}
	_ module.HasGenesis     = Module{}
	_ appmodule.AppModule   = Module{}
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
func (Module) ConsensusVersion() uint64 { return version }

// RegisterLegacyAminoCodec registers nothing: messages are protobuf only.
func (Module) RegisterLegacyAminoCodec(*codec.LegacyAmino) {}

// RegisterInterfaces makes the module's messages known.
func (Module) RegisterInterfaces(r codectypes.InterfaceRegistry) {
	r.RegisterImplementations((*sdk.Msg)(nil), &pb.MsgRegisterProvider{}, &pb.MsgRotateKey{}, &pb.MsgRevokeKey{}, &pb.MsgPutOffer{}, &pb.MsgWithdrawOffer{},
		&pb.MsgRegisterArtifact{})
	msgservice.RegisterMsgServiceDesc(r, &pb.Msg_serviceDesc)
}

// RegisterGRPCGatewayRoutes serves the queries over HTTP.
func (Module) RegisterGRPCGatewayRoutes(c client.Context, mux *gwruntime.ServeMux) {
	if err := pb.RegisterQueryHandlerClient(context.Background(), mux, pb.NewQueryClient(c)); err != nil {
		panic(err)
	}
}

// RegisterServices serves messages and queries, and brings older state up to date.
func (m Module) RegisterServices(cfg module.Configurator) {
	for i, migrate := range m.store.migrations() {
		if err := cfg.RegisterMigration(Name, uint64(i)+1, migrate); err != nil {
			panic(err) // two migrations from one version
		}
	}
	pb.RegisterMsgServer(cfg.MsgServer(), server{m.store})
	pb.RegisterQueryServer(cfg.QueryServer(), queries{m.store})
}

// DefaultGenesis is an empty registry with the default delay.
func (Module) DefaultGenesis(cdc codec.JSONCodec) json.RawMessage {
	return cdc.MustMarshalJSON(&pb.GenesisState{Params: pb.Params{KeyDelay: DefaultKeyDelay}})
}

// ValidateGenesis checks a genesis state.
func (m Module) ValidateGenesis(cdc codec.JSONCodec, _ client.TxEncodingConfig, raw json.RawMessage) error {
	var g pb.GenesisState
	if err := cdc.UnmarshalJSON(raw, &g); err != nil {
		return fmt.Errorf("registry genesis: %w", err)
	}
	return m.store.validate(&g)
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
