#!/usr/bin/env bash
# make test: all suites, or those named: lint unit regress pgtap isolation bench tap planner ddl law (and sqlsmith, only if it is named).
# Each prints its counts; the last line is the total. The output of a failed suite is
# kept in test/output. Servers are throwaway (cluster.sh); nothing is left running.
set -uo pipefail
cd "$(dirname "$0")/.."

suites=("$@")
[ $# -gt 0 ] || suites=(lint unit regress pgtap isolation bench tap planner ddl law)
ROOT=$PWD
OUTPUT=$ROOT/test/output
rm -rf "$OUTPUT"
total_passed=0 total_failed=0

# record SUITE PASSED FAILED STATUS: print and add the counts. A suite that ran no test, or ended with an error without a failed test, has one failure.
record() {
	local suite=$1 passed=$2 failed=$3 status=$4
	if [ "$failed" = 0 ] && { [ "$status" != 0 ] || [ "$passed" = 0 ]; }; then
		failed=1
	fi
	printf '%-10s %6d passed, %d failed\n' "$suite" "$passed" "$failed"
	total_passed=$((total_passed + passed)) total_failed=$((total_failed + failed))
}

# keep SUITE FILE...: keep the files of a failed suite.
keep() {
	local to=$OUTPUT/$1
	shift
	mkdir -p "$to"
	cp -r "$@" "$to" 2>/dev/null
}

count() { grep -cE "$1" "$2" || true; }

# ---- without a server ---------------------------------------------------------

# (cmocka 2 calls deprecated what cmocka 1 has no other name for.)
ENGINE_CFLAGS=(-std=gnu11 -O1 -g -Wall -Wextra -Werror -Wno-deprecated-declarations -fsanitize=address,undefined -fno-sanitize-recover=all -DCT_ASSERTIONS -Isrc -Itest/unit)
ENGINE_LDFLAGS=(-fsanitize=address,undefined -Wl,--wrap=ct_alloc -lcmocka -lxxhash)

# The style rules, each counted as a test; the rules about calls are checked if src/ was built before.
suite_lint() {
	local status=0 log=$ROOT/build/lint.log
	mkdir -p "$ROOT/build"
	"$ROOT/test/lint.sh" &>"$log" || status=1
	[ $status = 0 ] || { keep lint "$log"; head -n 60 "$log"; }
	[[ $(tail -n 1 "$log") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] || BASH_REMATCH=(x 0 1)
	record lint "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" $status
}

# Every test/unit/unit_*.c, and the fuzz targets with their corpora; the engine is compiled without PostgreSQL's include path.
suite_unit() {
	local source name log passed=0 failed=0 status=0 objects=()
	cd "$ROOT"
	mkdir -p build/unit
	for source in src/engine/*.c test/unit/*.c; do
		[[ $source != */unit_* ]] || continue
		objects+=("build/unit/$(basename "$source" .c).o")
		gcc "${ENGINE_CFLAGS[@]}" -c -o "${objects[-1]}" "$source" || status=1
	done
	for source in test/unit/unit_*.c; do
		name=$(basename "$source" .c) log=build/unit/$name.log
		if ! { gcc "${ENGINE_CFLAGS[@]}" -o "build/unit/$name" "$source" "${objects[@]}" "${ENGINE_LDFLAGS[@]}" &&
			"build/unit/$name"; } &>"$log"; then
			status=1
			keep unit "$log"
			tail -n 20 "$log"
		fi
		passed=$((passed + $(count '^\[       OK \]' "$log")))
		failed=$((failed + $(count '^\[  FAILED  \] [a-z_]+$' "$log")))
	done
	for source in test/fuzz/fuzz_*.c; do
		name=$(basename "$source" .c) log=build/unit/$name.log
		if gcc "${ENGINE_CFLAGS[@]}" -DCT_REPLAY -o "build/unit/$name" "$source" "${objects[@]}" "${ENGINE_LDFLAGS[@]}" &>"$log" &&
			"build/unit/$name" test/fuzz/corpus &>>"$log"; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
			keep unit "$log"
			tail -n 20 "$log"
		fi
	done
	record unit $passed $failed $status
}

# ---- on throwaway servers -------------------------------------------------------

server_settings() {
	printf '%s\n' "shared_preload_libraries = '${2-contime}'" 'contime.memory = 64MB' 'max_prepared_transactions = 4' \
		"timezone = 'UTC'" 'fsync = off' 'log_min_messages = warning' >"$1"
}

