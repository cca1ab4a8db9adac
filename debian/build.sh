#!/usr/bin/env bash
# make deb: build the Debian packages of the last commit, or of this tree if it is no repository, under build/deb.
set -euo pipefail
cd "$(dirname "$0")/.."
to=$PWD/build/deb
tree=$to/contime
rm -rf "$to"
mkdir -p "$tree"
if git rev-parse --git-dir &>/dev/null; then
	git archive HEAD | tar -x -C "$tree"
else
	tar --exclude=./build -cf - . | tar -x -C "$tree"
fi
cd "$tree"
pg_buildext updatecontrol
if ! dpkg-buildpackage -us -uc -b >"$to/build.log" 2>&1; then
	tail -n 40 "$to/build.log" >&2
	exit 1
fi
rm -rf "$tree"
ls "$to"/*.deb
