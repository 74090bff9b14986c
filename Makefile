# make           build and test
# make help      everything else

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)

# fdatasync halves the flash bytes of a commit; 64-bit files and times let 32-bit
# boxes live past 2038; text in double quotes is no string in SQL.
export CGO_ENABLED = 1
export CGO_CFLAGS = -O2 -DHAVE_FDATASYNC=1 -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -DSQLITE_DQS=0

TAGS    := osusergo,netgo,sqlite_omit_load_extension
LDFLAGS := -s -w -X main.version=$(VERSION)
STATIC  := -linkmode external -extldflags '-static'
BUILD   := go build -trimpath -tags $(TAGS)

.PHONY: all build demo test test-long bench cross lint fuzz clean help

all: build test

build: ## build bin/gaugeway for this machine (the first time compiles SQLite: about a minute)
	@.ci/need demo
	$(BUILD) -ldflags "$(LDFLAGS)" -o bin/gaugeway ./cmd/gaugeway

demo: build ## everything on this machine, no hardware: instruments, gateway, server, a link that fails, a kill -9
	bin/gaugeway demo

test: ## every test, with the race detector, against parts that nobody here wrote; installs those first
	@.ci/need test
	go vet ./...
	go vet -tags long ./drivers/modbus
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	go test -race -timeout 20m ./...
	$(MAKE) test-arm

test-arm: cross ## unit tests on armv7 and the demo on armv7 and arm64, emulated
	GOARCH=arm GOARM=7 CC=arm-linux-gnueabihf-gcc go test -tags $(TAGS) -exec qemu-arm-static -ldflags "$(STATIC)" -skip 'Foreign|Kill' ./gateway/... ./drivers/... ./broker/... ./buffer/...
	qemu-arm-static dist/gaugeway-linux-armv7 demo --for 30s --runner qemu-arm-static
	qemu-aarch64-static dist/gaugeway-linux-arm64 demo --for 30s --runner qemu-aarch64-static

test-long: ## fuzzing, many random histories, and kill -9 again and again; hours
	@.ci/need test
	go test -timeout 2h -run EverySeq ./buffer -rapid.checks=20000
	go test -timeout 2h -count 10 -run 'Kill|Fault' ./buffer ./cmd/gaugeway
	GAUGEWAY_LONG=1 go test -tags long -timeout 1h -run 'Long|Fault|Relay|Mutated' ./drivers/modbus ./broker
	$(MAKE) fuzz FUZZTIME=5m

FUZZTIME ?= 30s
fuzz: ## every fuzz test, FUZZTIME each
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$package; \
		done; done

bench: ## the figures of the README, as Go benchmarks
	@.ci/need test
	go test -run '^$$' -bench . -benchtime 1x -timeout 30m ./cmd/gaugeway
	go test -run '^$$' -bench Wear -benchtime 300x -timeout 30m ./buffer
	go test -run '^$$' -bench 'Append|Drain|Memory' -timeout 30m ./buffer
	go test -run '^$$' -bench . -timeout 30m ./gateway/... ./drivers/... ./broker

cross: dist/gaugeway-linux-arm64 dist/gaugeway-linux-armv7 ## static binaries for arm64 and armv7 in dist/

SOURCES := $(shell git ls-files '*.go' go.mod go.sum Makefile 2>/dev/null)

dist/gaugeway-linux-arm64: $(SOURCES)
	GOARCH=arm64 CC=aarch64-linux-gnu-gcc $(BUILD) -ldflags "$(LDFLAGS) $(STATIC)" -o $@ ./cmd/gaugeway

dist/gaugeway-linux-armv7: $(SOURCES)
	GOARCH=arm GOARM=7 CC=arm-linux-gnueabihf-gcc $(BUILD) -ldflags "$(LDFLAGS) $(STATIC)" -o $@ ./cmd/gaugeway

clean: ## remove what was built
	rm -rf bin dist

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