# Run pg_regress or pg_isolation_regress, which print TAP since PostgreSQL 16; each script is counted as a test. PRELOAD is the setting shared_preload_libraries.
run_regress() {
	local suite=$1 program=$2 input=$3 status=0
	shift 3
	local dir=$WORK/$suite log=$WORK/$suite.log
	as_owner mkdir -p "$dir"
	server_settings "$dir/settings" "${PRELOAD-contime}"
	as_owner "$(dirname "$("$PGBIN/pg_config" --pgxs)")/../test/$program" --inputdir="$input" --outputdir="$dir" \
		--temp-instance="$dir/instance" --temp-config="$dir/settings" --bindir="$PGBIN" --dlpath="$dir" \
		--no-locale --encoding=UTF8 "$@" &>"$log" || status=1
	if [ -n "${CT_VALGRIND:-}" ] && grep -q . "$WORK"/valgrind.[0-9]*; then
		status=1
		echo "valgrind reports:"
		cat "$WORK"/valgrind.[0-9]* | head -n 200
		keep "$suite" "$WORK"/valgrind.[0-9]*
	fi
	if [ $status != 0 ]; then
		keep "$suite" "$log" "$dir/regression.diffs" "$dir/results" "$dir/log"
		if [ -s "$dir/regression.diffs" ]; then head -n 200 "$dir/regression.diffs"; else tail -n 20 "$log"; fi
	fi
	record "$suite" "$(count '^(test .* )?ok ' "$log")" "$(count '^(test .* FAILED|not ok )' "$log")" $status
}

# Make a second copy of PostgreSQL, whose contime has assertions; its programs are in $ASSERTBIN. If that fails, the SUITE fails.
with_assertions() {
	local log=$WORK/assertions.log
	cluster_assertions &>"$log" && return
	cat "$log"
	record "$1" 0 1 1
	return 1
}

# (What EXPLAIN prints differs between versions of PostgreSQL: the script explain is for 15.)
suite_regress() {
	local scripts
	scripts=" $(sed -n 's/^REGRESS = //p' "$ROOT/Makefile") "
	[ "$VERSION" = 15 ] || scripts=${scripts/ explain / }
	run_regress regress regress/pg_regress "$WORK/tests" --load-extension=contime --dbname=contrib_regression $scripts
	PRELOAD='' run_regress preload regress/pg_regress "$WORK/tests" preload
}

specs_of() { (cd "$1/specs" && ls -- *.spec | sed 's/\.spec$//'); }

# The specs that use pause points (src/base/pause.c) run on a build with assertions.
suite_isolation() {
	run_regress isolation isolation/pg_isolation_regress "$WORK/tests/test/isolation" $(specs_of "$ROOT/test/isolation")
	with_assertions pause || return
	PGBIN=$ASSERTBIN run_regress pause isolation/pg_isolation_regress "$WORK/tests/test/isolation/pause" $(specs_of "$ROOT/test/isolation/pause")
}

