#!/usr/bin/env bash
# Prints names in docs/ and README.md that do not exist: a function in docs/internals/architecture.md, written `name()`, that no
# file of src/ defines, and a relative link to a missing file. Called by lint.sh.
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

defined=$(grep -hoE '^[a-z_][A-Za-z0-9_]*\(' $(find src -name '*.[ch]') | sort -u)
inline=$(grep -hoE '^(extern |static inline )?[A-Za-z_][A-Za-z0-9_ *]*[ *](ct_[a-z_]+|contime_[a-z_]+)\(' $(find src -name '*.h') | grep -oE '[a-z_]+\($' | sort -u)
grep -oE '`[A-Za-z_]+\(\)' docs/internals/architecture.md | tr -d '`)' | sort -u | while read -r name; do
	grep -qxF "$name" <<<"$defined"$'\n'"$inline" || echo "docs/internals/architecture.md: no function $name)"
done

for page in README.md CONTRIBUTING.md $(find docs -name '*.md'); do
	grep -oE '\]\([^)#:]+' "$page" | cut -c3- | while read -r link; do
		[ -e "$(dirname "$page")/$link" ] || echo "$page: no file $link"
	done
done
