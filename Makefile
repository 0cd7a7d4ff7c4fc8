# The two commands that matter: `make demo` shows Holdfast at work on a site of
# its own, without any server; `make test` installs what the tests need, and
# passes them.

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION     ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.PHONY: all build demo test soak bench lint fuzz clean test-tools

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

# What takes too long for every change: many kills, long fuzzing, races.
soak: test-tools
	HOLDFAST_SOAK=1 $(GO) test -timeout 3h -count 1 ./...
	$(GO) test -race -timeout 1h ./...
	$(MAKE) fuzz FUZZTIME=5m

FUZZTIME ?= 10s
fuzz:
	@set -e; for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

# Side by side with restic, borg and kopia, as far as they are installed.
bench: build
	$(GO) run ./bench --holdfast $(CURDIR)/bin/holdfast

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	cd chunk/avx2gen && $(GO) vet . && $(GO) run . | diff ../vector_amd64.s - # else: go generate ./chunk

clean:
	rm -rf bin
