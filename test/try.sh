#!/usr/bin/env bash
# make try: a demonstration with 20,000 flights of three months, loaded in random order.
# Starts a throwaway server, loads, runs queries, corrects, compares; leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -t 1 ] && bold=$'\e[1m' plain=$'\e[0m' || bold='' plain=''
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
fail() { echo "make try: $*" >&2; exit 1; }

. test/cluster.sh
cp -r "$CHECKOUT/test/data" "$CHECKOUT/test/try" "$WORK"
cluster_start

sql() { as_owner psql -X -q -v ON_ERROR_STOP=1 -P footer=off -P linestyle=unicode "$@"; }
mkfifo "$WORK/to_listener"

say '1. Load 20,000 flights in random order'
sql -f try/1-tables.sql

# Twenty transactions in four concurrent sessions: every other lot by COPY. One is
# rolled back first and repeated: nothing of the first attempt must remain.
load() {
	local lot columns='code, at, planes, movements, movement'
	for lot in "$@"; do
		if [ $((lot % 2)) = 0 ]; then
			[ "$lot" != 8 ] || echo "BEGIN; INSERT INTO airport SELECT $columns FROM lot WHERE lot = $lot; ROLLBACK;"
			echo "INSERT INTO airport SELECT $columns FROM lot WHERE lot = $lot ORDER BY turn;"
		else
			echo 'COPY airport FROM STDIN;'
			sql -c "COPY (SELECT $columns FROM lot WHERE lot = $lot ORDER BY turn) TO STDOUT"
			echo '\.'
		fi
	done
}
sessions=()
start=$(date +%s%N)
for session in 0 1 2 3; do
	load $(seq $session 4 19) | sql &
	sessions+=($!)
done
for session in "${sessions[@]}"; do
	wait "$session" || fail 'a loading session failed'
done
echo "$(sql -At -c "SELECT format('%s flights, %s events at %s airports', (SELECT count(*) FROM flight), count(*), count(DISTINCT code)) FROM movement"):" \
	"shuffled, loaded by 4 sessions at once in 20 transactions, half of them COPY, in $((($(date +%s%N) - start) / 1000000)) ms"

say '2. Queries'
sql -e -f try/2-queries.sql

say '3. A late correction: a plane was already parked at Honolulu on New Year'"'"'s Eve. Listeners are notified'
sql -c "CREATE TABLE correction AS SELECT 'HNL' AS code, timestamptz '2001-01-01 00:30' AS at, 1 AS planes, 0 AS movements, 'parked' AS movement"

# Wait for a condition: a command that must succeed within 30 seconds.
within() {
	local tries
	for tries in $(seq 300); do
		! "$@" || return 0
		sleep 0.1
	done
	return 1
}
entered() { [ "$(sql -At -c 'SELECT coalesce(sum(recent), 0) FROM contime.tables')" = 0 ]; }
within entered || fail 'the workers did not enter the events into timelines'

# One session listens; psql prints the notices it received after its next command. First
# it waits for the end of the notices about the loading: until none has come for a second.
sql -e <"$WORK/to_listener" >>"$WORK/heard" 2>&1 &
listener=$!
exec 3>"$WORK/to_listener"
echo 'LISTEN contime;' >&3
ask() { echo 'SELECT 1 \g /dev/null' >&3; }
before=-1 calm=0
quiet() {
	local now
	ask
	now=$(grep -c Asynchronous "$WORK/heard" || true)
	[ "$now" = "$before" ] && calm=$((calm + 1)) || calm=0
	before=$now
	[ $calm -ge 10 ]
}
within quiet || fail 'the notices of the loading did not end'
: >"$WORK/heard"
heard() { ask; grep -q "$1" "$WORK/heard"; }
cat >&3 <<-'SQL'
	SELECT code, at, planes FROM airport WHERE code = 'HNL' AND at = '2001-02-14 12:00';
	INSERT INTO airport SELECT * FROM correction;
SQL
# Read the corrected state after the notice has arrived, so that the output has a fixed order.
within heard 'Asynchronous notification.*2001-01-01T00:30' || { cat "$WORK/heard"; fail 'the listener received no notice'; }
echo "SELECT code, at, planes FROM airport WHERE code = 'HNL' AND at = '2001-02-14 12:00';" >&3
exec 3>&-
wait $listener || fail 'the listener failed'
grep -v '^SELECT 1' "$WORK/heard"

say '4. Compare with plain SQL'
agreement=$(sql -f try/3-agreement.sql)
echo "$agreement"

say '5. What is in memory'
sql -x -c "SELECT * FROM contime.tables"
[[ $agreement == *$'\n0 differences' ]] || fail 'the answers differ'
say 'Done; nothing is left running.'
