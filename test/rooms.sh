#!/usr/bin/env bash
# make rooms: prints the rooms of src/ from the top floor down, and how often the files of each include headers of other rooms.
# Fails, and prints each violation of these rules (with --check it prints nothing else):
#   A file includes its own room and lower floors, as "room/header.h"; of another room only its public header, "room/room.h".
#   (And base/compat.h, if it calls what differs between versions of PostgreSQL.)
#   No call goes to a higher floor, and the files of a room do not call each other in a circle: checked in the object files, if src/ is built.
set -uo pipefail
cd "$(dirname "$0")/.."
FLOORS='engine, base < mvcc < shared < table, notify < store < fold < write < durable < read, worker < plan, ddl, rules < sync, session, clock, inbox < sql < module'

sources=$(find src -name '*.[ch]' | sort)
objects=$(sed -n 's/c$/o/p' <<<"$sources")
edges=$(mktemp)
trap 'rm -f "$edges"' EXIT

# Print a line "FILE includes HEADER -" for each include, and "FILE uses FILE FUNCTION" (or a variable) for each use.
grep -oE '^#include "[^"]+"' $sources | sed -E 's/:#include "(.*)"/ includes \1 -/' >"$edges"
if ls $objects &>/dev/null; then
	nm -gA $objects | sed -E 's/\.o:[0-9a-f]*/.c/' | awk '
		$2 == "U" { uses[$1, $3] } $2 != "U" { home[$3] = $1 }
		END { for (use in uses) { split(use, of, SUBSEP); if (of[2] in home) print of[1], "uses", home[of[2]], of[2] } }' | sort >>"$edges"
else
	echo 'rooms: calls are not checked, as src/ is not built' >&2
fi

awk -v floors="$FLOORS" -v sources="$sources" -v graph="${1-graph}" '
	function room_of(file, part) { return split(file, part, "/") == 3 ? part[2] : "module" }
	function wrong(why) { message[++messages] = $1 " " $2 " " ($4 == "-" ? "\"" $3 "\"" : $4 " of " $3) ": " why }
	BEGIN {
		for (i = split(floors, floor_rooms, " < "); i > 0; i--)
			for (j = split(floor_rooms[i], names, ", "); j > 0; j--) { room[++rooms] = names[j]; floor[names[j]] = i }
		for (i = split(sources, file, "\n"); i > 0; i--) { exists[file[i]]; used[room_of(file[i])] }
		for (name in used) if (!(name in floor)) message[++messages] = "src/" name ": it has no floor"
	}
	{ from = room_of($1); to = $2 == "uses" ? room_of($3) : ("src/" $3) in exists ? room_of("src/" $3) : "" }
	$2 == "includes" && ("src/" from "/" $3) in exists { wrong("write \"" from "/" $3 "\""); next }
	$2 == "includes" && from == "engine" && to == "" { wrong("it is not of the engine") }
	to == "" || to == from { next }
	$2 == "includes" { includes[from, to]++ }
	$2 == "includes" && $3 != to "/" to ".h" && $3 != "base/compat.h" { wrong("it is private to " to) }
	floor[to] >= floor[from] { wrong(to " is not below " from) }
	END {
		for (i = 1; i <= rooms && graph == "graph"; i++) if (room[i] in used) {
			line = sprintf("%2d  %-7s", floor[room[i]], room[i])
			for (j = 1; j <= rooms; j++) if ((room[i], room[j]) in includes)
				line = line (floor[room[i]] > floor[room[j]] ? "  -> " : "  !! ") room[j] " " includes[room[i], room[j]]
			print line
		}
		for (i = 1; i <= messages; i++) print message[i]
		exit messages > 0
	}' "$edges"
status=$?

# Within a room: tsort prints a line for each circle, and then its files, one a line.
circles=$(awk '{ from = $1; to = $3; sub("[^/]*$", "", from); sub("[^/]*$", "", to) } $2 == "uses" && from == to { print $1, $3 }' "$edges" |
	sort -u | tsort 2>&1 >/dev/null | sed 's/^tsort: //; s/.* loop:$/circle:/' | tr '\n' ' ' | sed 's/ circle:/\ncircle:/g; s/ $//')
[ -z "$circles" ] || { echo "$circles"; status=1; }
exit $status
