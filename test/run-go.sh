#!/usr/bin/env bash
# All Go tests with the race detector, on SQLite and on a throw-away PostgreSQL, and those of usher-s3.
set -uo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap './test/postgres.sh stop "$dir" >/dev/null 2>&1; rm -rf "$dir"' EXIT
USHER_TEST_POSTGRES=$(./test/postgres.sh start "$dir" | tail -n 1) || exit 1
export USHER_TEST_POSTGRES
CGO_ENABLED=1 go test -race -timeout 20m ${GOTESTFLAGS:-} ./... || exit 1
(cd usher-s3 && go vet ./... && go test ./...) || exit 1