suite_pgtap() {
	local status=0 log=$WORK/pgtap.log
	cluster_start 'contime.memory = 64MB'
	as_owner psql -X -q -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION contime' || status=1
	as_owner pg_prove --verbose -d postgres "$WORK"/tests/test/pgtap/*.sql &>"$log" || status=1
	cluster_stop
	[ $status = 0 ] || { keep pgtap "$log" "$WORK/server.log"; grep -E -A12 '^not ok|ERROR' "$log" | head -n 80; }
	record pgtap "$(count '^ok ' "$log")" "$(count '^not ok ' "$log")" $status
}

# The SQL benchmark, once, with few transactions and small tables: each row of the result is counted. Its figures decide nothing.
suite_bench() {
	local status=0 log=$WORK/bench.log out=$WORK/bench
	PG_CONFIG=$PG_CONFIG BENCH_SMOKE=1 BENCH_OUT=$out timeout 600 "$ROOT/bench/run.sh" sql &>"$log" || status=1
	[ $status = 0 ] || { keep bench "$log" "$out"; tail -n 20 "$log"; }
	record bench "$(count '^[a-z].*,[0-9]' "$out/sql.csv")" 0 $status
}

suite_tap() {
	local status=0 log=$WORK/tap.log dir=$WORK/tap
	as_owner mkdir -p "$dir"
	with_assertions tap || return
	(
		pgtests=$(dirname "$("$PG_CONFIG" --pgxs)")/../test
		unset PGHOST PGDATA PGUSER PGDATABASE
		cd "$dir"
		export PG_CONFIG CT_ASSERTIONS=${ASSERTBIN%/bin} TESTDIR=$dir TESTDATADIR=$dir/tmp_check TESTLOGDIR=$dir/tmp_check/log PG_TEST_TIMEOUT_DEFAULT=60 PG_REGRESS=$pgtests/regress/pg_regress
		as_owner prove --verbose --jobs "${CT_JOBS:-2}" -I "$pgtests/perl" $(cd "$WORK/tests/test/t" && printf "$PWD/%s\n" ${CT_TAP:-*.pl})
	) &>"$log" || status=1
	[ $status = 0 ] || { keep tap "$log" "$dir"/tmp_check/log; grep -E -B2 -A12 '^not ok|^# +Failed|died|Bailout' "$log" | head -n 120; }
	grep -E '^# (CT_SEED=|[0-9]+ trans(fer|action)s)' "$log"
	record tap "$(count '^ok ' "$log")" "$(count '^not ok ' "$log")" $status
}

# Random queries, compared with the same queries over ordinary tables, on a build with assertions; and with the
# protection switched off: the test must then find wrong answers.
suite_planner() {
	local status=0 log=$WORK/planner.log counts
	with_assertions planner || return
	local PGBIN=$ASSERTBIN
	cluster_start 'contime.memory = 64MB'
	as_owner psql -X -q -c 'CREATE EXTENSION contime' &>>"$log"
	as_owner perl "$WORK/tests/test/planner/fuzz.pl" --queries "${CT_QUERIES:-300}" ${CT_SEED:+--seed "$CT_SEED"} &>>"$log" || status=1
	counts=$(tail -n 1 "$log")
	tail -n 2 "$log" | sed 's/^/# /'
	if as_owner perl "$WORK/tests/test/planner/fuzz.pl" --queries 100 --seed 7 --unprotected &>>"$log"; then
		echo "# without protection: $(tail -n 1 "$log")"
	else
		echo '# without protection no wrong answer was found, or it failed'
		status=1
	fi
	cluster_stop
	[ $status = 0 ] || { keep planner "$log" "$WORK/server.log"; grep -A6 '^WRONG' "$log" | head -n 60; }
	[[ $counts =~ ^([0-9]+)\ accepted,\ ([0-9]+)\ refused,\ ([0-9]+)\ wrong ]] || BASH_REMATCH=(x 0 0 1)
	record planner $((BASH_REMATCH[1] + BASH_REMATCH[2])) "${BASH_REMATCH[3]}" $status
}

# Random DDL and function calls by hostile roles, on a build with assertions: no crash, no XX000.
suite_ddl() {
	local status=0 log=$WORK/ddl.log counts
	with_assertions ddl || return
	PGBIN=$ASSERTBIN cluster_start 'contime.memory = 64MB' 'max_prepared_transactions = 4' 'log_error_verbosity = verbose' \
		"log_line_prefix = '%b[%p] '" 'log_min_error_statement = panic'
	CT_LOG=$WORK/server.log as_owner perl "$WORK/tests/test/fuzz/ddl.pl" &>"$log" || status=1
	cluster_stop
	counts=$(tail -n 1 "$log")
	tail -n 2 "$log" | cut -c 1-400 | sed 's/^/# /; s/^# # /# /'
	[ $status = 0 ] || { keep ddl "$log" "$WORK/server.log" "$WORK/ddl-script.sql"; grep -A40 '^not ok' "$log" | head -n 120; }
	[[ $counts =~ ^([0-9]+)\ statements,\ ([0-9]+)\ faults ]] || BASH_REMATCH=(x 0 1)
	record ddl "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" $status
}

# Random queries by sqlsmith, as a role without privileges that owns continuous tables, for CT_SECONDS seconds. Errors raised by core
# are ignored; no process may crash, and no file of contime may raise XX000. Runs only if named, as it needs the package sqlsmith.
suite_sqlsmith() {
	local status=0 log=$WORK/sqlsmith.log files queries seed=${CT_SEED:-$RANDOM}
	with_assertions sqlsmith || return
	PGBIN=$ASSERTBIN cluster_start 'contime.memory = 64MB' 'log_error_verbosity = verbose' 'log_min_error_statement = error'
	{
		as_owner psql -X -q -v ON_ERROR_STOP=1 -f "$WORK/tests/test/fuzz/sqlsmith.sql"
		PGUSER=smith as_owner psql -X -q -v ON_ERROR_STOP=1 -f "$WORK/tests/test/fuzz/sqlsmith_tables.sql"
	} &>"$log" || status=1
	as_owner timeout -s INT "${CT_SECONDS:-60}" sqlsmith --seed="$seed" --verbose --exclude-catalog \
		--target="host=$PGHOST dbname=$PGDATABASE user=smith" &>>"$log"
	queries=$(grep -oE 'queries: [0-9]+' "$log" | tail -n 1 | tr -dc 0-9)
	cluster_stop
	files=$(cd "$ROOT/src" && find . -name '*.c' -printf '%f|')
	{
		grep -nE 'TRAP:|PANIC:|was terminated by signal' "$WORK/server.log"
		grep -nE -A3 'XX000' "$WORK/server.log" | grep -E "LOCATION: .*[ ,](${files%|}):[0-9]"
	} >"$WORK/sqlsmith.faults"
	[ ! -s "$WORK/sqlsmith.faults" ] || { status=1; head -n 20 "$WORK/sqlsmith.faults"; }
	[ $status = 0 ] || keep sqlsmith "$log" "$WORK/server.log" "$WORK/sqlsmith.faults"
	echo "# sqlsmith: ${queries:-0} queries, $(grep -c 'XX000' "$WORK/server.log") XX000 of core's, $(grep -cE "LOCATION: .*[ ,](${files%|}):[0-9]" "$WORK/server.log") errors of contime's own (CT_SEED=$seed)"
	record sqlsmith "${queries:-0}" "$(count . "$WORK/sqlsmith.faults")" $status
}

# Random transactions, compared with the reference fold; on a build with assertions also while the engine's invariants are checked
# repeatedly, and with visibility violated on purpose: the test must then find differences.
suite_law() {
	local status=0 log=$WORK/law.log broken=$WORK/law-assertions.log visibility kept settings=('contime.memory = 256MB' 'max_connections = 40' 'max_prepared_transactions = 20')
	with_assertions law || return
	cluster_start "${settings[@]}"
	as_owner perl "$WORK/tests/test/law/law.pl" 2>&1 | tee "$log" | grep -v "^ok " || status=1
	as_owner perl "$WORK/tests/test/law/durable.pl" 2>&1 | tee -a "$log" | grep -v "^ok " || status=1
	cluster_stop
	# Again with so little memory that caches are evicted.
	cluster_start "${settings[@]}" 'contime.memory = 8MB'
	CT_BALLAST=4.5 CT_STATEMENTS=$((${CT_STATEMENTS:-5000} / 3)) as_owner perl "$WORK/tests/test/law/durable.pl" 2>&1 | tee -a "$log" | grep -v "^ok " || status=1
	cluster_stop
	# Again with caches that are always partial.
	PGBIN=$ASSERTBIN cluster_start "${settings[@]}" 'contime.debug_partial = on' 'contime.debug_validate = on'
	CT_BY_KEY=1 CT_STATEMENTS=$((${CT_STATEMENTS:-5000} / 3)) as_owner perl "$WORK/tests/test/law/durable.pl" 2>&1 | tee -a "$log" | grep -v "^ok " || status=1
	cluster_stop
	[ $status = 0 ] || keep law "$log" "$WORK/law-script.sql" "$WORK/durable-script.sql" "$WORK/server.log"
	for visibility in exact no_snapshot enter_early freeze_early; do
		PGBIN=$ASSERTBIN cluster_start "${settings[@]}" "contime.debug_visibility = $visibility" \
			"contime.debug_validate = $([ $visibility = exact ] && echo on || echo off)"
		CT_ROUND=1 CT_ROUNDS=6 CT_STEPS=100 as_owner perl "$WORK/tests/test/law/law.pl" &>"$broken"
		kept=$?
		cluster_stop
		echo "# $visibility: $(tail -n 1 "$broken")"
		if [ $visibility = exact ]; then
			[ $kept = 0 ]
		else
			tail -n 1 "$broken" | grep -q ' [1-9][0-9]* differences'
		fi || { status=1; keep law "$broken" "$WORK/server.log"; }
	done
	record law "$(count '^ok ' "$log")" "$(count '^not ok ' "$log")" $status
}

for suite in "${suites[@]}"; do
	case $suite in
		lint | unit) ;;
		*)
			. test/cluster.sh
			mkdir "$WORK/tests"
			cp -r "$ROOT"/{Makefile,sql,expected,test,docs} "$WORK/tests"
			[[ " ${suites[*]} " != *' tap '* || ! -d $ROOT/build/clients ]] || { mkdir "$WORK/tests/build" && cp -r "$ROOT/build/clients" "$WORK/tests/build"; }
			rm -rf "$WORK/tests/test/output"
			[ "$(id -u)" != 0 ] || chown -R "$OWNER": "$WORK/tests"
			break
			;;
	esac
done
for suite in "${suites[@]}"; do
	cd "${WORK:-$ROOT}"
	"suite_$suite"
done
printf '%d passed, %d failed\n' $total_passed $total_failed
[ $total_failed = 0 ]
