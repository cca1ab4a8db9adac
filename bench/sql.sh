#!/usr/bin/env bash
# make bench SUITE=sql: what README.md beside this file says. Each figure is the median of
# three runs; SECONDS_EACH sets how long one pgbench run takes. BENCH_QUICK=1 makes it one second, and keys with
# 1M events have a tenth. BENCH_SMOKE=1 runs everything once, with few transactions and small tables: its figures mean
# nothing, but what fails to run is found. BENCH_OUT is the directory of the result.
set -euo pipefail
cd "$(dirname "$0")/.."
is_set() { [ -n "${!1:-}" ] && [ "${!1}" != 0 ]; }
runs=3 each=(-T "${SECONDS_EACH:-3}") million=1000000 spread=500000 many=200000 ingested=500 memory=1GB
part_memory=32MB		# for half of the events of the durable table
! is_set BENCH_QUICK || each=(-T "${SECONDS_EACH:-1}") million=100000 ingested=50 part_memory=8MB
! is_set BENCH_SMOKE || runs=1 each=(-t 3) million=100000 spread=50000 many=20000 ingested=3 memory=128MB part_memory=8MB
out=${BENCH_OUT:-$PWD/bench/out}
mkdir -p "$out"
. test/cluster.sh
pin=()
[ -z "${CPU:-}" ] || { pin=(taskset -c "$CPU"); taskset -cp "$CPU" $$ >/dev/null; }
cluster_start "contime.memory = $memory" 'shared_buffers = 512MB' 'max_wal_size = 4GB' 'synchronous_commit = off' 'wal_level = logical'

# PostgreSQL's own part: a foreign table and a function that do nothing but emit rows.
gcc -O2 -fPIC -shared -I"$("$PG_CONFIG" --includedir-server)" -o "$WORK/floor.so" "$CHECKOUT/bench/floor/floor.c"
chmod a+rx "$WORK/floor.so"

