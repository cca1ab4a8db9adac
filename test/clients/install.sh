#!/usr/bin/env bash
# Installs the clients from npm that docs/clients.md uses, in the versions of package-lock.json, under build/clients. Without npm
# or a registry it says so and succeeds: test/t/039_clients.pl then skips their programs.
set -euo pipefail
cd "$(dirname "$0")/../.."
to=build/clients
lock=test/clients/package-lock.json

! cmp -s $lock $to/installed.json || exit 0
if ! command -v npm >/dev/null; then
	echo 'no npm: the programs of docs/clients.md for JavaScript are not tested'
	exit 0
fi
echo 'installing clients from npm'
rm -rf $to
mkdir -p $to
cp test/clients/package.json $lock $to
if npm ci --prefix $to --ignore-scripts --no-audit --no-fund --fetch-retries=1 &>$to/npm.log; then
	cp $lock $to/installed.json
else
	tail -n 5 $to/npm.log
	echo 'npm failed: the programs of docs/clients.md for JavaScript are not tested'
	rm -rf $to/node_modules
fi
