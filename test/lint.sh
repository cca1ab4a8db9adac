#!/usr/bin/env bash
# make lint: the style rules that can be checked automatically. Installs nothing. Prints each violation; the last line counts the rules.
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8
passed=0 failed=0

# check RULE: each line of stdin is a violation of it.
check() {
	local found
	found=$(sed "s/^/$1: /")
	if [ -z "$found" ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "$found"; fi
}

# longer_than COLUMNS FILE...: print longer lines; a tab goes to the next multiple of 4. String literals are not counted:
# a message is kept in one line, so that grep finds it.
longer_than() {
	local columns=$1 file
	for file in "${@:2}"; do expand -t 4 "$file" | sed 's/"[^"]*"/""/g' | grep -nHE --label="$file" "^.{$((columns + 1))}"; done
}

source=$(find src -name '*.[ch]' | sort)
product="$source $(find bench -name '*.[ch]' | sort)"
tests=$(find test -name '*.[ch]' | sort)
scripts=$(find test bench .ci -name '*.sh' -o -path .ci/run)
programs=$(find test -name '*.p[lm]')

check rooms < <(test/rooms.sh --check || echo 'test/rooms.sh failed')
check 'an include by a path, or of PostgreSQL in the engine' < <(grep -nE '#include.*"\.' $product $tests; grep -nE '#include.*postgres' src/engine/*.[ch])
check 'a version of PostgreSQL outside of compat.h' < <(grep -nE 'PG_(VERSION|MAJORVERSION)(_NUM)?\b' $(grep -vx src/base/compat.h <<<"$source"))
check 'the second line does not name the file' < <(for file in $product $tests; do sed -n 2p "$file" | grep -qF " * ${file##*/}" || echo "$file"; done)
check 'a line of more than 100 columns' < <(longer_than 100 $product)
check 'a line of more than 120 columns' < <(longer_than 120 $tests)
# Another version may format differently.
if [[ $(clang-format --version 2>&1) =~ version\ 14\. ]]; then
	check 'not as clang-format has it' < <(clang-format --dry-run -Werror $product $tests 2>&1 | sed -n 's/: error: .*//p' | cut -d: -f 1,2 | uniq)
else
	echo 'the style is not checked, as clang-format 14 is not installed'
fi
# A line that begins with a name and a parenthesis begins a definition: its return type is on the line before.
check 'a function has the name of another' < <(grep -oE '^[a-z_][A-Za-z0-9_]*\(.*' $source | grep -v ';$' | sed 's/(.*//' | sort -u | awk -F: '
	$2 in home { print $1 ": " $2 "() is in " home[$2], "too" } { home[$2] = $1 }')
check 'a function name without a noun' < <(grep -nE '^[a-z]+\(' $source)
check 'a file of more than 60 kB' < <(find $source -size +60k)
check 'blanks at the end of a line' < <(grep -nE '[[:space:]]+$' $product $tests $scripts $programs sql/*.sql Makefile)
check 'docs and README' < <(test/docs.sh)
check bash < <(for file in $scripts; do bash -n "$file" 2>&1; done)
check perl < <(for file in test/law/*.pl test/planner/*.pl test/fuzz/*.pl; do perl -c "$file" 2>&1 | grep -v 'syntax OK$'; done)

echo "$passed passed, $failed failed"
[ $failed = 0 ]