sql() { as_owner psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

sql -v floor="$WORK/floor.so" -v spread="$spread" -v many="$many" <<'SQL'
CREATE EXTENSION contime;
CREATE FOREIGN TABLE account (id bigint OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
                              balance bigint OPTIONS (rule 'sum')) SERVER contime;
CREATE UNLOGGED TABLE plain (id bigint, at timestamptz, balance bigint);
CREATE INDEX ON plain (id, at) INCLUDE (balance);
CREATE FUNCTION floor_handler() RETURNS fdw_handler LANGUAGE c AS :'floor', 'floor_handler';
CREATE FUNCTION floor_series(bigint) RETURNS TABLE (id bigint, at timestamptz, balance bigint) LANGUAGE c ROWS 1000 AS :'floor', 'floor_series';
CREATE FOREIGN DATA WRAPPER floor HANDLER floor_handler;
CREATE SERVER floor FOREIGN DATA WRAPPER floor;
CREATE FOREIGN TABLE floor_1 (id bigint, at timestamptz, balance bigint) SERVER floor OPTIONS (rows '1');
CREATE FOREIGN TABLE floor_10000 (id bigint, at timestamptz, balance bigint) SERVER floor OPTIONS (rows '10000');
CREATE FOREIGN TABLE reading (id bigint OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
                              value float8 OPTIONS (scale '3', interpolate 'linear')) SERVER contime;
CREATE UNLOGGED TABLE bare (id bigint, at timestamptz, balance bigint);
CREATE UNLOGGED TABLE event AS
    SELECT 1 + i % 10000 AS id, timestamptz '2026-01-01' + i * interval '1 second' AS at, 1::bigint AS balance
    FROM generate_series(1, :spread) i
    UNION ALL
    SELECT 0, timestamptz '2026-01-01' + i * interval '1 second', 1 FROM generate_series(1, :many) i;
INSERT INTO account SELECT * FROM event;
INSERT INTO reading SELECT id, at, random() * 1000 FROM event WHERE id BETWEEN 1 AND 10000;
CREATE UNLOGGED TABLE asked AS
    SELECT 1 + (random() * 9999)::bigint AS id, timestamptz '2026-01-01' + (random() * 500000) * interval '1 second' AS at
    FROM generate_series(1, :many / 2);
ANALYZE asked;
INSERT INTO plain SELECT * FROM event;
ANALYZE plain;
-- Wait until everything has entered, but the events of open transactions; and has frozen, too.
CREATE PROCEDURE settled(young_too boolean = true, open_events int = 0) LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := clock_timestamp() + '10 min';
BEGIN
    WHILE (SELECT sum(recent) + CASE WHEN young_too THEN sum(young) ELSE 0 END > open_events FROM contime.tables) LOOP
        IF clock_timestamp() > until THEN RAISE 'events do not settle'; END IF;
        PERFORM pg_sleep(0.001); COMMIT;
    END LOOP;
END $$;
CALL settled();
SQL
as_owner psql -X -q -c "COPY (SELECT (1 + i % 10000)::bigint, timestamptz '2026-07-01' + i * interval '1 second', 1::bigint FROM generate_series(1, $many) i) TO STDOUT (FORMAT binary)" |
	as_owner tee "$WORK/rows.bin" >/dev/null
sql -c "COPY (SELECT 1 + i % 10000, timestamptz '2026-06-01' + i * interval '1 second', 1 FROM generate_series(1, $many) i) TO STDOUT" | as_owner tee "$WORK/rows" >/dev/null

median() { sort -g | sed -n "$(((runs + 1) / 2))p"; }

# us_per_call SCRIPT: microseconds a transaction, one client, prepared.
us_per_call() {
	echo "$1" | as_owner tee "$WORK/script.sql" >/dev/null
	for _ in $(seq "$runs"); do
		as_owner "${pin[@]}" "$PGBIN/pgbench" -n -M prepared "${each[@]}" -f "$WORK/script.sql" |
			sed -n 's/^tps = \([0-9.]*\) .*/\1/p'
	done | median | awk '{printf "%.2f", 1e6 / $1}'
}

# us_per_row ROWS COMMAND: microseconds a row of one psql command.
us_per_row() {
	for _ in $(seq "$runs"); do
		sql -c '\timing on' -c "$2" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1
	done | median | awk -v rows="$1" '{printf "%.4f", $1 * 1000 / rows}'
}

# rate NAME VALUE UNIT FLOOR PLAIN: a line of the result. A command that failed has left no number, and ends the program.
rate() {
	awk -v name="$1" -v value="$2" -v unit="$3" -v floor="$4" -v plain="$5" 'BEGIN {
		for (i in ARGV) if (i > 0 && ARGV[i] !~ /^[0-9.]+$/ || i > 0 && ARGV[i] + 0 == 0) exit 1
		is_rate = unit == "rows/s"
		printf "%s,%s,%s,%s,%.2f,%s,%.2f\n", name, value, unit, floor, is_rate ? floor / value : value / floor,
			plain, is_rate ? value / plain : plain / value }' "$2" "$4" "$5" >>"$out/sql.csv" && return
	echo "$1 has no result: value '$2', floor '$4', plain '$5'" >&2
	return 1
}
row() { rate "$1" "$2" us "$3" "$4"; }		# microseconds

