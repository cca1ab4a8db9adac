#!/usr/bin/env bash
# make installcheck: which of the scripts named can run on the server that psql connects to, as its settings are. Prints
# their names, and on standard error those that are skipped, each with the reason. Without a server it prints all, and
# pg_regress says that it cannot connect.
#
#   installcheck.sh regress|isolation SCRIPT...
set -euo pipefail
suite=$1
shift

settings=$("$("${PG_CONFIG:-pg_config}" --bindir)/psql" -X -A -t -F ' ' -d postgres 2>/dev/null -c "
	SELECT CASE WHEN EXISTS (SELECT FROM pg_settings WHERE name = 'contime.memory' AND context = 'postmaster') THEN 'loaded' ELSE 'absent' END,
		current_setting('max_prepared_transactions')") || { echo "$@" && exit; }
read -r contime prepared <<<"$settings"

skip() { echo "# $suite, skipped: $1: $2" >&2; }

if [ "$contime" = absent ]; then
	skip "all scripts$([ "$suite" != regress ] || echo ' but preload')" 'the server does not have contime in shared_preload_libraries'
	[ "$suite" != regress ] || echo preload
	exit
fi
for script in "$@"; do
	case "$suite $script" in
		'regress prepared') needed=2 ;;
		'isolation prepared' | 'isolation subtransactions') needed=1 ;;
		*) needed=0 ;;
	esac
	if [ "$prepared" -ge $needed ]; then
		echo "$script"
	else
		skip "$script" "max_prepared_transactions is $prepared, the script needs $needed"
	fi
done
