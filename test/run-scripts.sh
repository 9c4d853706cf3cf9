#!/usr/bin/env bash
# Runs every script in test/script against the built binaries, with the real AWS CLI, the npm clients and Chromium.
set -uo pipefail
cd "$(dirname "$0")/.."
(cd test/npm && { [ -d node_modules ] && [ node_modules -nt package-lock.json ] || { echo "make test: installing the npm clients"; npm ci --no-audit --no-fund --silent && touch node_modules; }; }) || exit 1
passed=0 failed=0
for script in test/script/*.sh; do
  [ "$script" = test/script/lib.sh ] && continue
  echo "$script"
  if bash "$script"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $script"; fi
done
echo "scripts: $passed passed, $failed failed"
[ $failed -eq 0 ]