echo 'name,value,unit,floor_value,floor_ratio,plain_value,plain_ratio' >"$out/sql.csv"
instant="timestamptz '2026-01-01' + :s * interval '1 second'"
one() { us_per_call 'SELECT 1;'; }		# again for each row, since the machine's load changes
fdw() { us_per_call 'SELECT id, at, balance FROM floor_1 WHERE id = 1 AND at = now();'; }
row lookup "$(us_per_call "\\set id random(1, 10000)
\\set s random(1, 500000)
SELECT id, at, balance FROM account WHERE id = :id AND at = $instant;")" "$(fdw)" "$(us_per_call "\\set id random(1, 10000)
\\set s random(1, 500000)
SELECT id, at, balance FROM plain WHERE id = :id AND at <= $instant ORDER BY at DESC LIMIT 1;")"
row lookup_hot_sum "$(us_per_call "\\set s random(1, 200000)
SELECT id, at, balance FROM account WHERE id = 0 AND at = $instant;")" "$(fdw)" "$(us_per_call "\\set s random(1, 200000)
SELECT sum(balance) FROM plain WHERE id = 0 AND at <= $instant;")"
row lookup_linear "$(us_per_call "\\set id random(1, 10000)
\\set s random(1, 500000)
SELECT id, at, value FROM reading WHERE id = :id AND at = $instant;")" "$(fdw)" "$(us_per_call "\\set id random(1, 10000)
\\set s random(1, 500000)
SELECT a.balance + (b.balance - a.balance) * 0.5
FROM (SELECT * FROM plain WHERE id = :id AND at <= $instant ORDER BY at DESC LIMIT 1) a,
     (SELECT * FROM plain WHERE id = :id AND at > $instant ORDER BY at LIMIT 1) b;")"
# Many rows in one statement: an as-of join, all keys at one instant, a series of instants of one key.
rows_of() { us_per_call "$2" | awk -v rows="$1" '{printf "%.4f", $1 / rows}'; }
asked=$((many / 2))
row asof_join_100k "$(rows_of "$asked" 'SELECT sum(a.balance) FROM asked q JOIN account a ON a.id = q.id AND a.at = q.at;')" \
	"$(PGOPTIONS='-c enable_material=off' rows_of "$asked" 'SELECT sum(f.balance) FROM asked q JOIN floor_1 f ON true;')" \
	"$(rows_of "$asked" 'SELECT sum(p.balance) FROM asked q, LATERAL (SELECT balance FROM plain WHERE id = q.id AND at <= q.at ORDER BY at DESC LIMIT 1) p;')"
row all_keys_10k "$(us_per_call "\\set s random(1, 500000)
SELECT id, at, balance FROM account WHERE at = $instant;")" "$(us_per_call 'SELECT id, at, balance FROM floor_10000;')" "$(us_per_call "\\set s random(1, 500000)
SELECT k, p.* FROM generate_series(1, 10000) k, LATERAL (SELECT at, balance FROM plain WHERE id = k AND at <= $instant ORDER BY at DESC LIMIT 1) p;")"
row series_1000 "$(us_per_call "\\set id random(1, 10000)
SELECT * FROM contime.series(NULL::account, :id, '2026-01-01', timestamptz '2026-01-01' + interval '499500 seconds', '500 seconds');")" \
	"$(us_per_call 'SELECT * FROM floor_series(1000);')" "$(us_per_call "\\set id random(1, 10000)
SELECT t, p.* FROM generate_series(timestamptz '2026-01-01', timestamptz '2026-01-01' + interval '499500 seconds', '500 seconds') t,
    LATERAL (SELECT id, balance FROM plain WHERE id = :id AND at <= t ORDER BY at DESC LIMIT 1) p;")"
