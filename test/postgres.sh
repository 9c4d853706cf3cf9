#!/bin/sh
# Starts and stops a throw-away PostgreSQL server for the tests.
#
#   test/postgres.sh start DIR    makes a cluster in DIR unless there is one, starts
#                                 it and prints its URL on the last line of stdout
#   test/postgres.sh stop DIR     stops the server; DIR stays and can be removed
#
# The server listens on 127.0.0.1 alone, on a free port, and asks
# for a password kept in DIR. It runs as the user postgres when called by root,
# which PostgreSQL refuses to run as. Where PostgreSQL is missing, it is installed
# with apt-get (Debian), which takes root or sudo.
set -eu

usage() { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
say() { echo "postgres.sh: $*" >&2; }

[ $# -eq 2 ] || usage
command=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
data=$dir/data

# bin prints the directory of the newest PostgreSQL server on this machine.
bin() {
	for d in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n -r); do
		if [ -x "$d/initdb" ]; then echo "$d"; return; fi
	done
	if command -v initdb >/dev/null && command -v pg_ctl >/dev/null; then
		dirname "$(readlink -f "$(command -v initdb)")"
	fi
}

install_server() {
	command -v apt-get >/dev/null || { say "PostgreSQL is missing and there is no apt-get: please install its server"; exit 1; }
	sudo=
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || { say "PostgreSQL is missing: please run as root: apt-get install postgresql"; exit 1; }
		sudo=sudo
	fi
	say "PostgreSQL is missing: installing the Debian package postgresql, without the server it would start by itself"
	$sudo mkdir -p /etc/postgresql-common
	[ -e /etc/postgresql-common/createcluster.conf ] ||
		echo "create_main_cluster = false" | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
	$sudo apt-get update -qq >&2
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >&2
}

# as_server runs a command as the user that the server runs as.
as_server() {
	if [ "$(id -u)" -eq 0 ]; then
		(cd / && runuser -u postgres -- "$@")
	else
		"$@"
	fi
}

# give_to_server makes the directory that of the user postgres, who must be able
# to enter it.
give_to_server() {
	id postgres >/dev/null 2>&1 || { say "PostgreSQL refuses to run as root and there is no user postgres"; exit 1; }
	chown postgres "$dir" "$dir/password"
	as_server test -x "$dir" || { say "the user postgres cannot enter $dir: choose a directory below /tmp or /var/tmp"; exit 1; }
}

# free_port prints a TCP port that nobody listens on: the server has to be told
# a number, so one of the dynamic range is tried until pg_ctl succeeds.
free_port() { awk 'BEGIN { srand('"$(od -An -N3 -tu4 /dev/urandom)"'); print 49152 + int(rand() * 16384) }'; }

start() {
	bin=$(bin)
	if [ -z "$bin" ]; then
		install_server
		bin=$(bin)
		[ -n "$bin" ] || { say "PostgreSQL is still missing"; exit 1; }
	fi
	if [ ! -e "$data/PG_VERSION" ]; then
		say "making a PostgreSQL cluster in $data"
		(umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$dir/password")
		if [ "$(id -u)" -eq 0 ]; then give_to_server; fi
		as_server "$bin/initdb" --pgdata="$data" --username=usher --pwfile="$dir/password" \
			--auth=scram-sha-256 --encoding=UTF8 --locale=C >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
	fi
	if ! as_server "$bin/pg_ctl" --pgdata="$data" status >/dev/null 2>&1; then
		tries=0
		until port=$(free_port) && as_server "$bin/pg_ctl" --pgdata="$data" --log="$dir/server.log" --wait --silent \
			--options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c max_connections=300 -c fsync=on" start >/dev/null 2>&1; do
			tries=$((tries + 1))
			[ $tries -lt 5 ] || { say "the server does not start:"; tail -n 20 "$dir/server.log" >&2; exit 1; }
		done
		say "started a PostgreSQL server on 127.0.0.1:$port"
	fi
	port=$(sed -n 4p "$data/postmaster.pid")
	echo "postgres://usher:$(cat "$dir/password")@127.0.0.1:$port/postgres?sslmode=disable"
}

stop() {
	bin=$(bin)
	if [ -n "$bin" ] && [ -e "$data/postmaster.pid" ]; then
		as_server "$bin/pg_ctl" --pgdata="$data" --mode=fast --wait --silent stop
		say "stopped the PostgreSQL server"
	fi
}

case $command in
start) start ;;
stop) stop ;;
*) usage ;;
esac
