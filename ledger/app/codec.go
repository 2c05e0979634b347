package app

import (
	"sync"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/codec/address"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/std"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtx "github.com/cosmos/cosmos-sdk/x/auth/tx"
	txsigning "github.com/cosmos/cosmos-sdk/x/tx/signing"
	"github.com/cosmos/gogoproto/proto"
)

// Denom is the one coin, 10⁻⁶ DLT.
const Denom = "udlt"

// Prefix starts every account address.
const Prefix = "daulat"

// configure sets what the SDK keeps in global variables, once per process and
// before anything reads them: address prefixes and the name of the coin.
var configure = sync.OnceFunc(func() {
	c := sdk.GetConfig()
	c.SetBech32PrefixForAccount(Prefix, Prefix+"pub")
	c.SetBech32PrefixForValidator(Prefix+"valoper", Prefix+"valoperpub")
	c.SetBech32PrefixForConsensusNode(Prefix+"valcons", Prefix+"valconspub")
	c.Seal()
	sdk.DefaultBondDenom = Denom
})

// codecs encode addresses, state and transactions.
type codecs struct {
	account, validator, consensus address.Bech32Codec
	registry                      codectypes.InterfaceRegistry
	proto                         *codec.ProtoCodec
	amino                         *codec.LegacyAmino
	tx                            client.TxConfig
}

// newCodecs gives the registry its address codecs first: signers of a message
// are resolved as soon as the message is registered.
func newCodecs() codecs {
	configure()
	c := codecs{
		account:   address.Bech32Codec{Bech32Prefix: Prefix},
		validator: address.Bech32Codec{Bech32Prefix: Prefix + "valoper"},
		consensus: address.Bech32Codec{Bech32Prefix: Prefix + "valcons"},
		amino:     codec.NewLegacyAmino(),
	}
	registry, err := codectypes.NewInterfaceRegistryWithOptions(codectypes.InterfaceRegistryOptions{
		ProtoFiles:     proto.HybridResolver,
		SigningOptions: txsigning.Options{AddressCodec: c.account, ValidatorAddressCodec: c.validator},
	})
	must(err)
	c.registry, c.proto = registry, codec.NewProtoCodec(registry)
	std.RegisterLegacyAminoCodec(c.amino)
	std.RegisterInterfaces(registry)
	c.tx = authtx.NewTxConfig(c.proto, authtx.DefaultSignModes)
	return c
}
