#!/usr/bin/env bash
# make bench: the suites named, sql engine, or both. Each prints a table and leaves it in bench/out.
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- sql engine
for suite in "$@"; do
	case $suite in
		sql | engine) "./$suite.sh" ;;
		*) echo "no such suite: $suite (there are: sql engine)" >&2 && exit 2 ;;
	esac
done