row insert_1 "$(us_per_call "\\set id random(1, 10000)
INSERT INTO account VALUES (:id, NULL, 1);")" "$(one)" "$(us_per_call "\\set id random(1, 10000)
INSERT INTO plain VALUES (:id, now(), 1);")"
# Instants are drawn from a wide range, so that few coincide.
thousand="SELECT 1 + i % 100, timestamptz '2027-01-01' + :n * interval '1 hour' + i * interval '1 second', 1 FROM generate_series(1, 1000) i"
per_row() { us_per_call "\\set n random(1, 100000)
$1" | awk '{printf "%.4f", $1 / 1000}'; }
row insert_1000 "$(per_row "INSERT INTO account $thousand;")" "$(per_row "SELECT count(*) FROM ($thousand) x;")" "$(per_row "INSERT INTO plain $thousand;")"
row copy_text "$(us_per_row "$many" "\\copy account FROM '$WORK/rows'")" "$(us_per_row "$many" "\\copy bare FROM '$WORK/rows'")" \
	"$(us_per_row "$many" "\\copy plain FROM '$WORK/rows'")"
row copy_binary "$(us_per_row "$many" "\\copy account FROM '$WORK/rows.bin' (FORMAT binary)")" "$(us_per_row "$many" "\\copy bare FROM '$WORK/rows.bin' (FORMAT binary)")" \
	"$(us_per_row "$many" "\\copy plain FROM '$WORK/rows.bin' (FORMAT binary)")"

# ---- recent events -----------------------------------------------------------------

row read_after_write "$(us_per_call "\\set id random(1, 10000)
INSERT INTO account VALUES (:id, NULL, 1);
SELECT id, at, balance FROM account WHERE id = :id;")" "$(us_per_call 'SELECT 1;
SELECT 1;')" "$(us_per_call "\\set id random(1, 10000)
INSERT INTO plain VALUES (:id, now(), 1);
SELECT id, at, balance FROM plain WHERE id = :id AND at <= now() ORDER BY at DESC LIMIT 1;")"

# What is committed stays recent while the workers are stopped.
workers=$(sql -c "SELECT string_agg(pid::text, ' ') FROM contime.workers")
trap 'kill -CONT $workers 2>/dev/null || true; cluster_cleanup' EXIT		# (they are gone after a restart)
sql -c 'CALL settled()'
kill -STOP $workers
for recents in 1 100 10000; do
	events="SELECT 100000 + $recents, timestamptz '2026-01-01' + (i * 500000.0 / $recents) * interval '1 second', 1 FROM generate_series(1, $recents) i"
	sql -c "INSERT INTO account $events" -c "INSERT INTO plain $events"
	row "lookup_${recents}_recent" "$(us_per_call "\\set s random(1, 500000)
SELECT id, at, balance FROM account WHERE id = 100000 + $recents AND at = $instant;")" "$(one)" "$(us_per_call "\\set s random(1, 500000)
SELECT sum(balance) FROM plain WHERE id = 100000 + $recents AND at <= $instant;")"
done
kill -CONT $workers

# ---- ingest, until the workers have entered everything ---------------------------------

sql -c "CREATE FOREIGN TABLE ingest (id bigint OPTIONS (key 'true'), at timestamptz OPTIONS (time 'true'),
                                     balance bigint OPTIONS (rule 'sum')) SERVER contime" \
	-c 'CREATE UNLOGGED TABLE plain_ingest (LIKE plain INCLUDING ALL)' -c 'CALL settled()'

# us_per_ingested SQL TABLE: microseconds a row, two clients, 1000 rows a transaction.
us_per_ingested() {
	echo "\\set n random(1, 100000)
$1" | as_owner tee "$WORK/script.sql" >/dev/null
	for _ in $(seq "$runs"); do
		sql ${2:+-c "TRUNCATE $2"} -c 'CALL settled()'
		date +%s%6N
		as_owner "$PGBIN/pgbench" -n -M prepared -c 2 -j 2 -t "$ingested" -f "$WORK/script.sql" >"$WORK/pgbench.out"
		sql -c 'CALL settled(false)'
		date +%s%6N
	done | paste - - | awk -v rows="$((ingested * 2000))" '{print ($2 - $1) / rows}' | median | awk '{printf "%.4f", $1}'
}
row ingest_entered "$(us_per_ingested "INSERT INTO ingest $thousand;" ingest)" "$(us_per_ingested "SELECT count(*) FROM ($thousand) x;")" \
	"$(us_per_ingested "INSERT INTO plain_ingest $thousand;" plain_ingest)"

# ---- beside a transaction that does nothing, or a forgotten slot ----------------------------

