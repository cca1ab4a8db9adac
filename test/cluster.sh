# test/cluster.sh: throwaway PostgreSQL servers for the demonstration and the tests.
#
# Source this file in a checkout that has been built. It creates $WORK, a new
# directory under /tmp with a private copy of PostgreSQL that has contime
# installed ($PGBIN: its programs, $VERSION: its major version); nothing is installed system-wide. Servers
# listen on a socket in their own directory only. On exit, for any reason, the
# servers are stopped by their pid and $WORK is removed.
#
#   as_owner COMMAND...           run as the servers' user (initdb refuses root)
#   cluster_start [SETTING=VALUE...]   start a server; sets PGHOST, PGDATA
#   cluster_stop                  stop it
#   cluster_assertions            make another copy whose contime was built with assertions ($ASSERTBIN: its programs)

PG_CONFIG=$(command -v "${PG_CONFIG:-pg_config}")
VERSION=$("$PG_CONFIG" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
OWNER=$(id -un)
[ "$OWNER" != root ] || OWNER=postgres
CHECKOUT=$PWD

as_owner() {
	if [ "$(id -u)" = 0 ]; then
		runuser -u "$OWNER" -- "$@"
	else
		"$@"
	fi
}

cluster_stop() {
	[ -n "${PGDATA:-}" ] && [ -s "$PGDATA/postmaster.pid" ] || return 0
	as_owner "$PGBIN/pg_ctl" stop -s -D "$PGDATA" -m fast -t 60 >/dev/null ||
		kill -QUIT "$(head -n 1 "$PGDATA/postmaster.pid")"
}

cluster_cleanup() {
	cluster_stop || true
	rm -rf "$WORK"
}

cluster_start() {
	local setting
	export PGDATA=$WORK/pgdata PGHOST=$WORK/socket PGUSER=$OWNER PGDATABASE=postgres
	rm -rf "$PGDATA"
	as_owner mkdir -p "$PGHOST"
	as_owner "$PGBIN/initdb" -D "$PGDATA" -A trust -U "$OWNER" -E UTF8 --no-locale --no-sync >"$WORK/initdb.log"
	{
		echo "shared_preload_libraries = 'contime'"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$PGHOST'"
		echo "timezone = 'UTC'"
		echo "fsync = off"
		for setting in "$@"; do
			echo "$setting"
		done
	} >>"$PGDATA/postgresql.conf"
	if ! as_owner "$PGBIN/pg_ctl" start -s -w -D "$PGDATA" -l "$WORK/server.log"; then
		cat "$WORK/server.log" >&2
		return 1
	fi
}

# Run every process of the server under valgrind, which reports to $WORK/valgrind.PID.
wrap_in_valgrind() {
	cp "$CHECKOUT/test/valgrind.supp" "$WORK"
	mv "$PGBIN/postgres" "$PGBIN/postgres.real"
	cat >"$PGBIN/postgres" <<-END
		#!/bin/sh
		exec valgrind --quiet --trace-children=yes --leak-check=no --undef-value-errors=yes \\
			--suppressions=$WORK/valgrind.supp --log-file=$WORK/valgrind.%p $PGBIN/postgres.real "\$@"
	END
	chmod 755 "$PGBIN/postgres"
}

# Its files are links to those of $WORK, except contime's.
cluster_assertions() {
	local dir bindir=$("$PG_CONFIG" --bindir) libdir=$("$PG_CONFIG" --pkglibdir) sharedir=$("$PG_CONFIG" --sharedir)
	local to=$WORK/assertions
	ASSERTBIN=$to$bindir
	[ ! -d "$to" ] || return 0
	mkdir -p "$to/source"
	cp -r "$CHECKOUT"/{Makefile,contime.control,src,sql} "$to/source"
	for dir in "$bindir" "$libdir" "$sharedir"; do
		mkdir -p "$to$dir"
		cp -al "$WORK$dir/." "$to$dir"
	done
	make --no-print-directory -C "$to/source" -s clean PG_CONFIG="$PG_CONFIG" &&
		make --no-print-directory -C "$to/source" -s -j"$(nproc)" all COPT=-DUSE_ASSERT_CHECKING PG_CONFIG="$PG_CONFIG" &&
		make --no-print-directory -C "$to/source" -s install COPT=-DUSE_ASSERT_CHECKING PG_CONFIG="$PG_CONFIG" DESTDIR="$to" || return 1
	[ "$(id -u)" != 0 ] || chown -R "$OWNER": "$to"
}

# A relocated PostgreSQL finds its files beside its programs.
cluster_prepare() {
	local bindir=$("$PG_CONFIG" --bindir) libdir=$("$PG_CONFIG" --pkglibdir) sharedir=$("$PG_CONFIG" --sharedir)
	WORK=$(mktemp -d /tmp/contime.XXXXXX)
	trap cluster_cleanup EXIT
	trap 'exit 130' INT TERM HUP
	PGBIN=$WORK$bindir
	mkdir -p "$PGBIN" "$WORK$libdir" "$WORK$sharedir"
	cp -r "$bindir/." "$PGBIN"
	tar -C "$libdir" --exclude=./bitcode -cf - . | tar -C "$WORK$libdir" -xf -
	cp -r "$sharedir/." "$WORK$sharedir"
	make --no-print-directory -s install PG_CONFIG="$PG_CONFIG" DESTDIR="$WORK"
	[ -z "${CT_VALGRIND:-}" ] || wrap_in_valgrind
	chmod 755 "$WORK"
	[ "$(id -u)" != 0 ] || chown -R "$OWNER": "$WORK"
	export HOME=$WORK PATH="$PGBIN:$PATH"
	cd "$WORK"
}

cluster_prepare
