#!/usr/bin/env bash
# make test-deb: build the Debian package, install it with apt in a new root of Debian 12, use it there, and remove it in the manual's
# order and in others. As root. The root is made under build/roots once, and copied for each run. The last line counts the checks.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=bookworm
base=$PWD/build/roots/$suite-minbase
root=$(mktemp -d /tmp/contime.deb.XXXXXX)
trap 'rm -rf --one-file-system "$root"' EXIT

if [ ! -e "$base/complete" ]; then
	echo "making a root of Debian $suite"
	rm -rf "$base"
	mkdir -p "$base"
	debootstrap --variant=minbase $suite "$base" http://deb.debian.org/debian >"$base.log" 2>&1 || { tail -n 20 "$base.log"; exit 1; }
	touch "$base/complete"
fi
cp -a "$base/." "$root"
printf 'deb http://deb.debian.org/debian%s main\n' " $suite" " $suite-updates" "-security $suite-security" >"$root/etc/apt/sources.list"
cp build/deb/postgresql-15-contime_*.deb "$root/contime.deb"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"      # start no server by itself
chmod 755 "$root/usr/sbin/policy-rc.d"
cp test/deb_inside.sh "$root/inside.sh"
unshare --mount --pid --fork --kill-child chroot "$root" bash /inside.sh
