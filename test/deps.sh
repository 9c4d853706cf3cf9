#!/usr/bin/env bash
# Installs what the tests need on Debian: a PostgreSQL server, the AWS CLI, a C compiler for the race detector, Chromium, curl,
# jq and openssl. Go and Node.js are expected to be there. Says what it installs; silent when nothing is missing.
set -euo pipefail
missing=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
command -v aws >/dev/null || missing+=(awscli)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v curl >/dev/null || missing+=(curl)
command -v jq >/dev/null || missing+=(jq)
command -v openssl >/dev/null || missing+=(openssl)
command -v chromium >/dev/null || missing+=(chromium)
for tool in go node npm; do
  command -v "$tool" >/dev/null || { echo "make test: $tool is needed and is not installed by this script" >&2; exit 1; }
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
echo "make test: installing ${missing[*]} with apt-get"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
