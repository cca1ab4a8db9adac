#!/usr/bin/env bash
# Installs missing packages for building and testing contime on Debian, as
# root; without root it prints the command to run. PG is the version of
# PostgreSQL (15). Packages named as arguments are installed, too. Debian's own
# server cluster is neither created nor touched.
set -euo pipefail
PG=${PG:-15}

packages=(gcc make "postgresql-$PG" "postgresql-server-dev-$PG" "postgresql-$PG-pgtap"
	libtap-parser-sourcehandler-pgtap-perl libipc-run-perl libxxhash-dev libcmocka-dev "$@")

missing=()
for package in "${packages[@]}"; do
	dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "missing packages; as root: apt-get update && apt-get install -y ${missing[*]}" >&2
	exit 1
fi

echo "installing ${missing[*]}"
log=$(mktemp)
install_quietly() {
	if ! DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends "$@" >"$log" 2>&1; then
		cat "$log" >&2
		exit 1
	fi
}

install_quietly update
if ! apt-cache show "postgresql-$PG" >/dev/null 2>&1; then
	echo "apt has no PostgreSQL $PG here; \"make test-versions\" tests with 17 and 18 in roots of their own" >&2
	exit 1
fi
# Prevent a new postgresql-$PG from creating and starting a cluster "main".
conf=/etc/postgresql-common/createcluster.conf
if [[ " ${missing[*]} " == *" postgresql-$PG "* ]]; then
	install_quietly install postgresql-common
	cp -p $conf $conf.contime
	trap 'mv -f $conf.contime $conf' EXIT
	echo 'create_main_cluster = false' >>$conf
fi
install_quietly install "${missing[@]}"
rm -f "$log"
