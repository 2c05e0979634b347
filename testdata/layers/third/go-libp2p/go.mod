module github.com/libp2p/go-libp2p

go 1.26.8

require github.com/cosmos/cosmos-sdk v0.0.0
