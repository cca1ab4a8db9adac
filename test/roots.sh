#!/usr/bin/env bash
# make test-versions: builds and tests contime with other versions of PostgreSQL, in roots of Debian releases (as root).
#
#   test/roots.sh fetch [SUITE...]       makes the roots that are missing: stable (PostgreSQL 17), testing (18)
#   test/roots.sh run SUITE COMMAND...   runs a command in a root, in a copy of this checkout
#   test/roots.sh test [SUITE...]        runs CT_SUITES in each, side by side; the last line counts what passed and failed
#
# A root is a directory of CT_ROOTS (build/roots), named by suite and the date of the release that it was made from. The newest
# one of a suite is used. When it is CT_ROOT_DAYS (30) days old, the mirror is asked, and a newer release replaces it.
# A root is not changed by what runs in it: /tmp and the copy of the checkout are in a directory of the run, which is removed.
# A root that cannot be made is skipped, by name; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

MIRROR=${CT_MIRROR:-http://deb.debian.org/debian}
ROOTS=$(realpath -m "${CT_ROOTS:-build/roots}")
SUITES=${CT_SUITES:-unit regress pgtap isolation tap planner law}
declare -A VERSION=([stable]=17 [testing]=18)

passed_on=()	# variables for the command in a root
run=			# the directory of the run
mkdir -p "$ROOTS"

say() { printf '# %s\n' "$*"; }

# The newest root of a suite, or nothing.
root_of() { find "$ROOTS" -mindepth 1 -maxdepth 1 -name "$1-????????" | sort | tail -n 1; }

# inside ROOT COMMAND...: run a command in a root, in namespaces of its own: what it starts ends with it.
inside() {
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "${passed_on[@]}" \
		unshare --mount --propagation private --pid --ipc --fork --kill-child bash -c '
			set -e
			root=$1 run=$2
			shift 2
			mount -t proc proc "$root/proc"
			mount --rbind /dev "$root/dev"
			mount -t tmpfs tmpfs "$root/dev/shm"
			if [ -n "$run" ]; then
				mount --bind "$run/tmp" "$root/tmp"
				mount --bind "$run/contime" "$root/contime"
			fi
			exec chroot "$root" "$@"' inside "$1" "$run" "${@:2}"
}

# make_root SUITE DATE: install Debian's base, then what setup.sh installs.
make_root() {
	local part=$ROOTS/$1.part
	rm -rf --one-file-system "$part"
	debootstrap --variant=minbase --include=ca-certificates,perl,procps "$1" "$part" "$MIRROR" || return 1
	# A mirror may be older than its release files allow. No service is started in a root.
	echo 'Acquire::Check-Valid-Until "false";' >"$part/etc/apt/apt.conf.d/90contime"
	printf '#!/bin/sh\nexit 101\n' >"$part/usr/sbin/policy-rc.d"
	chmod 755 "$part/usr/sbin/policy-rc.d"
	cp test/setup.sh "$part/root"
	passed_on=("PG=${VERSION[$1]}")
	inside "$part" bash /root/setup.sh || return 1
	rm -rf "$part"/var/cache/apt/archives/*.deb
	mkdir "$part/contime"
	mv "$part" "$ROOTS/$1-$2"
}

# fetch SUITE: make its root, if there is none or only an old one, and print what is in it.
fetch() {
	local suite=$1 root release= date= log=$ROOTS/$1.log began=$SECONDS
	[ -n "${VERSION[$suite]:-}" ] || { say "$suite: no such root; there are ${!VERSION[*]}"; return 1; }
	root=$(root_of "$suite")
	if [ -z "$root" ] || [ -n "$(find "$root" -maxdepth 0 -mtime "+${CT_ROOT_DAYS:-30}")" ]; then
		[ "$(id -u)" = 0 ] || { say "$suite: only root can make its root"; return 1; }
		if ! command -v debootstrap wget >/dev/null; then
			apt-get update -q &>"$log" && apt-get install -y -q --no-install-recommends debootstrap wget &>>"$log" || true
		fi
		release=$(wget -qO- -T 30 -t 2 "$MIRROR/dists/$suite/Release" | sed -n 's/^Date: //p') || release=
		[ -z "$release" ] || date=$(date -u -d "$release" +%Y%m%d)
		if [ -n "$root" ] && { [ -z "$date" ] || [ "$root" = "$ROOTS/$suite-$date" ]; }; then
			touch "$root"
		elif [ -z "$date" ]; then
			say "$suite: the mirror $MIRROR does not answer"
			return 1
		elif make_root "$suite" "$date" &>"$log"; then
			[ -z "$root" ] || rm -rf --one-file-system "$root"
			root=$(root_of "$suite")
			say "$suite: fetched in $((SECONDS - began)) s"
		else
			say "$suite: its root cannot be made:"
			tail -n 20 "$log"
			return 1
		fi
	fi
	passed_on=()
	say "${root##*/}: Debian $(cat "$root/etc/debian_version"), $(inside "$root" dpkg-query -W -f '${Package} ${Version}, ' \
		"postgresql-${VERSION[$suite]}" gcc libc6 | sed 's/, $//')"
}