# held NAME SQL [EVENTS]: lookups after many events came while a session that has done this, and has written so many events, does nothing.
held() {
	local line='' settle="CALL settled(false, ${3:-0})"
	coproc SESSION { sql -f -; }
	echo "$2 SELECT 'ready';" >&"${SESSION[1]}"
	until [ "$line" = ready ]; do read -r -u "${SESSION[0]}" line; done
	sql -c "INSERT INTO account SELECT 1 + i % 10000, timestamptz '2026-01-01' + (random() * 500000) * interval '1 second', 1 FROM generate_series(1, $many) i" \
		-c "$settle"
	row "$1" "$(us_per_call "\\set id random(1, 10000)
\\set s random(1, 500000)
SELECT id, at, balance FROM account WHERE id = :id AND at = $instant;")" "$(one)" "$(us_per_call "\\set id random(1, 10000)
\\set s random(1, 500000)
SELECT id, at, balance FROM plain WHERE id = :id AND at <= $instant ORDER BY at DESC LIMIT 1;")"
	echo '\q' >&"${SESSION[1]}"
	wait "${SESSION_PID:-}" || true
}
held lookup_idle_nobody ''
held lookup_idle_writer 'BEGIN; INSERT INTO account VALUES (1, NULL, 0);' 1
held lookup_idle_reader 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;'
held lookup_idle_slot "SELECT pg_create_logical_replication_slot('forgotten', 'test_decoding');"

# ---- durable tables --------------------------------------------------------------------------

# Two tables of events, the same but for what is bound to one of them: key 0 has a million, 10,000 others have 20 each.
sql -v million="$million" <<'SQL'
CREATE TABLE movement (account bigint, at timestamptz, amount bigint);
INSERT INTO movement SELECT 0, timestamptz '2026-01-01' + i * interval '1 second', 1 FROM generate_series(1, :million) i;
INSERT INTO movement SELECT 1 + i % 10000, timestamptz '2026-01-01' + i * interval '2 seconds', 1 FROM generate_series(1, 200000) i;
CREATE INDEX ON movement (account, at);
CREATE TABLE unbound (LIKE movement);
INSERT INTO unbound SELECT * FROM movement;
CREATE INDEX ON unbound (account, at);
CREATE TABLE captured (LIKE movement);
CREATE INDEX ON captured (account, at);
CREATE TABLE uncaptured (LIKE movement);
CREATE INDEX ON uncaptured (account, at);
CREATE FOREIGN TABLE ledger (id bigint OPTIONS (key 'true', source 'account'), at timestamptz OPTIONS (time 'true'),
                             balance bigint OPTIONS (rule 'sum', source 'amount')) SERVER contime OPTIONS (events 'movement');
CREATE FOREIGN TABLE capture (id bigint OPTIONS (key 'true', source 'account'), at timestamptz OPTIONS (time 'true'),
                              balance bigint OPTIONS (rule 'sum', source 'amount')) SERVER contime OPTIONS (events 'captured');
VACUUM ANALYZE movement, unbound;
-- Have durable tables cached: read them, and wait until they are.
CREATE PROCEDURE cached() LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := clock_timestamp() + '5 min';
BEGIN
    PERFORM FROM ledger WHERE id = 1 AND at = now();
    PERFORM FROM capture WHERE id = 1 AND at = now();
    COMMIT;
    WHILE (SELECT count(*) < 2 FROM contime.tables WHERE "table" IN ('ledger'::regclass, 'capture'::regclass) AND cache = 'ready') LOOP
        IF clock_timestamp() > until THEN RAISE 'durable tables are not cached'; END IF;
        PERFORM pg_sleep(0.001); COMMIT;
    END LOOP;
