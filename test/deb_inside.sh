#!/usr/bin/env bash
# What test/deb.sh runs in the new root.
set -uo pipefail
mount -t proc proc /proc
mount -t tmpfs tmpfs /dev/shm
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
passed=0 failed=0
config=/etc/postgresql/15/main/postgresql.conf

# check WHAT COMMAND...: the command succeeds.
check() {
	local what=$1
	shift
	if "$@" >/tmp/output 2>&1; then passed=$((passed + 1)) && echo "ok - $what"; else failed=$((failed + 1)) && echo "not ok - $what" && cat /tmp/output; fi
}
apt() { apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"; }
sql() { runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -c "$1"; }
# gives SQL ANSWER; fails SQL PATTERN: it is an error whose report matches; server ACTION
gives() { local got; got=$(sql "$1" 2>&1) && [ "$got" = "$2" ] || { echo "got: $got"; false; }; }
fails() { local got; ! got=$(sql "$1" 2>&1) && [[ $got =~ $2 ]] || { echo "got: $got"; false; }; }
server() { pg_ctlcluster 15 main "$@"; }
no_server() { ! server start && grep -q "$1" /var/log/postgresql/postgresql-15-main.log; }
preload() { sed -i '/^shared_preload_libraries/d' $config && echo "shared_preload_libraries = '$1'" >>$config; }

tables="CREATE EXTENSION contime;
	CREATE FOREIGN TABLE account (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), balance int OPTIONS (rule 'sum')) SERVER contime;
	CREATE TABLE movement (id int, at timestamptz, v int);
	CREATE FOREIGN TABLE durable (id int OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'), v int OPTIONS (rule 'sum')) SERVER contime OPTIONS (events 'movement');
	INSERT INTO account VALUES (1, '2026-01-01', 100), (1, '2026-01-02', -30);
	INSERT INTO movement VALUES (1, '2026-01-01', 5)"
states="SELECT (SELECT balance FROM account WHERE at = '2026-01-01 12:00'), (SELECT v FROM durable)"

check 'apt finds packages' apt update
check 'install postgresql-common' apt install postgresql-common
echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
check 'install the package and what it depends on' apt install /contime.deb
check 'create a cluster' pg_createcluster 15 main -- --no-sync
echo 'fsync = off' >>$config
preload contime
check 'start a server that preloads contime' server start
check 'CREATE EXTENSION, tables, events' sql "$tables"
check 'the states are right' gives "$states" '100|5'
check 'the version' gives 'SELECT contime.version() = extversion FROM pg_extension WHERE extname = $$contime$$' t

# The order of the manual.
check 'DROP EXTENSION' sql 'DROP EXTENSION contime CASCADE'
preload ''
check 'restart without preloading' server restart
check 'remove the package' apt purge postgresql-15-contime
check 'the event table is there' gives 'INSERT INTO movement VALUES (2, now(), 1); SELECT count(*) FROM movement' 2
check 'nothing of contime is left on disk' eval '[ -z "$(find /usr/lib/postgresql /usr/share/postgresql -name "*contime*")" ]'

# No preloading, but the extension is still there.
check 'install again' apt install /contime.deb
preload contime
check 'restart' server restart
check 'tables again' sql "DROP TABLE movement; $tables"
preload ''
check 'restart without preloading, with the extension' server restart
check 'a read names the setting' fails "$states" '55000.*shared_preload_libraries'
check 'event tables can be written' sql 'INSERT INTO movement VALUES (1, now(), 1)'

# The package is removed before the extension is dropped.
check 'remove the package' apt purge postgresql-15-contime
check 'a read names the missing library' fails "$states" '58P01.*contime'
check 'a write to an event table, too' fails 'INSERT INTO movement VALUES (1, now(), 1)' '58P01.*contime'
check 'ordinary statements work' gives 'SELECT count(*) FROM movement' 2
check 'DROP EXTENSION works without the library' sql 'DROP EXTENSION contime CASCADE'
check 'the event table can be written again' sql 'INSERT INTO movement VALUES (1, now(), 1)'

# The package is removed while a server preloads it.
check 'install again' apt install /contime.deb
preload contime
check 'restart' server restart
check 'tables again' sql "DROP TABLE movement; $tables"
check 'remove the package under a running server' apt purge postgresql-15-contime
check 'a read of the running server names the missing library' fails "$states" '58P01.*contime'
check 'and the server stops' server stop
check 'it does not start without the library, and says why' no_server 'could not access file "contime"'
check 'install again' apt install /contime.deb
check 'it starts' server start
check 'event tables kept their rows' gives 'SELECT v FROM durable' 5
check 'no process crashed' eval '! grep -E "PANIC|terminated by signal|XX000" /var/log/postgresql/postgresql-15-main.log'
server stop
echo "$passed passed, $failed failed"
[ $failed = 0 ]