# in_copy SUITE COMMAND...: run a command in a copy of this checkout, in a root. What failed suites kept goes to test/output.
in_copy() {
	local root pg=${VERSION[$1]} status=0 variable
	root=$(root_of "$1")
	run=$(mktemp -d "$ROOTS/run.XXXXXX")
	trap 'rm -rf --one-file-system "$run"' EXIT
	trap 'exit 130' INT TERM HUP
	mkdir -p "$run"/{tmp,contime}
	chmod 1777 "$run/tmp"
	chmod 755 "$run"
	tar -cf - --exclude=./.git --exclude=./build --exclude=./test/output --exclude='*.o' --exclude='*.so' --exclude='*.bc' . |
		tar -xf - -C "$run/contime" --no-same-owner
	passed_on=("PG_CONFIG=/usr/lib/postgresql/$pg/bin/pg_config")
	while IFS= read -r -d '' variable; do
		[[ $variable != CT_* || $variable == CT_ROOT* ]] || passed_on+=("$variable")
	done < <(env -0)
	inside "$root" bash -c 'cd /contime && "$@"' copy "${@:2}" || status=$?
	if [ -d "$run/contime/test/output" ]; then
		mkdir -p test/output
		rm -rf "test/output/$pg"
		cp -r "$run/contime/test/output" "test/output/$pg"
	fi
	rm -rf --one-file-system "$run"
	return $status
}

# Build and run the suites in a root; each line begins with the version.
test_in() {
	in_copy "$1" bash -c '
		make --no-print-directory -s -j"$(nproc)" all || exit 1
		echo "# built in $SECONDS s"
		SECONDS=0
		test/run.sh "$@"
		status=$?
		echo "# ran in $SECONDS s"
		exit $status' test $SUITES 2>&1 | sed -u "s/^/${VERSION[$1]}: /"
}

test_all() {
	local suite line log passed=0 failed=0 skipped=0 runs=()
	# Shorter than on PostgreSQL 15, unless the caller says otherwise; the long randomised TAP scripts are left out.
	export CT_ROUNDS=${CT_ROUNDS:-12} CT_STATEMENTS=${CT_STATEMENTS:-1500}
	export CT_TAP=${CT_TAP:-$(cd test/t && ls -- *.pl | grep -vE '^(008|013|014|017|022|026|031|032|035_pg)' | tr '\n' ' ')}
	for suite in "$@"; do
		if fetch "$suite"; then
			test_in "$suite" >"$ROOTS/$suite.log" &
			runs+=("$suite" $!)
		elif [ "${CI:-}" = true ]; then
			failed=$((failed + 1))
		else
			say "skipped: PostgreSQL ${VERSION[$suite]:-}, as there is no root of Debian $suite"
			skipped=$((skipped + 1))
		fi
	done
	set -- "${runs[@]}"
	while [ $# -gt 0 ]; do
		log=$ROOTS/$1.log
		line=x
		wait "$2" || line=
		cat "$log"
		# A run that ended without its last line, or with an error and no failed test, has one failure.
		if [[ $(grep -E ': [0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1) =~ \ ([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
			passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
			[ -n "$line" ] || [ "${BASH_REMATCH[2]}" != 0 ] || failed=$((failed + 1))
		else
			failed=$((failed + 1))
		fi
		shift 2
	done
	[ $skipped = 0 ] || say "skipped: $skipped versions"
	printf '%d passed, %d failed\n' $passed $failed
	[ $failed = 0 ]
}

main() {
	local suite command=${1:-test}
	shift || true
	[ $# -gt 0 ] || set -- stable testing
	case $command in
		fetch) for suite in "$@"; do fetch "$suite"; done ;;
		run)
			fetch "$1"
			in_copy "$@"
			;;
		test) test_all "$@" ;;
		*)
			sed -n '2,/^#$/p' "$0" >&2
			exit 2
			;;
	esac
}

main "$@"; exit	# (read at once: the script may be edited while it runs)
