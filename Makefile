# Everything here can be run any number of times. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# How long each fuzz target runs.
FUZZTIME ?= 10s
# Least coverage, in percent, of the packages that players' data depends on most.
COVER_FLOOR := 90
COVER_PACKAGES := ./lockstep ./snapshotcodec

# The linker sets the version, so that the build does not depend on the state of the checkout.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

# Packages that have tests against real servers.
REAL_PACKAGES = $(sort $(dir $(shell find . -name '*_real_test.go')))

LINT := go tool -modfile=tools/lint/go.mod golangci-lint
BUF := go tool -modfile=tools/generate/go.mod buf

# What verify, and with it CI, runs, in this order.
VERIFY := test build generate-check race test-real cover demo lint explore mutants chaos

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/syncworker, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/syncworker ./cmd/syncworker

.PHONY: demo
demo: ## move players between workers on embedded Redis and SQLite
	CGO_ENABLED=0 go run ./cmd/syncworker demo

.PHONY: test
test: ## run the tests that need only Go
	go test ./...

.PHONY: race
race: ## run them under the race detector (needs a C compiler)
	go test -race ./...

.PHONY: test-real
test-real: ## run the tests against real servers, and all others of their packages (needs redis-server)
	@command -v redis-server >/dev/null || { echo "redis-server is missing: apt-get install redis-server" >&2; exit 1; }
	go test -tags=real $(REAL_PACKAGES)

# How many distinct states `make explore` looks at, and more flags.
EXPLORE_STATES ?= 1500000
EXPLORE_FLAGS ?=

.PHONY: explore
explore: ## play every course of events that a few faults allow with the real state machine, and check the laws
	go run ./tools/explore -states $(EXPLORE_STATES) $(EXPLORE_FLAGS)

.PHONY: mutants
mutants: ## show that explore finds what is broken: one comparison or rule left out after the other
	go run ./tools/mutants

# How long `make chaos` breaks things, the seed that decides what (empty: the clock), and more flags.
CHAOS_TIME ?= 60s
CHAOS_SEED ?=
CHAOS_FLAGS ?=

.PHONY: chaos
chaos: ## break everything under real workers and games for CHAOS_TIME (60s) and judge what the games saw
	@command -v redis-server >/dev/null || { echo "redis-server is missing: apt-get install redis-server" >&2; exit 1; }
	go run ./tools/chaos -duration $(CHAOS_TIME) $(if $(CHAOS_SEED),-seed $(CHAOS_SEED)) $(CHAOS_FLAGS)

.PHONY: chaos-mutants
chaos-mutants: ## show that chaos catches a worker that leaves a guard out, one guard after the other
	go run ./tools/chaos -mutant all -duration 40s $(if $(CHAOS_SEED),-seed $(CHAOS_SEED)) $(CHAOS_FLAGS)

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (10s)
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s $$package; \
		done; \
	done

.PHONY: cover
cover: ## check the coverage of the packages that data depends on most
	@go test -cover $(COVER_PACKAGES) | awk -v floor=$(COVER_FLOOR) ' \
		{ print } \
		!/^ok/ { failed = 1 } \
		match($$0, /coverage: [0-9.]+/) { if (substr($$0, RSTART + 10, RLENGTH - 10) + 0 < floor) { \
			print "coverage is below " floor "%"; failed = 1 } } \
		END { exit failed }'

.PHONY: lint
lint: ## check style, import arrows and formatting
	$(LINT) run
	$(LINT) fmt --diff

.PHONY: fmt
fmt: ## format the code
	$(LINT) fmt

.PHONY: generate
generate: ## rebuild what is made from api/*.proto and from the table of keys
	$(BUF) generate
	go test ./internal/config -count=1 -update

.PHONY: generate-check
generate-check: ## fail when what generate makes is not current
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BUF) generate -o "$$folder"; \
	diff -r -x '*.proto' -x '*_test.go' api "$$folder/api" || \
		{ echo "generated code is not current: make generate" >&2; exit 1; }
	$(BUF) lint
	go test ./internal/config -run Current

.PHONY: verify
verify: ## run everything that CI runs
	@for step in $(VERIFY); do \
		echo "=== $$step"; \
		started=$$(date +%s); \
		$(MAKE) --no-print-directory $$step; \
		echo "=== $$step: $$(($$(date +%s) - started)) s"; \
	done

.PHONY: clean
clean: ## remove what the targets made
	rm -rf bin dist coverage.out
