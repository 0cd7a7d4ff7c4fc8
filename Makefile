# The two commands that matter: `make demo` shows Holdfast at work on a site of
# its own, without any server; `make test` installs what the tests need, and
# passes them.

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION     ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.PHONY: all build demo test soak bench bench-hold bench-hold-sums bench-hold-small bench-hold-heavy bench-hold-large bench-peers bench-render bench-stages bench-compare lint fuzz clean test-tools

all: build

build: bin/holdfast

bin/holdfast: FORCE
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $@ ./cmd/holdfast

FORCE:

# Needs nothing but Go: a site with traffic, snapshots, a restore, and the proof.
demo: build
	$(GO) run ./internal/demosite/demo --holdfast $(CURDIR)/bin/holdfast

# Real servers and tools, from Debian's packages.
test-tools:
	internal/testserver/install

test: test-tools lint
	$(GO) test -timeout 20m ./...

# What takes too long for every change: each test that draws at random for as long as
# SOAK says, all scenes of the model, races, long fuzzing. More than an hour. What fails keeps
# nothing that comes after it from being tried.
SOAK ?= 10m
soak: test-tools
	@failed=; \
	HOLDFAST_SOAK=$(SOAK) $(GO) test -v -timeout 4h -count 1 ./... || failed="$$failed tests,"; \
	$(GO) test -race -timeout 1h ./... || failed="$$failed race detector,"; \
	$(MAKE) fuzz FUZZTIME=30s || failed="$$failed fuzzing,"; \
	test -z "$$failed" || { echo "soak: failed:$${failed%,}"; exit 1; }

# The fuzzer of Go sometimes fails at the end of its time (go.dev/issue/75804, until Go 1.27) although
# it has found nothing; that target is tried once more. What it finds it writes down,
# and finds again.
FUZZTIME ?= 10s
fuzz:
	@set -e; log=$$(mktemp); trap 'rm -f $$log' EXIT; \
	fuzz() { $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package >$$log 2>&1 && ok=0 || ok=$$?; cat $$log; return $$ok; }; \
	packages=$$($(GO) list ./...); \
	for package in $$packages; do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; \
	    fuzz || { grep -q '^    context deadline exceeded$$' $$log && fuzz; }; \
	  done; \
	done

# Side by side with restic, borg and kopia, as far as they are installed: what
# bench-peers has installed comes before what else is on PATH. Other data and other
# commands: make bench BENCH='--data dump --runs 3', make bench BENCH='days --days 30'.
BENCH ?= --data mixed
bench: build
	PATH="$(CURDIR)/.cache/peers/bin:$$PATH" $(GO) run ./bench $(BENCH) --holdfast $(CURDIR)/bin/holdfast

bench-peers:
	bench/install-peers

# What visitors notice of a snapshot: the figures of docs/quiesce.md. Takes half
# an hour, 12 GB of TMPDIR and a machine that does nothing else. Each part can be
# run by itself, and adds to what its file in docs/quiesce holds.
HOLD := $(GO) test ./bench/hold -count 1 -v -timeout 1h
bench-hold: test-tools
	rm -f $(CURDIR)/docs/quiesce/hold-*.json
	for run in 1 2 3 4 5; do $(MAKE) bench-hold-sums || exit 1; done
	for run in 1 2 3 4; do $(MAKE) bench-hold-small bench-hold-heavy || exit 1; done
	$(MAKE) bench-hold-large

bench-hold-small: FILES := 20000
bench-hold-small: MEGABYTES := 500
bench-hold-heavy: FILES := 20000
bench-hold-heavy: MEGABYTES := 5000
bench-hold-large: FILES := 200000
bench-hold-large: MEGABYTES := 5000
bench-hold-small bench-hold-heavy bench-hold-large:
	$(HOLD) -run TestTheHold -snapshots 20 -rate 500 -files $(FILES) -megabytes $(MEGABYTES) -out $(CURDIR)/docs/quiesce/$(@:bench-%=%).json

bench-hold-sums:
	$(HOLD) -run TestNothingIsLost -snapshots 20 -restores 4 -rate 200 -out $(CURDIR)/docs/quiesce/hold-sums.json

# The tables and pictures of docs/benchmarks.md, from the results beside it.
bench-render:
	$(GO) run ./bench render docs/benchmarks.md

# The stages by themselves, against regression.
STAGES     := ./chunk ./index ./internal/blob ./internal/delta ./internal/seal ./internal/tree ./repo/pack
BENCHSTAT  := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
BENCHCOUNT ?= 6
STAGESOUT  ?= .cache/stages-$(VERSION).txt
bench-stages:
	@mkdir -p $(dir $(STAGESOUT))
	$(GO) test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) -timeout 3h $(STAGES) >$(STAGESOUT).part || { cat $(STAGESOUT).part; exit 1; }
	@mv $(STAGESOUT).part $(STAGESOUT); cat $(STAGESOUT); echo "written to $(STAGESOUT)"

bench-compare:
	@test -n "$(OLD)" -a -n "$(NEW)" || { echo 'usage: make bench-compare OLD=FILE NEW=FILE'; exit 2; }
	$(GO) run $(BENCHSTAT) $(OLD) $(NEW)

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	cd chunk/avx2gen && $(GO) vet . && $(GO) run . | diff ../vector_amd64.s - # else: go generate ./chunk
	cd internal/blake3/avx512gen && $(GO) vet . && $(GO) run . | diff ../vector_amd64.s - # else: go generate ./internal/blake3

clean:
	rm -rf bin
