module daulat

go 1.26.8

require (
	github.com/cosmos/cosmos-sdk v0.0.0
	github.com/libp2p/go-libp2p v0.0.0
	go.uber.org/goleak v0.0.0
	lukechampine.com/blake3 v0.0.0
)

replace (
	github.com/cosmos/cosmos-sdk => ../third/cosmos-sdk
	github.com/libp2p/go-libp2p => ../third/go-libp2p
	go.uber.org/goleak => ../third/goleak
	lukechampine.com/blake3 => ../third/blake3
)
