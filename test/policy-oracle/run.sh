#!/usr/bin/env bash
# Compares the decisions of internal/policy with those of @cloud-copilot/iam-simulate, an independent simulator that runs
# as a process of its own. Installs the pinned packages if they are not there.
set -euo pipefail
cd "$(dirname "$0")"
if ! [ node_modules -nt package-lock.json ]; then
  echo "policy oracle: installing its npm packages"
  npm ci --no-audit --no-fund --silent
  touch node_modules
fi
cd ../..
USHER_TEST_POLICY_ORACLE=1 go test -count=1 -run '^TestOracle' ./internal/policy "$@"
