#!/usr/bin/env bash
# make bench SUITE=engine: the engine alone, as README.md beside this file says. BENCH_QUICK=1 for fewer
# batches. With arguments, only the rows whose names begin so are measured, and engine.csv stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/bench
out=bench/out
mkdir -p $build $out

# The extension's flags, as make hands them over; else what PGXS has on Debian. Assertions are off in both.
flags=${ENGINE_CFLAGS:-$(pg_config --cflags 2>/dev/null || echo '-g -O2 -fwrapv -fno-strict-aliasing -fstack-protector-strong') -fPIC}
# No path to PostgreSQL's headers: there is none to need.
# shellcheck disable=SC2086
gcc -std=gnu11 $flags -Isrc -Ibench -o $build/engine_bench bench/*.c src/engine/*.c -lxxhash -lm

# One core, and nobody before us, where that is allowed.
alone=(chrt -f 10 taskset -c 1)
"${alone[@]}" true 2>/dev/null || alone=()
quick=()
[ -z "${BENCH_QUICK:-}" ] || [ "$BENCH_QUICK" = 0 ] || quick=(--quick)

csv=$out/engine.csv
[ $# = 0 ] || csv=$build/rows.csv
echo 'name,value,unit,replay_value,replay_ratio' >$csv.new
"${alone[@]}" $build/engine_bench "${quick[@]}" "$@" >>$csv.new
mv $csv.new $csv
column -s, -t $csv
