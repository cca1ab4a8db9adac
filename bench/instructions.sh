#!/usr/bin/env bash
# bench/instructions.sh COMMIT [ROW...]: instructions per call of the engine in that commit and in this tree, for
# each row of engine_bench (or those whose names begin so). Ends with 1 if a row takes over 3 % more than it did.
# callgrind counts them, so other load on the machine does not matter. Both have the release flags of the extension.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$(git rev-parse --verify "${1:?usage: bench/instructions.sh COMMIT [ROW...]}^{commit}")
shift
work=$PWD/build/bench/instructions
rm -rf "$work"
mkdir -p "$work"/{old,new,tree}
git archive "$commit" bench src/engine | tar -x -C "$work/tree"
flags=${ENGINE_CFLAGS:-$(pg_config --cflags 2>/dev/null || echo '-g -O2 -fwrapv -fno-strict-aliasing -fstack-protector-strong') -fPIC}

# count SIDE TREE ROW...: a file name,instructions per call for the engine of a tree. (An older tree needs -I src/engine.)
count() {
	local side=$1 tree=$2
	shift 2
	# shellcheck disable=SC2086
	gcc -std=gnu11 $flags -I"$tree/src" -I"$tree/src/engine" -I"$tree/bench" -o "$work/$side/engine_bench" "$tree"/bench/*.c "$tree"/src/engine/*.c -lxxhash -lm
	cd "$work/$side"
	valgrind --tool=callgrind --zero-before=clock_start --dump-before=clock_stop ./engine_bench --count "$@" 2>valgrind.log >rows
	# One dump for each timed part, in their order.
	grep -h '^totals:' $(printf '%s\n' callgrind.out.*.* | sort -t. -k4n) | awk -F'[ ,]' '
		NR == FNR { total[NR] = $2; next }
		{ sum = 0; for (i = 0; i < $3; i++) sum += total[++at]; printf "%s,%.1f\n", $1, sum / $2 }' - rows >instructions
}

(count old "$work/tree" "$@") &
(count new "$PWD" "$@")
wait $!
join -t, <(sort "$work/old/instructions") <(sort "$work/new/instructions") |
	awk -F, 'BEGIN { print "row,before,after,ratio" }
		{ ratio = $3 / $2; slow += ratio > 1.03; printf "%s,%s,%s,%.3f\n", $1, $2, $3, ratio } END { exit slow > 0 }' | column -s, -t