END $$;
CALL cached();
SQL
row capture_row "$(per_row "INSERT INTO captured $thousand;")" "$(per_row "SELECT count(*) FROM ($thousand) x;")" "$(per_row "INSERT INTO uncaptured $thousand;")"
row durable_lookup "$(us_per_call "\set id random(1, 10000)
\set s random(1, 400000)
SELECT id, at, balance FROM ledger WHERE id = :id AND at = $instant;")" "$(fdw)" "$(us_per_call "\set id random(1, 10000)
\set s random(1, 400000)
SELECT sum(amount) FROM unbound WHERE account = :id AND at <= $instant;")"
row durable_hot_sum "$(us_per_call "\set s random(1, $million)
SELECT id, at, balance FROM ledger WHERE id = 0 AND at = $instant;")" "$(fdw)" "$(us_per_call "\set s random(1, $million)
SELECT sum(amount) FROM unbound WHERE account = 0 AND at <= $instant;")"
correction() { echo "\set s random(1, $million)
UPDATE $1 SET amount = amount + 1 WHERE account = 0 AND at = $instant;"; }
row late_correction_1m "$(us_per_call "$(correction movement)
SELECT id, at, balance FROM ledger WHERE id = 0 AND at = '2027-01-01';")" "$(us_per_call "$(correction unbound)
SELECT id, at, balance FROM floor_1 WHERE id = 1 AND at = now();")" "$(us_per_call "$(correction unbound)
SELECT sum(amount) FROM unbound WHERE account = 0 AND at <= '2027-01-01';")"

# us_first SQL: a server's first statement.
us_first() {
	for _ in $(seq "$runs"); do
		as_owner "$PGBIN/pg_ctl" restart -s -w -D "$PGDATA" -l "$WORK/server.log" >/dev/null
		sql -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
	done | median | awk '{printf "%.0f", $1 * 1000}'
}
row first_read_after_restart "$(us_first "SELECT id, at, balance FROM ledger WHERE id = 17 AND at = '2026-01-03'")" \
	"$(us_first 'SELECT id, at, balance FROM floor_1 WHERE id = 1 AND at = now()')" \
	"$(us_first "SELECT sum(amount) FROM unbound WHERE account = 17 AND at <= '2026-01-03'")"

# Rows a second, since the server's start, until the cache is ready: beside those that are counted, and those that are indexed.
rows_per_second() { awk -v rows=$((million + 200000)) '{printf "%.0f", rows / $1}'; }
load_rate() {
	for _ in $(seq "$runs"); do
		as_owner "$PGBIN/pg_ctl" restart -s -w -D "$PGDATA" -l "$WORK/server.log" >/dev/null
		sql -c 'CALL cached()' -c 'SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())'
	done | median | rows_per_second
}
seconds_of() { us_per_row 1000000 "$1"; }		# microseconds each of a million are seconds
rate load_rate "$(load_rate)" rows/s "$(seconds_of 'SELECT count(*) FROM unbound' | rows_per_second)" \
	"$(seconds_of 'CREATE INDEX ON unbound (account, at) INCLUDE (amount)' | rows_per_second)"

# With memory for half of the events: what is read again and again is there, but key 0.
as_owner "$PGBIN/pg_ctl" restart -s -w -D "$PGDATA" -l "$WORK/server.log" -o "-c contime.memory=$part_memory" >/dev/null
sql -c "SELECT FROM ledger WHERE id = 1 AND at = now()"
for ((waited = 0; ; waited++)); do
	cache=$(sql -c "SELECT cache FROM contime.tables WHERE \"table\" = 'ledger'::regclass")
	[ "$cache" != partial ] || break
	[ "$cache" != ready ] || { echo "$part_memory holds all events of ledger" >&2 && exit 1; }
	[ $waited -lt 600 ] || { echo "the cache of ledger is still $cache" >&2 && exit 1; }
	sleep 0.1
done
zipfian='\set id random_zipfian(1, 10000, 1.1)
\set s random(1, 400000)'
lookup="$zipfian
SELECT id, at, balance FROM ledger WHERE id = :id AND at = $instant;"
for _ in $(seq "$runs"); do us_per_call "$lookup" >/dev/null; done
row partial_lookup "$(us_per_call "$lookup")" "$(fdw)" "$(us_per_call "$zipfian
SELECT sum(amount) FROM unbound WHERE account = :id AND at <= $instant;")"

column -s, -t "$out/sql.csv"
