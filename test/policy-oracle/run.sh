#!/usr/bin/env bash
# Compares the decisions of internal/policy with those of @cloud-copilot/iam-simulate, an independent simulator that runs
# as a process of its own, and internal/policy/catalog with the data that it is made from. Installs the pinned packages if
# they are not there.
set -euo pipefail
cd "$(dirname "$0")"
if ! [ node_modules -nt package-lock.json ]; then
  echo "policy oracle: installing its npm packages"
  npm ci --no-audit --no-fund --silent
  touch node_modules
fi
node catalog.mjs | cmp - ../../internal/policy/catalog/catalog.txt || {
  echo "policy oracle: run node test/policy-oracle/catalog.mjs > internal/policy/catalog/catalog.txt" >&2
  exit 1
}
cd ../..
USHER_TEST_POLICY_ORACLE=1 go test -count=1 -run '^TestOracle' ./internal/policy "$@"
