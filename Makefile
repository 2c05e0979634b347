# Daulat builds with Go alone, without cgo. `make` says what there is to do.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help build run test unit lint fresh peers soak gen guards sim dist reproducible clean bench-settle bench-gateway bench-native bench-match bench-start bench-join bench-blocks bench-relay

# Every build has the same tag, so that all share one cache. What `go env -w`
# has set stays in force.
export CGO_ENABLED := 0
export GOFLAGS := $(filter-out -tags=%,$(shell go env GOFLAGS 2>/dev/null)) -tags=pebbledb

help: ## what you are reading
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/daulat, the one program
	go build -ldflags '-s -w' -o bin/daulat ./cmd/daulat

run: ## a whole network on this machine, and a first verified answer (ONCE=1: then stop)
	@.ci/need
	@$(MAKE) build
	./bin/daulat demo $(if $(ONCE),--once)

test: lint fresh unit ## every check: lint, generated code, all tests of both modules

unit: ## all tests; none may be skipped and none may go missing (test/COUNT)
	@cd tools && go build -o ../bin/testjson ./testjson
	@{ bad=0; go test -json -vet=off -timeout=20m $(TESTFLAGS) ./... || bad=1; \
	   go test -json -vet=off -tags='pebbledb purego' $(TESTFLAGS) ./core/... || bad=1; \
	   cd tools && go test -json -vet=off $(TESTFLAGS) ./... || bad=1; \
	   exit $$bad; } | bin/testjson -count test/COUNT

lint: ## gofmt, go vet, and what consensus code must not contain
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	go vet ./...
	cd tools && go vet ./...
	cd tools && go run ./consensuslint -root ..

fresh: ## that gen/ is what proto/ generates
	@out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; \
	(cd tools && go run ./protogen -root .. -out "$$out"); \
	diff -r gen "$$out/gen" || { echo "gen/ is stale: run make gen"; exit 1; }

gen: ## gen/ from proto/
	cd tools && go run ./protogen -root ..

guards: ## that tests notice each guard's removal (SAMPLE=10: ten that the commit draws)
	@cd tools && go build -o ../bin/guards ./guards
	@bin/guards $(if $(SAMPLE),-sample $(SAMPLE) -seed $$(git rev-parse HEAD))

bench-settle: ## settlement against bank sends, on one node (bench/settle.md)
bench-gateway: ## what the network adds to an engine that costs nothing (bench/gateway.md)
bench-native: ## the native engine's speed, and what a check costs (bench/native.md)
bench-relay: ## what a relay adds to a link (bench/relay.md)
bench-match: ## order to first token among 1,000 offers, of which most vanish (bench/match.md)
bench-settle bench-gateway bench-native bench-relay bench-match: bench-%:
	@go build -ldflags '-s -w' -o bin/bench-$* ./bench/$*
	@bin/bench-$* $(ARGS)

bench-start: ## how long a person waits for the first answer (bench/start.md)
bench-join: ## how long a friend's machine waits for work and pay (bench/join.md)
bench-blocks: ## the time between two blocks of four validators (bench/blocks.md)
bench-start bench-join bench-blocks: bench-%: build
	@go build -ldflags '-s -w' -o bin/bench-$* ./bench/$*
	@bin/bench-$* $(ARGS)

sim: ## 1,000 and 10,000 providers in virtual time, a few minutes (docs/scale.md)
	@go build -o bin/sim ./sim
	@bin/sim $(ARGS)

soak: ## SOAK=10 minutes of killed providers, liars and restarts (SEED=1; test/soak/LOG.md)
	@go vet -tags=pebbledb,soak ./test
	SOAK=$(SOAK) SEED=$(SEED) go test -tags=pebbledb,soak -count=1 -timeout=0 -run='^TestSoak$$' -v ./test

peers: build ## foreign clients, tokenizers, llama.cpp, a browser, arm64 and networks of namespaces against the real product
	go run ./test/namespaces
	go run ./test/peers

dist: ## static binaries of all systems and their sums, in dist/ (TARGETS=linux/amd64,linux/arm64; cold: minutes each)
	@cd tools && go build -o ../bin/dist ./dist
	@bin/dist $(if $(TARGETS),-targets $(TARGETS))

reproducible: ## that linux/amd64 built elsewhere, with other caches, has the same bits (cold: minutes)
	@cd tools && go build -o ../bin/dist ./dist
	@bin/dist -check -out bin/reproducible -targets linux/amd64

clean: ## removes what was built
	rm -rf bin dist
