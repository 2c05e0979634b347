module daulat/tools

go 1.26.8

require (
	github.com/bufbuild/protocompile v0.14.1
	golang.org/x/tools v0.48.0
	google.golang.org/protobuf v1.36.11
)

require (
	golang.org/x/mod v0.38.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
)
