#!/usr/bin/env bash
# make try: three months at the airports, from 20,000 flights told in no order at all.
# Starts a throwaway server, loads, asks, corrects, compares; leaves nothing running.
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

say '1. 20,000 flights, told in no order at all'
sql -f try/1-tables.sql

# Twenty transactions in four sessions at once: every other lot by COPY. One is
# rolled back first and done again: nothing of the first attempt remains.
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

say '2. Questions'
sql -e -f try/2-questions.sql

say '3. A late correction: a plane had been parked at Honolulu on New Year'"'"'s Eve. Whoever listens is told'
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
within entered || fail 'the events did not enter their timelines'

# One session listens; psql prints what it was told after its next command. First it
# lets the notices of the loading pass by: until it has been told nothing for a second.
sql -e <"$WORK/to_listener" >>"$WORK/heard" 2>&1 &
listener=$!
exec 3>"$WORK/to_listener"
echo 'LISTEN contime;' >&3
ask() { echo 'SELECT 1 \g /dev/null' >&3; }
told=-1 calm=0
quiet() {
	local now
	ask
	now=$(grep -c Asynchronous "$WORK/heard" || true)
	[ "$now" = "$told" ] && calm=$((calm + 1)) || calm=0
	told=$now
	[ $calm -ge 10 ]
}
within quiet || fail 'the notices of the loading did not end'
: >"$WORK/heard"
heard() { ask; grep -q "$1" "$WORK/heard"; }
cat >&3 <<-'SQL'
	SELECT code, at, planes FROM airport WHERE code = 'HNL' AND at = '2001-02-14 12:00';
	INSERT INTO airport SELECT * FROM correction;
	SELECT code, at, planes FROM airport WHERE code = 'HNL' AND at = '2001-02-14 12:00';
SQL
within heard 'Asynchronous notification.*2001-01-01T00:30' || { cat "$WORK/heard"; fail 'nobody told the listener'; }
exec 3>&-
wait $listener || fail 'the listener failed'
grep -v '^SELECT 1' "$WORK/heard"

say '4. Is it right?'
agreement=$(sql -f try/3-agreement.sql)
echo "$agreement"

say '5. What is in memory'
sql -x -c "SELECT * FROM contime.tables"
[[ $agreement == *$'\n0 differences' ]] || fail 'the answers differ'
say 'Done; nothing is left running.'
