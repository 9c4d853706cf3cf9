# Usher. Two commands matter: `make run` starts it, `make test` proves it.
# CGO is off in everything that ships; only the race detector needs it, in tests.

export CGO_ENABLED := 0
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X usher/internal/server.Version=$(VERSION)
TOOL := go tool -modfile=tools/go.mod

.PHONY: run build test test-go test-oracle test-scripts lint generate bench deps clean

run: build
	./bin/usher serve

# The two binaries: usher itself, and usher-s3, the local object store that it starts as a child.
build:
	@mkdir -p bin
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/usher ./cmd/usher
	cd usher-s3 && go build -trimpath -ldflags '-s -w' -o ../bin/usher-s3 .

# Everything: linters, all Go tests with the race detector on both databases, the scripts with real clients.
test: deps lint build test-go test-oracle test-scripts

test-go:
	./test/run-go.sh

# The policy engine against an independent simulator, in a process of its own.
test-oracle:
	./test/policy-oracle/run.sh

test-scripts: build
	./test/run-scripts.sh

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt needed: $$unformatted"; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	./test/vuln.sh

generate:
	go generate ./...

# Benchmarks of the hot paths; a figure, never a test.
bench:
	go test -run '^$$' -bench . -benchmem ./...

# What the tests need and this machine lacks is installed here, and said.
deps:
	./test/deps.sh

clean:
	rm -rf bin
